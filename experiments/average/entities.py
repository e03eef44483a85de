"""The entities whose posteriors, of one run or averaged over several, exceed a threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from modeling_2mner.spans import Span, choose_entities, spans_to_tags
from training_2mner.metrics import entity_scores

Posteriors = Sequence[Mapping[Span, float]]  # of the entities of each sentence

THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)


def average_entities(runs: Sequence[Posteriors]) -> list[dict[Span, float]]:
    """The posteriors averaged over runs; an entity that a run leaves out as too unlikely has 0 there."""
    averaged = []
    for sentence in zip(*runs, strict=True):
        sums: Counter[Span] = Counter()
        for found in sentence:
            sums.update(found)
        averaged.append({span: total / len(runs) for span, total in sums.items()})
    return averaged


def tags_above(posteriors: Posteriors, lengths: Sequence[int], threshold: float) -> list[list[str]]:
    """The IOB2 tags of sentences of so many words, with the entities above a threshold."""
    return [
        spans_to_tags(choose_entities(found, threshold), words)
        for found, words in zip(posteriors, lengths, strict=True)
    ]


def scores_by_threshold(posteriors: Posteriors, gold: Sequence[Sequence[str]]) -> dict[float, float]:
    """The strict F1 at each of `THRESHOLDS`."""
    lengths = [len(tags) for tags in gold]
    return {
        threshold: entity_scores(tags_above(posteriors, lengths, threshold), gold)["f1"] for threshold in THRESHOLDS
    }


__all__ = ["THRESHOLDS", "average_entities", "scores_by_threshold", "tags_above"]
