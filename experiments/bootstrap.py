"""Intervals and tests by resampling pictures: the translations of a sentence share one and are not independent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.counts import Counts, precision_recall_f1

SAMPLES = 2000
LEVEL = 0.95
MOST_AT_ONCE = 5_000_000  # numbers drawn at once, which bounds the memory


@dataclass(frozen=True)
class Comparison:
    """How two systems differ on the same sentences.

    Args:
        difference: F1 of the first minus F1 of the second.
        low, high: the 95 % interval of the difference.
        p_value: how often, two-sided, a difference this large comes from chance, by the shifted bootstrap.
    """

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def is_significant(self) -> bool:
        """Whether chance makes such a difference in fewer than 5 % of cases."""
        return self.p_value < 1 - LEVEL


def interval(counts: Counts, pictures: Sequence[int], samples: int = SAMPLES, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of the micro F1.

    Args:
        counts: those of one system, or the sum of those of several seeds.
        pictures: `(sentences,)` the picture of each sentence; sentences that share one are drawn together.
    """
    values = resample([counts], pictures, samples, seed)[0]
    return _quantiles(values)


def compare(
    first: Counts, second: Counts, pictures: Sequence[int], samples: int = SAMPLES, seed: int = 0
) -> Comparison:
    """Compare two systems on the same resampled pictures.

    The p value counts the samples whose difference lies at least as far from the observed one as that lies from zero.
    """
    ours, theirs = resample([first, second], pictures, samples, seed)
    observed = float(_f1(first.table.sum((0, 1))) - _f1(second.table.sum((0, 1))))
    differences = ours - theirs
    extreme = np.abs(differences - observed) >= abs(observed) - 1e-12
    low, high = _quantiles(differences)
    return Comparison(observed, low, high, float((extreme.sum() + 1) / (samples + 1)))


def resample(systems: Sequence[Counts], pictures: Sequence[int], samples: int, seed: int) -> list[np.ndarray]:
    """F1 of each system, `(samples,)`, on the same samples of pictures, drawn with replacement.

    Raises:
        ValueError: if the systems were not scored on the same number of sentences.
    """
    if any(len(system.table) != len(pictures) for system in systems):
        sizes = ", ".join(str(len(system.table)) for system in systems)
        raise ValueError(f"the systems were scored on {sizes} sentences, but there are {len(pictures)} pictures.")
    groups = np.unique(np.asarray(pictures), return_inverse=True)[1]
    num_groups = groups.max(initial=-1) + 1
    sums = [_sum_groups(system.table.sum(axis=1), groups, num_groups) for system in systems]  # (groups, 3) each
    generator = np.random.default_rng(seed)
    results = [[] for _ in systems]
    step = max(1, MOST_AT_ONCE // max(num_groups, 1))
    for start in range(0, samples, step):
        # How often each picture is drawn: the same as drawing them one by one, and much less work.
        drawn = generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), min(step, samples - start))
        for result, table in zip(results, sums, strict=True):
            result.append(_f1((drawn @ table).T))
    return [np.concatenate(result) for result in results]


def _sum_groups(table: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    sums = np.zeros((num_groups, table.shape[1]), dtype=np.int64)
    np.add.at(sums, groups, table)
    return sums


def _f1(sums: np.ndarray) -> np.ndarray:
    return precision_recall_f1(*sums)[2]


def _quantiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
