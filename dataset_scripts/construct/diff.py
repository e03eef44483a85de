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

Sentence = tuple[tuple[str, ...], tuple[str, ...]]  # words and tags
KINDS = ("added", "removed", "words changed", "entities changed", "unchanged")
ENTITY_KINDS = ("entity added", "entity removed", "type changed", "borders changed")


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
        sentences, entities = Counter[str](), Counter[str]()
        earlier = dict(_sentences(before.get(lang, [])))
        for name, sentence in _sentences(after.get(lang, [])):
            kind, changed = _compare(earlier.pop(name, None), sentence)
            sentences[kind] += 1
            entities.update(change["kind"] for change in changed)
            if kind != "unchanged":
                difference.changes.append({"sentence": f"{lang}/{name}", "change": kind, "entities": changed})
        sentences["removed"] += len(earlier)
        difference.changes += [{"sentence": f"{lang}/{name}", "change": "removed", "entities": []} for name in earlier]
        difference.sentences[lang], difference.entities[lang] = sentences, entities
    return difference


def _languages(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in find_source_files(folder, None):
        if len(file.languages) == 1:
            found.setdefault(file.languages[0], []).append(file.path)
    return found


def _sentences(paths: list[Path]) -> Iterator[tuple[str, Sentence]]:
    namer = Namer()
    for path in paths:
        for sentence in read_conll(path, types=None):
            yield namer.name(sentence.image_id), (sentence.tokens, sentence.tags)


def _compare(old: Sentence | None, new: Sentence) -> tuple[str, list[dict[str, Any]]]:
    if old is None:
        return "added", []
    if old[0] != new[0]:
        return "words changed", []
    changes = list(_entity_changes(old, new))
    return ("entities changed" if changes else "unchanged"), changes


def _entity_changes(old: Sentence, new: Sentence) -> Iterator[dict[str, Any]]:
    """Pair entities with equal borders, then those that overlap; what is left came or went."""
    before = {(span.start, span.end): span.type for span in spans_of_tags(old[1], "")}
    after = {(span.start, span.end): span.type for span in spans_of_tags(new[1], "")}
    for place in sorted({*before} & {*after}):
        kinds = before.pop(place), after.pop(place)
        if kinds[0] != kinds[1]:
            yield _change("type changed", new, place, *kinds)
    for place in sorted(after):
        touched = next((old_place for old_place in sorted(before) if _overlap(old_place, place)), None)
        kind = "borders changed" if touched else "entity added"
        yield _change(kind, new, place, before.pop(touched) if touched else None, after[place])
    for place in sorted(before):
        yield _change("entity removed", new, place, before[place], None)


def _overlap(first: tuple[int, int], second: tuple[int, int]) -> bool:
    return first[0] < second[1] and second[0] < first[1]


def _change(kind: str, sentence: Sentence, place: tuple[int, int], old: str | None, new: str | None) -> dict[str, Any]:
    words = " ".join(sentence[0][slice(*place)])
    return {"kind": kind, "words": words, "start": place[0], "end": place[1], "old": old, "new": new}
