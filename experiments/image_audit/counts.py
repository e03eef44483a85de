"""What changes when a model sees another picture: scores, tests and single entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.bootstrap import PairedComparison, compare_systems, interval
from experiments.counts import SCHEMES, EntityCounts, count_entities, scores
from modeling_2mner.spans import Span, entity_spans

Tags = Sequence[Sequence[str]]

CONDITIONS = ("right", "none", "blank", "shuffled")
OTHER_CONDITIONS = CONDITIONS[1:]
FLIPS = ("saved", "spoiled", "changed")


def describe_conditions(
    gold: Tags,
    tags: Mapping[str, Tags],
    pictures: Sequence[int] | np.ndarray,
    groups: Mapping[str, Sequence[str]],
    types: list[str],
) -> dict[str, Any]:
    """Score one model on the same sentences with each kind of picture.

    Args:
        gold: tags, one sequence per sentence.
        tags: the predicted tags for each of `CONDITIONS`.
        pictures: `(sentences,)` the picture that belongs to each sentence, as a number.
        groups: the language of each sentence, and any other column to group them by.
        types: the names of the types.

    Returns:
        `strict` and `lenient` over all sentences; `groups`, strict, by type and by each of `groups`; `same`, whether
        all predictions are the same.
    """
    counts = {
        scheme: {shown: count_entities(gold, tags[shown], scheme == "strict", types) for shown in CONDITIONS}
        for scheme in SCHEMES
    }
    flips = {other: count_flips(gold, tags["right"], tags[other], types) for other in OTHER_CONDITIONS}
    parts: dict[str, dict[str, tuple[Any, Any]]] = {
        "type": {kind: (slice(None), [place]) for place, kind in enumerate(types)}
    }
    for column, values in groups.items():
        names = np.array(values)
        parts[column] = {name: (names == name, slice(None)) for name in dict.fromkeys(values)}
    return {
        **{scheme: _describe_all(counts[scheme], flips, np.array(pictures)) for scheme in SCHEMES},
        "groups": {
            column: {name: _describe_part(counts["strict"], flips, np.array(pictures), *part) for name, part in found.items()}
            for column, found in parts.items()
        },
        "same": all(list(map(list, tags[other])) == list(map(list, tags["right"])) for other in OTHER_CONDITIONS),
    }  # fmt: skip


def count_flips(gold: Tags, right: Tags, other: Tags, types: Sequence[str]) -> np.ndarray:
    """Count how entities differ between two predictions: `(sentences, types, 3)`, the last axis being `FLIPS`.

    A gold entity is saved if it is found only with the right picture, spoiled if it is found only with the other one,
    and changed if both miss it in different ways. A predicted entity that overlaps no gold one, and occurs in only one
    of the two predictions, is also changed. Entities are counted strictly.
    """
    table = np.zeros((len(gold), len(types), len(FLIPS)), dtype=np.int64)
    for row, sentence in enumerate(zip(gold, right, other, strict=True)):
        for kind, flip in _flips(*(set(entity_spans(tags, strict=True)) for tags in sentence)):
            table[row, types.index(kind), FLIPS.index(flip)] += 1
    return table


def count_errors(gold: Tags, predictions: Tags) -> np.ndarray:
    """Count the missed and invented entities strictly: `(sentences,)`."""
    pairs = zip(gold, predictions, strict=True)
    return np.array(
        [len(set(entity_spans(there, True)) ^ set(entity_spans(found, True))) for there, found in pairs],
        dtype=np.int64,
    )


def verdict(described: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether the model uses the picture, and the same in words, by strict F1 with right against shuffled pictures."""
    found = PairedComparison(**described["strict"]["shuffled"]["comparison"])
    if described["same"]:
        return False, "The model does not look at the picture: whatever it is shown, it predicts the same."
    if not found.is_significant:
        return False, (
            "The model does not measurably use the picture: some predictions change with it, but those with the right "
            "pictures are not better than those with the pictures of other sentences by more than chance makes them."
        )
    if found.difference < 0:
        return False, "The picture misleads the model: it does better with the pictures of other sentences."
    return (
        True,
        "The model uses the picture: it does better with the right pictures than with those of other sentences.",
    )


def _flips(gold: set, right: set, other: set) -> Iterator[tuple[str, str]]:
    """Type and kind of each flip in one sentence."""
    for entity in gold:
        if entity in right or entity in other:
            if (entity in right) != (entity in other):
                yield entity[0], "saved" if entity in right else "spoiled"
        elif _meeting(entity, right) != _meeting(entity, other):
            yield entity[0], "changed"
    for entity in right ^ other:
        if not _meeting(entity, gold):
            yield entity[0], "changed"


def _meeting(entity: Span, others: set) -> set:
    """The entities that share a word with this one."""
    _, start, end = entity
    return {other for other in others if other[1] < end and start < other[2]}


def _describe_all(
    counts: dict[str, EntityCounts], flips: dict[str, np.ndarray], pictures: np.ndarray
) -> dict[str, Any]:
    described = _describe_part(counts, flips, pictures, slice(None), slice(None))
    for shown in CONDITIONS:
        described[shown]["interval"] = interval(counts[shown], pictures)
    return described


def _describe_part(
    counts: dict[str, EntityCounts], flips: dict[str, np.ndarray], pictures: np.ndarray, rows: Any, columns: Any
) -> dict[str, Any]:
    """Scores, comparison and flips of some sentences and types."""
    chosen = {shown: _choose(count, rows, columns) for shown, count in counts.items()}
    gold = int(chosen["right"].table[:, :, 2].sum())
    described: dict[str, Any] = {"sentences": len(chosen["right"].table), "entities": gold}
    for shown, count in chosen.items():
        found = scores(count)
        described[shown] = {name: float(found[name]) for name in ("precision", "recall", "f1")}
        if shown in OTHER_CONDITIONS:
            described[shown]["comparison"] = vars(compare_systems(chosen["right"], count, pictures[rows]))
            sums = flips[shown][rows][:, columns].sum(axis=(0, 1))
            described[shown]["flips"] = dict(zip(FLIPS, sums.tolist(), strict=True))
    return described


def _choose(counts: EntityCounts, rows: Any, columns: Any) -> EntityCounts:
    types = np.array(counts.types)[columns]
    return EntityCounts(counts.table[rows][:, columns], tuple(types.tolist()))
