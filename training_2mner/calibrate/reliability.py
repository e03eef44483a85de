"""How well the scores of entities agree with how often they are right.

The entities are those that the pipeline returns for a split without a threshold, each with its score, the posterior of
the entire span. One is right if the gold tags have exactly its words and its type. Sorted by score, they are cut into
15 bins of equal mass: their sizes differ by at most one. The expected calibration error is the mean over the entities
of their bin's |share of right ones - mean score| (Naeini et al. 2015, with bins of equal mass as in Nixon et al. 2019).
Entities that the model misses have no score and do not count; F1 measures those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from modeling_2mner.posteriors import TagPosteriors
from modeling_2mner.spans import entity_spans
from reports_2mner.figures import BLUE, INK, LIGHT_GREY, SOFT_INK, VERMILION, new_figure, save_png
from training_2mner.calibrate.temperature import GoldLikelihood, ReadSentences
from training_2mner.metrics import entity_scores

BINS = 15
BATCH_SIZE = 64  # sentences whose posteriors are computed together
HEIGHT = 3.6  # inches


@dataclass(frozen=True)
class Bin:
    """Entities of similar score: how many, their mean score, and the share of them that is right."""

    count: int
    score: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """The scores of a split at a temperature.

    Args:
        temperature: at which.
        bins: see the module.
        loss: the negative log-likelihood of the gold tags, the mean over sentences.
        f1: strict F1 of the tags, a fraction.
    """

    temperature: float
    bins: list[Bin]
    loss: float
    f1: float

    @property
    def count(self) -> int:
        """The number of entities."""
        return sum(one.count for one in self.bins)

    @property
    def error(self) -> float:
        """The expected calibration error, a fraction; NaN without entities."""
        return self._mean([abs(one.right - one.score) for one in self.bins])

    @property
    def score(self) -> float:
        """The mean score."""
        return self._mean([one.score for one in self.bins])

    @property
    def right(self) -> float:
        """The share of right entities."""
        return self._mean([one.right for one in self.bins])

    def _mean(self, values: Sequence[float]) -> float:
        masses = (one.count * value for one, value in zip(self.bins, values, strict=True))
        return sum(masses) / self.count if self.bins else float("nan")


def equal_mass_bins(scores: Sequence[float], right: Sequence[bool], count: int = BINS) -> list[Bin]:
    """Cut entities into bins of equal mass, lowest scores first; equal scores stay in their order.

    With fewer entities than `count`, each is a bin of its own.
    """
    order = np.argsort(np.asarray(scores, dtype=float), kind="stable")
    parts = np.array_split(order, min(count, len(order))) if len(order) else []
    ordered, truth = np.asarray(scores, dtype=float), np.asarray(right, dtype=float)
    return [Bin(len(part), float(ordered[part].mean()), float(truth[part].mean())) for part in parts]


def measure(model: PreTrainedModel, sentences: ReadSentences, temperature: float) -> Reliability:
    """Read all sentences at a temperature and compare their entities with the gold ones."""
    scores: list[float] = []
    right: list[bool] = []
    predicted: list[list[str]] = []
    for start in range(0, len(sentences.gold), BATCH_SIZE):
        emissions, gold = sentences.emissions[start : start + BATCH_SIZE], sentences.gold[start : start + BATCH_SIZE]
        mask = pad_sequence([torch.ones(len(sentence), dtype=torch.bool) for sentence in emissions], batch_first=True)
        posteriors = TagPosteriors.from_model(
            model, pad_sequence(emissions, batch_first=True), mask, temperature=temperature
        )
        for [reading], tags in zip(posteriors.read(), gold, strict=True):
            predicted.append(reading.tags)
            known = set(entity_spans(tags, strict=False))
            scores += reading.span_scores
            right += [span in known for span in reading.spans]
    return Reliability(
        temperature,
        equal_mass_bins(scores, right),
        GoldLikelihood(model, sentences).loss(temperature),
        entity_scores(predicted, sentences.gold)["f1"],
    )


def draw_reliability(before: Reliability, after: Reliability, split: str, path: Path) -> None:
    """Draw the reliability diagram: a point for each bin, on the diagonal where scores mean what they say."""
    with new_figure(HEIGHT, "constrained") as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=SOFT_INK, linewidth=0.8, linestyle=(0, (4, 3)))
        for found, colour, marker in ((before, VERMILION, "s"), (after, BLUE, "o")):
            label = f"temperature {found.temperature:.3g}, error {100 * found.error:.2f} %"
            points = [(one.score, one.right) for one in found.bins]
            axes.plot(
                *zip(*points, strict=True), color=colour, marker=marker, markersize=4, linewidth=1, label=label
            ) if points else None
        axes.set_title(
            f"Entities of the split {split}, in {BINS} bins of equal mass", fontsize=9.5, color=INK, loc="left"
        )
        axes.set_xlabel("mean score", fontsize=8.5, color=SOFT_INK)
        axes.set_ylabel("share of right entities", fontsize=8.5, color=SOFT_INK)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.tick_params(labelsize=8, labelcolor=SOFT_INK, length=2)
        axes.grid(color=LIGHT_GREY, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if before.bins:
            axes.legend(frameon=False, fontsize=8.5, loc="upper left")
        save_png(figure, path)
