"""Intervals and tests by resampling pictures: translations of a sentence share a picture and are not independent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.counts import COUNTED, EntityCounts, precision_recall_f1

SAMPLES = 2000
LEVEL = 0.95
SCORES = ("precision", "recall", "f1")
MOST_AT_ONCE = 5_000_000  # numbers drawn at once, to limit the memory


@dataclass(frozen=True)
class PairedComparison:
    """How two systems differ on the same sentences.

    Args:
        difference: F1 of the first minus F1 of the second, or the difference of another score.
        low, high: the 95 % interval of the difference.
        p_value: how often chance produces a difference this large, two-sided, by the shifted bootstrap.
    """

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether chance produces such a difference in fewer than 5 % of cases."""
        return self.p_value < 1 - LEVEL

    @property
    def p_text(self) -> str:
        """The p-value as the tables have it: the samples are too few to tell apart what is below 0.001."""
        return "< 0.001" if self.p_value < 0.001 else f"{self.p_value:.3f}"


@dataclass(frozen=True)
class DrawnCounts:
    """A system's counts in the samples.

    Args:
        observed: `(types, 3)` sums over all sentences.
        samples: `(samples, types, 3)` sums over the sentences of each sample.
        types: the names of the types.
    """

    observed: np.ndarray
    samples: np.ndarray
    types: tuple[str, ...]

    def score(self, column: str) -> float:
        """`precision`, `recall`, `f1`, or F1 of a type such as `f1_PER`, on all sentences."""
        return float(_score(self.observed, self.types, column))

    def scores(self, column: str) -> np.ndarray:
        """The same in each sample."""
        return _score(self.samples, self.types, column)

    def interval(self, column: str = "f1") -> tuple[float, float]:
        """The 95 % interval of a score."""
        return _quantiles(self.scores(column))


def interval(
    counts: EntityCounts,
    pictures: Sequence[int] | np.ndarray,
    samples: int = SAMPLES,
    seed: int = 0,
    column: str = "f1",
) -> tuple[float, float]:
    """The 95 % interval of the micro F1, or of another score.

    Args:
        counts: of one system, or the sum over several seeds.
        pictures: `(sentences,)` the picture of each sentence; sentences that share one are drawn together.
        column: `precision`, `recall`, `f1`, or F1 of a type such as `f1_PER`.
    """
    return draw_samples([counts], pictures, samples, seed)[0].interval(column)


def compare_systems(
    first: EntityCounts,
    second: EntityCounts,
    pictures: Sequence[int] | np.ndarray,
    samples: int = SAMPLES,
    seed: int = 0,
    column: str = "f1",
) -> PairedComparison:
    """Compare two systems on the same resampled pictures, by F1 or by another score (see `interval`)."""
    one, other = draw_samples([first, second], pictures, samples, seed)
    return compare_drawn(one, other, column)


def compare_drawn(first: DrawnCounts, second: DrawnCounts, column: str = "f1") -> PairedComparison:
    """Compare two systems on the samples that one call of `draw_samples` drew for both.

    The p value counts the samples whose difference is at least as far from the observed one as that is from zero.
    """
    observed = first.score(column) - second.score(column)
    differences = first.scores(column) - second.scores(column)
    extreme = np.abs(differences - observed) >= abs(observed) - 1e-12
    low, high = _quantiles(differences)
    return PairedComparison(observed, low, high, float((extreme.sum() + 1) / (len(differences) + 1)))


def draw_samples(
    systems: Sequence[EntityCounts], pictures: Sequence[int] | np.ndarray, samples: int = SAMPLES, seed: int = 0
) -> list[DrawnCounts]:
    """Count all systems on the same samples of pictures, drawn with replacement.

    Raises:
        ValueError: if the systems were not scored on the same number of sentences.
    """
    if any(len(system.table) != len(pictures) for system in systems):
        sizes = ", ".join(str(len(system.table)) for system in systems)
        raise ValueError(
            f"the systems were scored on {sizes} sentences, but `pictures` has {len(pictures)}; pass one for each "
            "sentence."
        )
    groups = np.unique(np.asarray(pictures), return_inverse=True)[1]
    num_groups = int(groups.max(initial=-1)) + 1
    tables = [_sum_groups(system.table, groups, num_groups) for system in systems]  # (groups, types * 3) each
    sums: list[list[np.ndarray]] = [[] for _ in systems]
    for times in _times_drawn(num_groups, samples, seed):  # (some samples, groups)
        for result, table in zip(sums, tables, strict=True):
            result.append(times @ table)
    return [
        DrawnCounts(system.table.sum(0), np.concatenate(parts).reshape(samples, -1, len(COUNTED)), system.types)
        for system, parts in zip(systems, sums, strict=True)
    ]


def _times_drawn(num_groups: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each picture is drawn: equivalent to drawing them one by one, but much faster."""
    generator = np.random.default_rng(seed)
    step = max(1, MOST_AT_ONCE // max(num_groups, 1))
    for start in range(0, samples, step):
        times = generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), min(step, samples - start))
        yield times.astype(float)  # sums stay exact, and products of floats are fast


def _sum_groups(table: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    flat = table.reshape(len(table), -1)
    sums = np.zeros((num_groups, flat.shape[1]))
    np.add.at(sums, groups, flat)
    return sums


def _score(sums: np.ndarray, types: tuple[str, ...], column: str) -> np.ndarray:
    """A score of sums `(..., types, 3)`.

    Raises:
        ValueError: for an unknown score.
    """
    kind = column.removeprefix("f1_")
    if kind in types:
        return precision_recall_f1(*np.moveaxis(sums[..., types.index(kind), :], -1, 0))[2]
    if column not in SCORES:
        known = ", ".join((*SCORES, *(f"f1_{kind}" for kind in types)))
        raise ValueError(f"`column` is {column!r}; write any of {known}.")
    return precision_recall_f1(*np.moveaxis(sums.sum(axis=-2), -1, 0))[SCORES.index(column)]


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
