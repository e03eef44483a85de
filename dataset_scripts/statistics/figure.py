"""Draw which types the entities of each language have, for the data set card."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from dataset_scripts.rows import Counts
from dataset_scripts.schema import ENTITY_TYPES, LANGUAGE_NAMES, LANGUAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From the palette of Okabe and Ito, which stays distinct in all common kinds of colour blindness, and a light grey.
COLOURS = {"PER": "#56B4E9", "LOC": "#E69F00", "ORG": "#009E73", "MISC": "#D0D0D0"}
TYPE_NAMES = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "miscellaneous"}
INK, SOFT_INK = "#222222", "#555555"

DOTS_PER_INCH = 200
WIDTH = 7.0  # inches, as the lengths below: 1,400 pixels, sharp where a page shows them as 700
MARGIN_TOP, MARGIN_BOTTOM, MARGIN_LEFT, MARGIN_RIGHT = 0.38, 0.06, 0.78, 0.12
BAR_PITCH = 0.62
BAR_HEIGHT = 0.66  # of the pitch
DIGIT_WIDTH, LABEL_MARGIN = 0.0138, 0.006  # of a bar: a part that is too narrow for its number has it below the bar
PALETTE_SIZE = 64  # the four colours and their blends with white and ink


def draw_entity_shares(counts: Counts, path: Path | str) -> None:
    """Draw a bar for each language, parted by entity type with the number of mentions of all splits, as a PNG.

    The file is 1,400 pixels wide, on white; equal counts give equal bytes with the same matplotlib. Raises ValueError
    when no language is counted.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mentions = _mentions_by_language(counts)
    height = MARGIN_TOP + BAR_PITCH * len(mentions) + MARGIN_BOTTOM
    # The defaults of matplotlib, whatever the user's own settings are.
    with style.context("default"):
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        width = WIDTH - MARGIN_LEFT - MARGIN_RIGHT
        area = (MARGIN_LEFT / WIDTH, MARGIN_BOTTOM / height, width / WIDTH, BAR_PITCH * len(mentions) / height)
        axes = figure.add_axes(area)
        _draw_bars(axes, mentions)
        _draw_legend(axes)
        canvas.draw()
        save_png(np.asarray(canvas.buffer_rgba())[..., :3], Path(path))


def _mentions_by_language(counts: Counts) -> dict[str, Counter[str]]:
    mentions = {
        lang: sum((count.mentions for key, count in counts.items() if key[0] == lang), Counter())
        for lang in LANGUAGES
        if any(key[0] == lang for key in counts)
    }
    if not mentions:
        raise ValueError(f"`counts` has no language of {list(LANGUAGES)}; count a data set first.")
    return mentions


def _draw_bars(axes: Axes, mentions: dict[str, Counter[str]]) -> None:
    axes.set(xlim=(0, 1), ylim=(len(mentions) - 0.5, -0.5))
    axes.set_axis_off()
    for place, (lang, by_type) in enumerate(mentions.items()):
        _write(axes, -0.015, place - 0.13, LANGUAGE_NAMES[lang], 10, ha="right")
        _write(axes, -0.015, place + 0.18, f"{by_type.total():,}", 8.5, ha="right", color=SOFT_INK)
        _draw_bar(axes, place, by_type)


def _draw_bar(axes: Axes, place: int, by_type: Counter[str]) -> None:
    start, below = 0.0, []
    for kind in (kind for kind in ENTITY_TYPES if by_type[kind]):
        share, number = by_type[kind] / by_type.total(), f"{by_type[kind]:,}"
        axes.barh(place, share, BAR_HEIGHT, left=start, color=COLOURS[kind], edgecolor="white", linewidth=1)
        if share < LABEL_MARGIN + DIGIT_WIDTH * max(len(number), len("99%")):
            below.append(f"{kind} {number} ({share:.1%})")
        else:
            _write(axes, start + share / 2, place - 0.13, number, 9.5)
            _write(axes, start + share / 2, place + 0.16, f"{share:.0%}", 8.5)
        start += share
    _write(axes, 0, place + 0.45, ", ".join(below), 7.5, ha="left")


def _write(axes: Axes, x: float, y: float, text: str, size: float, ha: str = "center", color: str = INK) -> None:
    axes.text(x, y, text, ha=ha, va="center", fontsize=size, color=color)


def _draw_legend(axes: Axes) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=COLOURS[kind], label=f"{kind}  {TYPE_NAMES[kind]}") for kind in ENTITY_TYPES]
    _write(axes, -0.015, -0.635, "entities", 8.5, ha="right", color=SOFT_INK)
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
        columnspacing=2,
        borderaxespad=0.2,
        borderpad=0,
    )


def save_png(pixels: np.ndarray, path: Path) -> None:
    """Save (height, width, 3) as a PNG with a palette, a third of the size, and without date or name of a program."""
    image = Image.fromarray(pixels).quantize(PALETTE_SIZE, dither=Image.Dither.NONE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".") as workplace:
        draft = Path(workplace, "draft.png")
        image.save(draft, optimize=True)
        os.replace(draft, path)
