"""The authors' files as the authors' loader reads them, for comparing results with its own.

That loader does the following, in this order: LF, CR or CRLF ends a line; white space around a line is stripped; a
line `IMGID:` sets the picture of the sentences that follow, even of those without such a line; an empty line ends a
sentence, even one without words; every other line is split at white space of any kind, including the no-break space,
and must have two parts. A last sentence without an empty line after it is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dataset_scripts.conll import QUOTED_CHARACTERS, ConllSentence, begin_entities, is_tag, known_tags
from dataset_scripts.schema import ENTITY_TYPES
from reports_2mner.conll_format import ID_PREFIX

logger = logging.getLogger(__name__)


def read_conll_as_released(
    path: Path | str,
    *,
    rename: Mapping[str, str] | None = None,
    repair_tags: bool = False,
    types: Sequence[str] | None = ENTITY_TYPES,
    warn: Callable[[str], object] = logger.warning,
) -> Iterator[ConllSentence]:
    """Yield the sentences that the released loader makes of a file; the other options are those of `read_conll`.

    Sentences without words and a lost last sentence are left out and reported to `warn`. Raises ValueError with file
    and line where the released loader stops, and for tags that the data set cannot hold.
    """
    path, rename = Path(path), rename or {}
    image_id, start, renamed = None, 1, 0
    pairs: list[tuple[str, str]] = []
    for number, line in _stripped_lines(path):
        if line.startswith(ID_PREFIX):
            image_id = line.split(ID_PREFIX)[1]
        elif line:
            start = start if pairs else number
            word, tag = _word_and_tag(path, number, line)
            renamed += tag[2:] in rename
            if not is_tag(tag[:2] + rename.get(tag[2:], tag[2:]), types):
                raise ValueError(f"{path}:{start}: unknown tag {tag!r} in this sentence; {known_tags(types)}.")
            pairs.append((word, tag[:2] + rename.get(tag[2:], tag[2:])))
        else:
            if image_id is None:
                raise ValueError(
                    f"{path}:{number}: the released loader stops here: no line IMGID:<image id> came before; add one."
                )
            if pairs:
                yield _sentence(path, image_id, start, pairs, renamed, repair_tags)
            else:
                warn(f"{path}:{number}: the released loader makes a sentence without words from this empty line.")
            pairs, renamed = [], 0
    if pairs:
        warn(f"{path}:{start}: the released loader loses this sentence: the file does not end with an empty line.")


def _stripped_lines(path: Path) -> Iterator[tuple[int, str]]:
    with open(path, encoding="utf-8") as file:
        try:
            for number, line in enumerate(file, start=1):
                yield number, line.strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: the released loader stops here: bytes that are not UTF-8: "
                f"{error.object[error.start :][:8]!r}; read the file without `compatibility` to find the line."
            ) from error


def _word_and_tag(path: Path, number: int, line: str) -> list[str]:
    parts = line.split()
    if len(parts) != 2:
        raise ValueError(
            f"{path}:{number}: the released loader stops here: it finds {len(parts)} parts instead of word and tag: "
            f"{line[:QUOTED_CHARACTERS]!r}; fix the line, or read the file without `compatibility`."
        )
    return parts


def _sentence(
    path: Path, image_id: str, start: int, pairs: list[tuple[str, str]], renamed: int, repair_tags: bool
) -> ConllSentence:
    tokens, tags = zip(*pairs, strict=True)
    iob2_tags, repaired = begin_entities(tags)
    if repaired and not repair_tags:
        raise ValueError(
            f"{path}:{start}: tag {tags[repaired[0]]!r} of word {tokens[repaired[0]]!r} continues no entity (not "
            "IOB2), which the data set cannot hold; have such tags repaired (`repair_tags`)."
        )
    return ConllSentence(image_id, tokens, iob2_tags, start, len(repaired), renamed)
