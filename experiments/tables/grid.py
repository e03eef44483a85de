"""The grid search as a table: F1 on dev for each loss weight and learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_scripts.card import markdown_table
from experiments.grid import Point
from experiments.tables.draw import draw_grid
from experiments.tables.values import cell

PAPERS_CHOICE = (0.8, 5e-5)
FIGURE = "grid"
NOTE = (
    "2M-NER's strict F1 on dev in percent, the best epoch of each training; test was not looked at. Mean ± standard "
    "deviation over the seeds. The paper searched the weight of the CRF loss (alpha in Eq. 18) in [0.1, 0.9] and the "
    "learning rate in [1e-5, 5e-4], without giving the steps, and chose 0.8 and 5e-5."
)


@dataclass(frozen=True)
class Grid:
    """The points of one configuration of the data set.

    Args:
        languages: the configuration.
        alphas, rates: the values, rising.
        scores: percentages by learning rate and alpha, one a seed.
    """

    languages: str
    alphas: tuple[float, ...]
    rates: tuple[float, ...]
    scores: dict[tuple[float, float], np.ndarray]

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
        header = ["learning rate", *(f"alpha {alpha:g}" for alpha in self.alphas)]
        return header, [[f"{rate:g}", *self._cells(rate)] for rate in self.rates]

    def _cells(self, rate: float) -> Iterator[str]:
        for alpha in self.alphas:
            values = self.scores.get((rate, alpha))
            yield "" if values is None else cell(values).text()

    def sentence(self) -> str:
        """What is best, how far it is from the worst, and how far from the paper's choice."""
        rate, alpha = self.best
        top = self.scores[rate, alpha].mean()
        lowest = min(values.mean() for values in self.scores.values())
        told = f"Best: alpha {alpha:g} and learning rate {rate:g} ({top:.2f}); the lowest of all is {lowest:.2f}."
        paper = self.scores.get(PAPERS_CHOICE[::-1])
        return told if paper is None else f"{told} The paper's choice has {paper.mean():.2f}."


def read_grids(points: list[tuple[Point, dict[str, Any]]]) -> list[Grid]:
    """One grid a configuration of the data set."""
    return [_grid(languages, points) for languages in dict.fromkeys(point.languages for point, _ in points)]


def grid_tables(grids: list[Grid], figures: list[str]) -> str:
    """The grids in Markdown."""
    parts = ["## Grid search\n", f"{NOTE}\n"] if grids else []
    for grid in grids:
        parts += [f"### Trained on `{grid.languages}`\n", markdown_table(*grid.table()) + "\n", f"{grid.sentence()}\n"]
        parts += [f"![Grid search, {grid.languages}]({name})\n" for name in figures if name == _file_name(grid)]
    return "\n".join(parts)


def draw_grids(grids: list[Grid], folder: Path) -> list[str]:
    """Draw a heat map of each grid; returns the names of the files."""
    for grid in grids:
        draw_grid(grid, folder / _file_name(grid))
    return [_file_name(grid) for grid in grids]


def _file_name(grid: Grid) -> str:
    return f"{FIGURE}.png" if grid.languages == "all" else f"{FIGURE}-{grid.languages}.png"


def _grid(languages: str, points: list[tuple[Point, dict[str, Any]]]) -> Grid:
    found: dict[tuple[float, float], list[float]] = {}
    for point, content in points:
        if point.languages == languages:
            found.setdefault((point.learning_rate, point.alpha), []).append(100 * content["dev"]["f1"])
    rates, alphas = (tuple(sorted(set(values))) for values in zip(*found, strict=True))
    return Grid(languages, alphas, rates, {place: np.array(values) for place, values in found.items()})
