"""Draw panels of dots and heat maps with matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dataset_scripts.schema import PAIR_ORDER
from experiments.tables.shapes import Grid, Heat, Matrix, Panel
from reports_2mner.figures import BLUE, GREEN, INK, LIGHT_GREY, SKY, SOFT_INK, VERMILION, new_figure, save_png
from reports_2mner.language_table import language_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


OUR_COLOUR, PAPER_COLOUR, RELEASED_COLOUR, RUN_COLOUR = BLUE, VERMILION, GREEN, SKY
LINE, TITLE, FOOT = 0.23, 0.62, 0.42  # inches
HEAT_SIZE = 3.6


def draw_panels(panels: list[Panel], path: Path, is_gain: bool = False) -> None:
    """Draw one panel per setting, two side by side, and save them as a PNG 1,400 pixels wide."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    lines = max(len(panel.dots) for panel in panels)
    with new_figure(FOOT + rows * (lines * LINE + TITLE), "constrained") as figure:
        grid = list(figure.subplots(rows, columns, squeeze=False, sharex=True).flat)
        for axes, panel in zip(grid, panels, strict=False):
            _draw_panel(axes, panel, is_gain)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        _legend(figure, panels)
        figure.supxlabel(
            "what the picture adds to F1, percentage points" if is_gain else "F1 in percent, lenient counting",
            fontsize=8.5,
            color=SOFT_INK,
        )
        save_png(figure, path)


def _draw_panel(axes: Axes, panel: Panel, is_gain: bool) -> None:
    axes.set_title(panel.title, fontsize=9.5, color=INK, loc="left")
    axes.set_yticks(range(len(panel.dots)), [dot.label for dot in panel.dots], fontsize=8.5, color=INK)
    axes.set_ylim(len(panel.dots) - 0.4, -0.6)
    axes.tick_params(axis="x", labelsize=8, labelcolor=SOFT_INK, labelbottom=True, length=2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=LIGHT_GREY, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if is_gain:
        axes.axvline(0, color=SOFT_INK, linewidth=0.8)
    for place, dot in enumerate(panel.dots):
        axes.plot(
            [dot.low, dot.high], [place, place], color=OUR_COLOUR, linewidth=1.6, solid_capstyle="butt", zorder=2
        )
        axes.plot(dot.runs, [place] * len(dot.runs), "|", color=RUN_COLOUR, markersize=7, zorder=3)
        if dot.released is not None:
            axes.plot(dot.released, place, "^", mec=RELEASED_COLOUR, mfc="none", markersize=5, zorder=6)
        if dot.paper is not None:
            axes.plot(dot.paper, place, "D", mec=PAPER_COLOUR, mfc="none", markersize=4.5, zorder=6)
        axes.plot(dot.value, place, "o", color=OUR_COLOUR, markersize=5, zorder=5)


def _legend(figure: Figure, panels: list[Panel]) -> None:
    from matplotlib.lines import Line2D

    dots = [dot for panel in panels for dot in panel.dots]
    kinds: list[tuple[Any, ...]] = [
        (True, "o", OUR_COLOUR, OUR_COLOUR, "-", "ours, epoch chosen on dev, with 95 % interval")
    ]
    kinds += [(any(len(dot.runs) > 1 for dot in dots), "|", RUN_COLOUR, RUN_COLOUR, "", "each run")]
    kinds += [
        (any(dot.released is not None for dot in dots), "^", RELEASED_COLOUR, "none", "", "ours, best test epoch")
    ]
    kinds += [(any(dot.paper is not None for dot in dots), "D", PAPER_COLOUR, "none", "", "paper")]
    handles = [
        Line2D([], [], marker=marker, color=edge, mec=edge, mfc=face, linestyle=line, markersize=5, label=label)
        for is_there, marker, edge, face, line, label in kinds
        if is_there
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=8, labelcolor=INK)


def draw_heat(heats: list[Heat], path: Path) -> None:
    """Draw heat maps side by side, on one scale, and save them as a PNG 1,400 pixels wide."""
    known = heats[0].languages
    # Germanic and Romance languages grouped, then all others.
    names = [*(code for code in PAIR_ORDER if code in known), *(code for code in known if code not in PAIR_ORDER)]
    order = [known.index(code) for code in names]
    off = ~np.eye(len(order), dtype=bool)
    found = np.concatenate([heat.values[off] for heat in heats])
    limit = max(1.0, float(np.nanmax(np.abs(found)))) if np.isfinite(found).any() else 1.0
    with new_figure(HEAT_SIZE, "constrained") as figure:
        grid = figure.subplots(1, len(heats), squeeze=False)[0]
        for axes, heat in zip(grid, heats, strict=True):
            _draw_heat(axes, heat.values[np.ix_(order, order)], heat.is_certain[np.ix_(order, order)], limit, names)
            axes.set_title(heat.title, fontsize=9.5, color=INK, loc="left", pad=20)
        note = (
            "on the diagonal F1 after training on the tested language alone, elsewhere what the other one adds to it;"
        )
        figure.supxlabel(
            f"{note}\nbold (ours alone): beyond chance by the paired bootstrap over pictures",
            fontsize=8,
            color=SOFT_INK,
        )
        save_png(figure, path)


def _draw_heat(axes: Axes, values: np.ndarray, is_certain: np.ndarray, limit: float, codes: list[str]) -> None:
    differences = np.where(np.eye(len(values), dtype=bool), np.nan, values)
    axes.set_facecolor(LIGHT_GREY)
    axes.imshow(
        differences, cmap="PuOr", vmin=-2 * limit, vmax=2 * limit
    )  # so that no shade is too dark for its number
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            text = f"{value:.1f}" if row == column or abs(value) < 0.05 else f"{value:+.1f}"
            text = text.replace("-0.0", "0.0")
            weight = "bold" if is_certain[row, column] else "normal"
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color=INK, weight=weight)
    names = [language_name(code) for code in codes]
    axes.set_xticks(range(len(names)), names, fontsize=8.5, color=INK)
    axes.set_yticks(range(len(names)), [f"+ {name}" for name in names], fontsize=8.5, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for border in (axes.axhline, axes.axvline) if tuple(codes) == PAIR_ORDER else ():
        border(1.5, color="white", linewidth=3)  # between the families


def draw_matrix(matrix: Matrix, path: Path) -> None:
    """Draw F1 by languages of training and test as a heat map, and save it as a PNG 1,400 pixels wide."""
    with new_figure(FOOT + TITLE + 2 * LINE * len(matrix.rows), "constrained") as figure:
        axes = figure.subplots()
        low, high = float(matrix.values.min()), float(matrix.values.max())
        # Twice the range, so that no shade is too dark for its number.
        axes.imshow(matrix.values, cmap="Blues", vmin=low, vmax=low + 2 * max(1.0, high - low), aspect="auto")
        for (row, column), value in np.ndenumerate(matrix.values):
            weight = "bold" if matrix.is_certain[row, column] else "normal"
            axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9, color=INK, weight=weight)
        axes.set_xticks(range(len(matrix.columns)), matrix.columns, fontsize=8.5, color=INK)
        axes.set_yticks(range(len(matrix.rows)), matrix.rows, fontsize=8.5, color=INK)
        axes.set_ylabel("trained on", fontsize=8.5, color=SOFT_INK)
        axes.set_xlabel(
            "tested on; bold: differs beyond chance from training on the tested language alone",
            fontsize=8.5,
            color=SOFT_INK,
        )
        axes.set_title(f"{matrix.title}: strict F1 in percent", fontsize=9.5, color=INK, loc="left")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        save_png(figure, path)


