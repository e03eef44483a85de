"""Strict reader and writer for the authors' CoNLL files, and for others of the same form (Twitter-2015, Twitter-2017).

A sentence is a line `IMGID:<image id>`, then one line `TOKEN<TAB>TAG` per word, then an empty line, which may be
missing at the end of the file; more empty lines mean nothing (`conll_layout.py` remembers them for export). UTF-8
without BOM, lines end in LF. Everything else is an error that names the line. Tokens and ids are never stripped, split
on blanks or decoded: both may hold any character except TAB, CR and LF.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataset_scripts.conll_layout import Layout
from dataset_scripts.schema import ENTITY_TYPES, find_iob2_violation, is_type, labels_of
from reports_2mner.conll_format import ID_PREFIX, format_sentence
from reports_2mner.files import write_file

QUOTED_CHARACTERS = 80  # of a bad line or id in an error


@dataclass(frozen=True)
class ConllSentence:
    """The words of one sentence with their IOB2 tags and its picture; `line` is where it starts in its file.

    `repaired` counts the tags that were changed to begin an entity, `renamed` those whose type was renamed.
    """

    image_id: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    line: int
    repaired: int = 0
    renamed: int = 0


def read_conll(
    path: Path | str,
    *,
    rename: Mapping[str, str] | None = None,
    repair_tags: bool = False,
    types: Sequence[str] | None = ENTITY_TYPES,
) -> Iterator[ConllSentence]:
    """Yield the sentences of a file in order; ValueError names file, line, cause and remedy of the first mistake.

    `rename` maps types to other names, as in `{"OTHER": "MISC"}`; with `repair_tags` an I- tag that continues no
    entity begins one (IOB1 becomes IOB2) instead of being an error. `types` are the types allowed in tags; None allows
    any.
    """
    path = Path(path)
    rename = rename or {}
    draft: _Draft | None = None
    for number, text in _lines(path):
        if not text:
            if draft:
                yield draft.finish(repair_tags)
            draft = None
        elif text.startswith(ID_PREFIX):
            if draft:
                raise _error(
                    path,
                    number,
                    f"a second IMGID line in the sentence of line {draft.line}",
                    text,
                    "put an empty line before it",
                )
            draft = _Draft(path, number, _image_id(path, number, text), types)
        elif draft:
            draft.add(number, text, rename)
        else:
            raise _error(
                path, number, "a word outside a sentence", text, "start each sentence with a line IMGID:<image id>"
            )
    if draft:
        yield draft.finish(repair_tags)


def write_conll(sentences: Iterable[ConllSentence], path: Path | str, layout: Layout | None = None) -> None:
    """Write sentences so that `read_conll` returns the same ones; ValueError if the format cannot hold one.

    `layout` says where the file has other empty lines than one after each sentence.
    """
    write_file(path, (layout or Layout()).arrange(map(_format, sentences)))


@dataclass
class _Draft:
    path: Path
    line: int
    image_id: str
    types: Sequence[str] | None
    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    renamed: int = 0

    def add(self, number: int, text: str, rename: Mapping[str, str]) -> None:
        token, tab, tag = text.partition("\t")
        if not tab:
            raise _error(self.path, number, "no TAB between word and tag", text, "write TOKEN<TAB>TAG")
        if not token:
            raise _error(self.path, number, "an empty word before the TAB", text, "write TOKEN<TAB>TAG")
        if "\t" in tag:
            raise _error(self.path, number, "more than one TAB", text, "keep two columns, TOKEN<TAB>TAG")
        if tag[2:] in rename:
            tag = tag[:2] + rename[tag[2:]]
            self.renamed += 1
        if not is_tag(tag, self.types):
            raise _error(self.path, number, "unknown tag", tag, known_tags(self.types))
        self.tokens.append(token)
        self.tags.append(tag)

    def finish(self, repair_tags: bool) -> ConllSentence:
        if not self.tokens:
            raise _error(self.path, self.line, "a sentence without words", self.image_id, "add its words or remove it")
        tags, repaired = begin_entities(self.tags)
        if repaired and not repair_tags:
            number = self.line + 1 + repaired[0]
            tag = self.tags[repaired[0]]
            raise _error(
                self.path,
                number,
                "a tag that continues no entity (not IOB2)",
                tag,
                f"start it with B{tag[1:]}, or have all such tags repaired (`repair_tags`)",
            )
        return ConllSentence(self.image_id, tuple(self.tokens), tags, self.line, len(repaired), self.renamed)


def is_tag(tag: str, types: Sequence[str] | None) -> bool:
    """Return whether this is a tag of one of the types, or of any type for None."""
    if tag == "O":
        return True
    return tag[:2] in ("B-", "I-") and (is_type(tag[2:]) if types is None else tag[2:] in types)


def known_tags(types: Sequence[str] | None) -> str:
    """Return, for an error, which tags are allowed."""
    return "write O, B-TYPE or I-TYPE" if types is None else f"known are {', '.join(labels_of(types))}"


def begin_entities(tags: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Turn each I- tag that continues no entity into B-; return all tags and the positions that changed."""
    repaired = list(tags)
    changed = []
    while (position := find_iob2_violation(repaired)) is not None:
        repaired[position] = f"B{repaired[position][1:]}"
        changed.append(position)
    return tuple(repaired), changed


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers and lines without LF; a binary file splits only at LF, unlike `str.splitlines`."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if number == 1 and raw.startswith(codecs.BOM_UTF8):
                raise _error(path, 1, "a byte order mark", "U+FEFF", "save the file as UTF-8 without BOM")
            if b"\r" in raw:
                raise _error(path, number, "a carriage return", raw, "save the file with LF line ends, not CRLF or CR")
            try:
                text = raw.removesuffix(b"\n").decode("utf-8")
            except UnicodeDecodeError as error:
                raise _error(path, number, "bytes that are not UTF-8", raw, "save the file as UTF-8") from error
            yield number, text


def _image_id(path: Path, number: int, text: str) -> str:
    image_id = text.removeprefix(ID_PREFIX)
    if not image_id or "\t" in image_id:
        raise _error(path, number, "an IMGID line without a plain id", text, "write IMGID:<image id> and nothing else")
    return image_id


def _format(sentence: ConllSentence) -> str:
    cells = (sentence.image_id, *sentence.tokens, *sentence.tags)
    bad = [cell for cell in cells if not cell or any(mark in cell for mark in "\t\r\n")]
    bad += [token for token in sentence.tokens if token.startswith(ID_PREFIX)]
    if bad or not sentence.tokens or len(sentence.tokens) != len(sentence.tags):
        raise ValueError(
            f"The sentence of picture {sentence.image_id!r} cannot be written: {len(sentence.tokens)} words, "
            f"{len(sentence.tags)} tags; cells that are empty, contain a TAB or line end, or are words that begin "
            f"with {ID_PREFIX}: {bad}; repair it first."
        )
    return format_sentence(sentence.image_id, sentence.tokens, sentence.tags)


def _error(path: Path, number: int, cause: str, value: str | bytes, remedy: str) -> ValueError:
    return ValueError(f"{path}:{number}: {cause}: {value[:QUOTED_CHARACTERS]!r}; {remedy}.")
