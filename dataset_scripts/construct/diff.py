"""Compare two releases: which sentences came, went or changed, and which entities changed in those that stayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_scripts.build.sources import find_source_files
from dataset_scripts.conll import read_conll
from dataset_scripts.construct.records import spans_of_tags
from dataset_scripts.construct.sources import Namer
from reports_2mner.tables import Table

KINDS = ("added", "removed", "words changed", "entities changed", "unchanged")
ENTITY_KINDS = ("entity added", "entity removed", "type changed", "borders changed")
Words = tuple[str, ...]
Entities = dict[tuple[int, int], str]  # the type by first word and the word behind the last


@dataclass
class Difference:
    """The counts by language, and each change as plain values."""

    sentences: dict[str, Counter[str]] = field(default_factory=dict)
    entities: dict[str, Counter[str]] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)

    def markdown(self) -> str:
        """Return a table of sentences and one of entities."""
        parts = [(self.sentences, KINDS), (self.entities, ENTITY_KINDS)]
        tables = [
            Table(["language", *kinds], [[lang, *map(n.__getitem__, kinds)] for lang, n in found.items()])
            for found, kinds in parts
        ]
        return "\n".join(table.markdown() for table in tables)


def compare_releases(old: Path, new: Path) -> Difference:
    """Compare all sentences of two folders in the authors' layout, one language at a time.

    Raises:
        ValueError: for a folder without text files.
    """
    difference = Difference()
    before, after = _languages(old), _languages(new)
    for lang in sorted({*before, *after}):
        earlier, later = (dict(_sentences(found.get(lang, []))) for found in (before, after))
        sentences, entities = Counter[str](), Counter[str]()
        for name in {**later, **earlier}:
            kind, changes = _compare(earlier.get(name), later.get(name))
            sentences[kind] += 1
            entities.update(change["kind"] for change in changes)
            if kind != "unchanged":
                difference.changes.append({"sentence": f"{lang}/{name}", "change": kind, "entities": changes})
        difference.sentences[lang], difference.entities[lang] = sentences, entities
    return difference


def _languages(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in find_source_files(folder, None):
        if len(file.languages) == 1:
            found.setdefault(file.languages[0], []).append(file.path)
    return found


def _sentences(paths: list[Path]) -> Iterator[tuple[str, tuple[Words, Entities]]]:
    namer = Namer()
    for path in paths:
        for sentence in read_conll(path, types=None):
            spans = spans_of_tags(sentence.tags, "")
            entities = {(span.start, span.end): span.type for span in spans}
            yield namer.name(sentence.image_id), (sentence.tokens, entities)


def _compare(
    old: tuple[Words, Entities] | None, new: tuple[Words, Entities] | None
) -> tuple[str, list[dict[str, Any]]]:
    if old is None or new is None:
        return ("added" if new else "removed"), []
    if old[0] != new[0]:
        return "words changed", []
    changes = list(_entity_changes(*old, new[1]))
    return ("entities changed" if changes else "unchanged"), changes


def _entity_changes(words: Words, old: Entities, new: Entities) -> Iterator[dict[str, Any]]:
    """Pair entities with equal borders, then those that overlap; what is left came or went."""

    def change(kind: str, place: tuple[int, int], before: str | None, after: str | None) -> dict[str, Any]:
        values = {"kind": kind, "words": " ".join(words[slice(*place)]), "start": place[0], "end": place[1]}
        return {**values, "old": before, "new": after}

    left = {place: kind for place, kind in sorted(old.items()) if place not in new}
    for place, kind in sorted(new.items()):
        if place in old:
            if old[place] != kind:
                yield change("type changed", place, old[place], kind)
        elif touched := next((other for other in left if other[0] < place[1] and place[0] < other[1]), None):
            yield change("borders changed", place, left.pop(touched), kind)
        else:
            yield change("entity added", place, None, kind)
    for place, kind in left.items():
        yield change("entity removed", place, kind, None)
