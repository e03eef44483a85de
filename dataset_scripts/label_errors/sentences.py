"""The sentences of a ranking, and where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dataset_scripts.reading import find_parquet_files, read_rows

if TYPE_CHECKING:
    from modeling_2mner.spans import Span

COLUMNS = ["id", "image_id", "lang", "source", "tokens", "ner_tags"]


class Origin(NamedTuple):
    """The sentence that a translation was made from: its name, and how many entities it has of each type."""

    uid: str
    types: Counter[str]


@dataclass(frozen=True)
class LabelledSentence:
    """A sentence and the entities that it was given.

    Args:
        uid: unique in the data set.
        image_id: names the picture; sentences with the same one are never trained and tested on apart.
        lang: ISO 639.
        source: where it comes from.
        tokens: its words.
        tags: IOB2, one a word.
        origin: of a translation, if it is known.
        picture: undecoded, as a data set has it, or a path; only models with pictures need it.
    """

    uid: str
    image_id: str
    lang: str
    source: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    origin: Origin | None = None
    picture: Any = None

    @cached_property
    def entities(self) -> list[Span]:
        """The entities, in order."""
        from modeling_2mner.spans import entity_spans  # loads torch

        return entity_spans(self.tags, strict=True)

    def words(self, start: int, end: int) -> str:
        """Return some words, separated by blanks."""
        return " ".join(self.tokens[start:end])


# Each part is read several times, always in the same order; only one of them is held in memory.
Parts = list[Callable[[], Iterable[LabelledSentence]]]


def parts_of_data_set(folder: Path, with_pictures: bool, split: str | None = None) -> Parts:
    """Return a part for each language and split, or each language of one split; `ValueError` if there is none.

    A sentence in another language than the first with the same picture id is its translation, if each has one only.
    """
    files = find_parquet_files(folder)
    origins = _origins(folder, next(iter(files))[0]) if len({lang for lang, _ in files}) > 1 else {}
    columns = [*COLUMNS, "image"] if with_pictures else COLUMNS
    places = [(lang, name) for lang, name in files if split in (None, name)]
    if not places:
        known = ", ".join(dict.fromkeys(name for _, name in files))
        raise ValueError(f"`split` is {split!r}, but the data set has {known}; name one of these.")
    return [partial(_read_part, folder, lang, name, columns, origins) for lang, name in places]


def _origins(folder: Path, lang: str) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    times: Counter[str] = Counter()
    for row in read_rows(folder, COLUMNS, [lang]):
        sentence = _sentence(row)
        times[sentence.image_id] += 1
        found[sentence.image_id] = Origin(sentence.uid, Counter(span.type for span in sentence.entities))
    return {image_id: origin for image_id, origin in found.items() if image_id and times[image_id] == 1}


def _read_part(
    folder: Path, lang: str, split: str, columns: list[str], origins: dict[str, Origin]
) -> Iterator[LabelledSentence]:
    for row in read_rows(folder, columns, [lang], [split]):
        yield _sentence(row, origins.get(row["image_id"]))


def _sentence(row: dict[str, Any], origin: Origin | None = None) -> LabelledSentence:
    names = (row["id"], row["image_id"] or "", row["lang"], row["source"])
    origin = None if origin and origin.uid == row["id"] else origin
    return LabelledSentence(*names, tuple(row["tokens"]), tuple(row["ner_tags"]), origin, row.get("image"))