def draw_grid(grid: Grid, path: Path) -> None:
    """Draw F1 by loss weight and learning rate as a heat map with the best point framed, and save it as a PNG."""
    from matplotlib.patches import Rectangle

    means, best = grid.means, grid.best
    with new_figure(FOOT + TITLE + 2 * LINE * len(grid.rates), "constrained") as figure:
        axes = figure.subplots()
        axes.set_facecolor(LIGHT_GREY)
        spread = max(1.0, float(np.nanmax(means) - np.nanmin(means)))
        # Twice the range, so that no shade is too dark for its number.
        axes.imshow(means, cmap="Blues", vmin=np.nanmin(means), vmax=np.nanmin(means) + 2 * spread, aspect="auto")
        for (row, column), value in np.ndenumerate(means):
            if np.isfinite(value):
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9, color=INK)
        place = (grid.alphas.index(best[1]) - 0.5, grid.rates.index(best[0]) - 0.5)
        axes.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=PAPER_COLOUR, linewidth=2, clip_on=False))
        axes.set_xticks(range(len(grid.alphas)), [f"{alpha:g}" for alpha in grid.alphas], fontsize=8.5, color=INK)
        axes.set_yticks(range(len(grid.rates)), [f"{rate:g}" for rate in grid.rates], fontsize=8.5, color=INK)
        axes.set_ylabel("learning rate", fontsize=8.5, color=SOFT_INK)
        title = "alpha, the weight of the CRF loss" if grid.column == "alpha" else "learning rate of the encoder"
        axes.set_xlabel(title, fontsize=8.5, color=SOFT_INK)
        axes.set_title("F1 on dev in percent; the best point is framed", fontsize=9.5, color=INK, loc="left")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        save_png(figure, path)
