"""The content of the tables' figures: dots with their intervals, heat maps, grids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from experiments.plan import OURS
from experiments.tables.values import cell

PAPERS_CHOICE = (0.8, 5e-5)
PAPERS_RATE = 5e-5  # of all weights


@dataclass(frozen=True)
class Dot:
    """One line of a plot, in percent.

    Args:
        label: the text beside it.
        value, low, high: the mean over runs and the 95 % interval.
        runs: the value of each run.
        paper: the paper's figure, if it has one.
        released: the mean by the released protocol; `None` if the runs were not scored by it.
    """

    label: str
    value: float
    low: float
    high: float
    runs: tuple[float, ...] = ()
    paper: float | None = None
    released: float | None = None


@dataclass(frozen=True)
class Panel:
    """One plot of a figure."""

    title: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Heat:
    """F1 of single languages (on the diagonal) and what a second one adds, `(added, tested)`; NaN without a run.

    Args:
        values: percentages.
        languages: of the rows and columns.
        is_certain: where the paired test finds a difference.
    """

    title: str
    values: np.ndarray
    is_certain: np.ndarray
    languages: tuple[str, ...]


@dataclass(frozen=True)
class Matrix:
    """F1 by the languages of training (rows) and of test (columns).

    Args:
        values: percentages.
        is_certain: where the paired test finds a difference from training on the tested language alone.
    """

    title: str
    values: np.ndarray
    is_certain: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The points of one configuration of the data set.

    Args:
        languages: the configuration.
        alphas, rates: the values, in ascending order; `alphas` are learning rates of the encoder for models without this
            weight.
        scores: percentages by learning rate and alpha, one per seed.
        model: the model.
    """

    languages: str
    alphas: tuple[float, ...]
    rates: tuple[float, ...]
    scores: dict[tuple[float, float], np.ndarray]
    model: str = OURS

    @property
    def column(self) -> str:
        """What `alphas` are."""
        return "alpha" if self.model == OURS else "encoder"

    @property
    def best(self) -> tuple[float, float]:
        """Learning rate and alpha with the highest mean."""
        return max(self.scores, key=lambda place: self.scores[place].mean())

    @property
    def means(self) -> np.ndarray:
        """The means, `(learning rates, alphas)`, NaN where no point is finished."""
        return np.array(
            [[self.scores[rate, alpha].mean() if (rate, alpha) in self.scores else np.nan for alpha in self.alphas]
             for rate in self.rates]
        )  # fmt: skip

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows."""
        header = ["learning rate", *(f"{self.column} {alpha:g}" for alpha in self.alphas)]
        return header, [[f"{rate:g}", *self._cells(rate)] for rate in self.rates]

    def _cells(self, rate: float) -> Iterator[str]:
        for alpha in self.alphas:
            values = self.scores.get((rate, alpha))
            yield "" if values is None else cell(values).text()

    def sentence(self) -> str:
        """A sentence that compares the best point with the worst and with the paper's choice."""
        rate, alpha = self.best
        top = self.scores[rate, alpha].mean()
        lowest = min(values.mean() for values in self.scores.values())
        text = (
            f"Best: {self.column} {alpha:g} and learning rate {rate:g} ({top:.2f}); the lowest of all is {lowest:.2f}."
        )
        paper = self.scores.get(PAPERS_CHOICE[::-1] if self.model == OURS else (PAPERS_RATE, PAPERS_RATE))
        return text if paper is None else f"{text} The paper's choice has {paper.mean():.2f}."
