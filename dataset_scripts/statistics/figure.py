"""Draw which types the entities of each language have, for the data set card."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_scripts.rows import Counts
from dataset_scripts.schema import ENTITY_TYPES, LANGUAGE_NAMES, LANGUAGES
from reports_2mner.figures import GREEN, GREY, INK, ORANGE, SKY, SOFT_INK, WIDTH, new_figure, save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"PER": SKY, "LOC": ORANGE, "ORG": GREEN, "MISC": GREY}
TYPE_NAMES = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "miscellaneous"}

MARGIN_TOP, MARGIN_BOTTOM, MARGIN_LEFT, MARGIN_RIGHT = 0.38, 0.06, 0.78, 0.12  # inches
BAR_PITCH = 0.62
BAR_HEIGHT = 0.66  # of the pitch
DIGIT_WIDTH, LABEL_MARGIN = 0.0138, 0.006  # of a bar: a part that is too narrow for its number has it below the bar


def draw_entity_shares(counts: Counts, path: Path | str) -> None:
    """Draw a bar for each language, parted by entity type with the number of mentions of all splits, as a PNG.

    The file is 1,400 pixels wide, on white; equal counts give equal bytes with the same matplotlib. Raises ValueError
    when no language is counted.
    """
    mentions = _mentions_by_language(counts)
    height = MARGIN_TOP + BAR_PITCH * len(mentions) + MARGIN_BOTTOM
    with new_figure(height) as figure:
        width = WIDTH - MARGIN_LEFT - MARGIN_RIGHT
        area = (MARGIN_LEFT / WIDTH, MARGIN_BOTTOM / height, width / WIDTH, BAR_PITCH * len(mentions) / height)
        axes = figure.add_axes(area)
        _draw_bars(axes, mentions)
        _draw_legend(axes)
        save_png(figure, path)


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
