"""Entity-level scores by group of sentences, and the names of the tags in a padded batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training_2mner.entity_scores.scores import TagSequences, entity_scores

__all__ = ["entity_scores", "grouped_entity_scores", "to_tag_names"]


def grouped_entity_scores(
    predictions: TagSequences, references: TagSequences, groups: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Score each group of sentences (a language, a source) on its own: `{group: entity_scores}`, sorted by name.

    Raises:
        ValueError: if `groups` does not have one group per sentence.
    """
    if len(groups) != len(references):
        raise ValueError(f"`groups` has {len(groups)} entries for {len(references)} sentences; give one per sentence.")
    scores = {}
    for group in sorted(set(groups)):
        rows = [row for row, name in enumerate(groups) if name == group]
        scores[group] = entity_scores([predictions[row] for row in rows], [references[row] for row in rows])
    return scores


def to_tag_names(ids: Any, mask_from: Any, labels: Sequence[str]) -> list[list[str]]:
    """Name the tags of a padded batch.

    Args:
        ids: `(sentences, words)` array or tensor of tag ids; -100 (no prediction) becomes `O` and so counts as missed.
        mask_from: of the same shape, -100 where there is no word.
        labels: tag names in the model's order.
    """
    outside = labels.index("O")
    return [
        [labels[tag if tag >= 0 else outside] for tag, gold in zip(row, golds, strict=True) if gold != -100]
        for row, golds in zip(ids.tolist(), mask_from.tolist(), strict=True)
    ]
