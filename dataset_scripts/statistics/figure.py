"""Draw the shares of entity types in each language, for the data set card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_scripts.rows import DatasetCounts
from dataset_scripts.schema import TYPE_NAMES, sort_languages, types_of
from reports_2mner.figures import GREEN, GREY, INK, ORANGE, SKY, SOFT_INK, WIDTH, new_figure, save_png
from reports_2mner.language_table import language_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TYPE_COLOURS = {"PER": SKY, "LOC": ORANGE, "ORG": GREEN, "MISC": GREY}
OTHER_TYPE_COLOURS = ("#F0E442", "#CC79A7", "#8DA0CB", "#B3DE69")  # for other types, in turn

MARGIN_TOP, MARGIN_BOTTOM, MARGIN_LEFT, MARGIN_RIGHT = 0.38, 0.06, 0.78, 0.12  # inches
LEGEND_COLUMNS, LEGEND_LINE = 4, 0.2
BAR_PITCH = 0.62
BAR_HEIGHT = 0.66  # of the pitch
DIGIT_WIDTH, LABEL_MARGIN = 0.0138, 0.006  # of a bar: the number of a part that is too narrow is written below the bar


def draw_entity_shares(counts: DatasetCounts, path: Path | str) -> None:
    """Draw a bar for each language, divided by entity type with the mentions in all splits, as a PNG.

    The file is 1,400 pixels wide, on white; equal counts give equal bytes with the same matplotlib. Raises ValueError
    if there are no counts.
    """
    mentions = _mentions_by_language(counts)
    types = types_of(kind for by_type in mentions.values() for kind in by_type)
    margin = MARGIN_TOP + LEGEND_LINE * ((len(types) - 1) // LEGEND_COLUMNS)
    height = margin + BAR_PITCH * len(mentions) + MARGIN_BOTTOM
    with new_figure(height) as figure:
        width = WIDTH - MARGIN_LEFT - MARGIN_RIGHT
        area = (MARGIN_LEFT / WIDTH, MARGIN_BOTTOM / height, width / WIDTH, BAR_PITCH * len(mentions) / height)
        axes = figure.add_axes(area)
        _draw_bars(axes, mentions, types)
        _draw_legend(axes, types)
        save_png(figure, path)


def _mentions_by_language(counts: DatasetCounts) -> dict[str, Counter[str]]:
    mentions = {
        lang: sum((count.mentions for key, count in counts.items() if key[0] == lang), Counter())
        for lang in sort_languages(lang for lang, _ in counts)
    }
    if not mentions:
        raise ValueError("`counts` has no language; count a data set first.")
    return mentions


def _draw_bars(axes: Axes, mentions: dict[str, Counter[str]], types: Sequence[str]) -> None:
    axes.set(xlim=(0, 1), ylim=(len(mentions) - 0.5, -0.5))
    axes.set_axis_off()
    for place, (lang, by_type) in enumerate(mentions.items()):
        _write(axes, -0.015, place - 0.13, language_name(lang), 10, ha="right")
        _write(axes, -0.015, place + 0.18, f"{by_type.total():,}", 8.5, ha="right", color=SOFT_INK)
        _draw_bar(axes, place, by_type, types)


def _colours(types: Sequence[str]) -> dict[str, str]:
    others = cycle(OTHER_TYPE_COLOURS)
    return {kind: TYPE_COLOURS.get(kind) or next(others) for kind in types}


def _draw_bar(axes: Axes, place: int, by_type: Counter[str], types: Sequence[str]) -> None:
    start, below, colours = 0.0, [], _colours(types)
    for kind in (kind for kind in types if by_type[kind]):
        share, number = by_type[kind] / by_type.total(), f"{by_type[kind]:,}"
        axes.barh(place, share, BAR_HEIGHT, left=start, color=colours[kind], edgecolor="white", linewidth=1)
        if share < LABEL_MARGIN + DIGIT_WIDTH * max(len(number), len("99%")):
            below.append(f"{kind} {number} ({share:.1%})")
        else:
            _write(axes, start + share / 2, place - 0.13, number, 9.5)
            _write(axes, start + share / 2, place + 0.16, f"{share:.0%}", 8.5)
        start += share
    _write(axes, 0, place + 0.45, ", ".join(below), 7.5, ha="left")


def _write(axes: Axes, x: float, y: float, text: str, size: float, ha: str = "center", color: str = INK) -> None:
    axes.text(x, y, text, ha=ha, va="center", fontsize=size, color=color)


def _draw_legend(axes: Axes, types: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=colour, label=f"{kind}  {TYPE_NAMES.get(kind, '')}".rstrip())
        for kind, colour in _colours(types).items()
    ]
    _write(axes, -0.015, -0.635, "entities", 8.5, ha="right", color=SOFT_INK)
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=min(len(handles), LEGEND_COLUMNS),
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handlelength=1,
        handleheight=1,
        columnspacing=2,
        borderaxespad=0.2,
        borderpad=0,
    )
