"""The grid search as a table: F1 on dev for each loss weight and learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.grid import GridPoint
from experiments.plan import OURS
from experiments.tables.draw import draw_grid
from experiments.tables.layout import NAMES
from experiments.tables.shapes import Grid
from reports_2mner.tables import Table

NOTE = (
    "2M-NER's strict F1 on dev in percent, the best epoch of each training; test was not looked at. Mean ± standard "
    "deviation over the seeds. The paper searched the weight of the CRF loss (alpha in Eq. 18) in [0.1, 0.9] and the "
    "learning rate in [1e-5, 5e-4], without giving the steps, and chose 0.8 and 5e-5."
)
OTHER_NOTE = (
    "Strict F1 on dev in percent, the best epoch of each training; test was not looked at. Mean ± standard deviation over the "
    "seeds. The columns are learning rates of the encoder, the rows that of all above it, the CRF included; the paper has "
    "5e-5 for all."
)


def read_grids(points: list[tuple[GridPoint, dict[str, Any]]]) -> list[Grid]:
    """One grid per model and configuration of the data set."""
    return [_grid(*kind, points) for kind in dict.fromkeys((point.model, point.languages) for point, _ in points)]


def grid_tables(grids: Sequence[Grid], figures: Sequence[str]) -> str:
    """The grids in Markdown."""
    parts = ["## Grid search\n"] if grids else []
    parts += [f"{NOTE}\n"] if any(grid.model == OURS for grid in grids) else []
    for grid in grids:
        parts += [
            f"### Trained on `{grid.languages}`\n" if grid.model == OURS else f"### {_title(grid)}\n\n{OTHER_NOTE}\n",
            Table(*grid.table()).markdown() + "\n",
            f"{grid.sentence()}\n",
        ]
        parts += [f"![Grid search, {_title(grid)}]({name})\n" for name in figures if name == _file_name(grid)]
    return "\n".join(parts)


def draw_grids(grids: list[Grid], folder: Path) -> list[str]:
    """Draw a heat map of each grid; return the names of the files."""
    for grid in grids:
        draw_grid(grid, folder / _file_name(grid))
    return [_file_name(grid) for grid in grids]


def _file_name(grid: Grid) -> str:
    words = (
        "grid",
        *([] if grid.model == OURS else [grid.model]),
        *([] if grid.languages == "all" else [grid.languages]),
    )
    return f"{'-'.join(words)}.png"


def _title(grid: Grid) -> str:
    return grid.languages if grid.model == OURS else f"{NAMES[grid.model]}, trained on `{grid.languages}`"


def _grid(model: str, languages: str, points: list[tuple[GridPoint, dict[str, Any]]]) -> Grid:
    found: dict[tuple[float, float], list[float]] = {}
    for point, content in points:
        if (point.model, point.languages) == (model, languages):
            other = next(value for name, value in point.values.items() if name != "learning_rate")
            found.setdefault((point.learning_rate, other), []).append(100 * content["dev"]["f1"])
    rates, alphas = (tuple(sorted(set(values))) for values in zip(*found, strict=True))
    return Grid(languages, alphas, rates, {place: np.array(values) for place, values in found.items()}, model)
