"""Figures: their colours and sizes, and PNGs that are the same for the same data with the same matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from reports_2mner.files import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which is distinct under all common kinds of colour blindness, and greys.
BLUE, SKY, GREEN, ORANGE, VERMILION = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00"
INK, SOFT_INK, GREY, LIGHT_GREY = "#222222", "#555555", "#D0D0D0", "#EEEEEE"
DOTS_PER_INCH = 200
WIDTH = 7.0  # inches: 1,400 pixels, sharp if a page shows them as 700
PALETTE_SIZE = 64  # a figure's few colours and their blends with white and ink


@contextmanager
def new_figure(height: float, layout: Literal["constrained"] | None = None) -> Iterator[Figure]:
    """Yield a figure with a height in inches, with matplotlib's defaults whatever the user's own settings are.

    Args:
        layout: how matplotlib places the parts; by default they are placed by hand.
    """
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"):
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS_PER_INCH, facecolor="white", layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def save_png(figure: Figure, path: Path | str) -> None:
    """Save a figure as a PNG with a palette, which is a third of the size, and without a date or a program name."""
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]  # only Agg has it
    image = Image.fromarray(pixels).quantize(PALETTE_SIZE, dither=Image.Dither.NONE)
    with whole_file(path) as draft:
        image.save(draft, "PNG", optimize=True)
