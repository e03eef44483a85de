"""The grid search as a table: F1 on dev for each loss weight and learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.grid import GridPoint
from experiments.tables.draw import draw_grid
from experiments.tables.shapes import Grid
from reports_2mner.tables import Table

NOTE = (
    "2M-NER's strict F1 on dev in percent, the best epoch of each training; test was not looked at. Mean ± standard "
    "deviation over the seeds. The paper searched the weight of the CRF loss (alpha in Eq. 18) in [0.1, 0.9] and the "
    "learning rate in [1e-5, 5e-4], without giving the steps, and chose 0.8 and 5e-5."
)


def read_grids(points: list[tuple[GridPoint, dict[str, Any]]]) -> list[Grid]:
    """One grid per configuration of the data set."""
    return [_grid(languages, points) for languages in dict.fromkeys(point.languages for point, _ in points)]


def grid_tables(grids: Sequence[Grid], figures: Sequence[str]) -> str:
    """The grids in Markdown."""
    parts = ["## Grid search\n", f"{NOTE}\n"] if grids else []
    for grid in grids:
        parts += [
            f"### Trained on `{grid.languages}`\n",
            Table(*grid.table()).markdown() + "\n",
            f"{grid.sentence()}\n",
        ]
        parts += [f"![Grid search, {grid.languages}]({name})\n" for name in figures if name == _file_name(grid)]
    return "\n".join(parts)


def draw_grids(grids: list[Grid], folder: Path) -> list[str]:
    """Draw a heat map of each grid; return the names of the files."""
    for grid in grids:
        draw_grid(grid, folder / _file_name(grid))
    return [_file_name(grid) for grid in grids]


def _file_name(grid: Grid) -> str:
    return "grid.png" if grid.languages == "all" else f"grid-{grid.languages}.png"


def _grid(languages: str, points: list[tuple[GridPoint, dict[str, Any]]]) -> Grid:
    found: dict[tuple[float, float], list[float]] = {}
    for point, content in points:
        if point.languages == languages:
            found.setdefault((point.learning_rate, point.alpha), []).append(100 * content["dev"]["f1"])
    rates, alphas = (tuple(sorted(set(values))) for values in zip(*found, strict=True))
    return Grid(languages, alphas, rates, {place: np.array(values) for place, values in found.items()})
