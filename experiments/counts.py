"""Count the correct, predicted and gold entities of each sentence; all scores and intervals follow from these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dataset_scripts.schema import types_in, types_of

COUNTED = ("right", "predicted", "gold")
SCHEMES = ("strict", "lenient")


@dataclass(frozen=True)
class EntityCounts:
    """Entities by sentence, type and kind of count.

    Args:
        table: `(sentences, types, 3)` integers; the last axis is `COUNTED`.
        types: the names of the types.
    """

    table: np.ndarray
    types: tuple[str, ...]

    def select(self, rows: np.ndarray | list[int]) -> EntityCounts:
        """The counts of some sentences: indices or a mask."""
        return EntityCounts(self.table[rows], self.types)

    def to_json(self) -> dict[str, dict[str, list[int]]]:
        """A list for each type and kind of count, with one number per sentence."""
        return {
            kind: {column: self.table[:, place, index].tolist() for index, column in enumerate(COUNTED)}
            for place, kind in enumerate(self.types)
        }

    @classmethod
    def from_json(cls, content: dict[str, dict[str, list[int]]]) -> EntityCounts:
        """Read what `to_json` wrote."""
        table = [[content[kind][column] for column in COUNTED] for kind in content]  # (types, 3, sentences)
        return cls(np.array(table, dtype=np.int64).transpose(2, 0, 1), tuple(content))


def count_entities(
    references: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    strict: bool = True,
    types: Sequence[str] | None = None,
) -> EntityCounts:
    """Count by sentence; strict counting accepts only valid IOB2 entities, lenient lets a stray `I-` open one.

    Args:
        references, predictions: tags, one sequence per sentence, of equal lengths.
        types: the names of the types; by default, those of the tags (`schema.types_of`).
    """
    from modeling_2mner.spans import entity_spans  # loads torch

    types = types or types_of(types_in(tag for sentence in (*references, *predictions) for tag in sentence))
    table = np.zeros((len(references), len(types), len(COUNTED)), dtype=np.int64)
    for row, (gold, predicted) in enumerate(zip(references, predictions, strict=True)):
        there, found = set(entity_spans(gold, strict)), set(entity_spans(predicted, strict))
        for column, entities in enumerate((there & found, found, there)):
            for kind, _, _ in entities:
                table[row, types.index(kind), column] += 1
    return EntityCounts(table, tuple(types))


def add_up(counts: Sequence[EntityCounts]) -> EntityCounts:
    """The sum of several systems' or seeds' counts of the same sentences, sentence by sentence."""
    return EntityCounts(np.sum([count.table for count in counts], axis=0), counts[0].types)


def scores(counts: EntityCounts) -> dict[str, float]:
    """Micro-averaged `precision`, `recall` and `f1`, and `f1_PER` and so on, as fractions; 0 instead of 0 / 0."""
    sums = counts.table.sum(axis=0)  # (types, 3)
    result = dict(zip(("precision", "recall", "f1"), precision_recall_f1(*sums.sum(axis=0)), strict=True))
    return result | {f"f1_{kind}": precision_recall_f1(*row)[2] for kind, row in zip(counts.types, sums, strict=True)}


def precision_recall_f1(right: ArrayLike, predicted: ArrayLike, gold: ArrayLike) -> tuple[Any, ...]:
    """Precision, recall and F1 of sums of counts, numbers or arrays of equal shape (Eq. 19-21)."""
    right, predicted, gold = (np.asarray(value, dtype=float) for value in (right, predicted, gold))
    return tuple(
        np.divide(above, below, out=np.zeros_like(above), where=below > 0)[()]
        for above, below in ((right, predicted), (right, gold), (2 * right, predicted + gold))
    )
