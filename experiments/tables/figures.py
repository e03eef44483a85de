"""One figure per table: scores with their intervals, Table 6 as a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.bootstrap import compare_drawn
from experiments.tables.draw import draw_heat, draw_panels
from experiments.tables.layout import PaperTable, System, SystemGroup
from experiments.tables.shapes import Dot, Heat, Panel
from experiments.tables.values import drawn, percentages


def draw_figures(tables: list[PaperTable], folder: Path) -> list[str]:
    """Draw the tables that have records; return the names of the files."""
    by_name = {table.name: table for table in tables if table.filled()}
    names = []
    for name, table in by_name.items():
        path = folder / f"{name}.png"
        if name == "table6":
            draw_heat(heats(table), path)
        elif name == "table7":
            panels = gains(by_name["table5"], table) if "table5" in by_name else []
            draw_panels(panels or [scores_panel(group) for group in table.filled()], path, is_gain=bool(panels))
        else:
            draw_panels([scores_panel(group) for group in table.filled()], path)
        names.append(path.name)
    return names


def scores_panel(group: SystemGroup) -> Panel:
    """Lenient F1 of each system of a group."""
    return Panel(group.title, tuple(_score(system, group) for system in group.systems))


def _score(system: System, group: SystemGroup) -> Dot:
    f1 = percentages(system, "lenient")["f1"]
    low, high = drawn(group)[system.key].interval()
    released = percentages(system, "lenient", "released")["f1"].mean() if system.scored("released") else None
    paper = system.paper["f1"] if system.paper else None
    return Dot(system.title, float(f1.mean()), 100 * low, 100 * high, tuple(f1.tolist()), paper, released)


def gains(seeing: PaperTable, blind: PaperTable) -> list[Panel]:
    """What the picture adds to lenient F1, in each setting with models that were run with and without it."""
    panels = []
    with_picture = {group.title: group for group in seeing.groups}
    for alone in blind.filled():
        both = _merge(with_picture[alone.title], alone)
        dots = tuple(_gain(both, *pair) for pair in zip(both.systems[::2], both.systems[1::2], strict=True))
        panels += [Panel(alone.title, dots)] if dots else []
    return panels


def _merge(seeing: SystemGroup, blind: SystemGroup) -> SystemGroup:
    """Models with and without pictures in turn, as one group, so that they share the samples."""
    words = {system.key: system for system in blind.systems}
    pairs = [(system, words[system.key]) for system in seeing.systems if system.key in words]
    systems = [
        System(system.title, f"{system.key}{suffix}", system.records, system.paper)
        for pair in pairs
        for suffix, system in zip(("", "-text"), pair, strict=True)
    ]
    return SystemGroup(seeing.title, tuple(systems), {}, {})


def _gain(group: SystemGroup, seeing: System, blind: System) -> Dot:
    found = compare_drawn(drawn(group)[seeing.key], drawn(group)[blind.key])
    value = percentages(seeing, "lenient")["f1"].mean() - percentages(blind, "lenient")["f1"].mean()
    paper = seeing.paper["f1"] - blind.paper["f1"] if seeing.paper and blind.paper else None
    return Dot(seeing.title, float(value), 100 * found.low, 100 * found.high, (), paper)


def heats(table: PaperTable) -> list[Heat]:
    """The paper's heat map, if the data are the paper's, and ours."""
    languages = tuple(next(iter(group.titles)) for group in table.groups)  # each group starts with its single language
    ours = _empty("ours", languages)
    paper = _empty("paper", languages)
    for tested, group in zip(languages, table.groups, strict=True):
        _fill(paper, tested, {key: row["f1"] for key, row in group.paper.items()} if group.systems else {})
        _fill(ours, tested, {system.key: percentages(system, "lenient")["f1"].mean() for system in group.systems})
        for key in _certain(group, tested):
            ours.is_certain[_place(ours, key, tested)] = True
    return [heat for heat in (paper, ours) if np.isfinite(heat.values).any()]


def _empty(title: str, languages: tuple[str, ...]) -> Heat:
    shape = (len(languages), len(languages))
    return Heat(title, np.full(shape, np.nan), np.zeros(shape, dtype=bool), languages)


def _fill(heat: Heat, tested: str, f1: dict[str, float]) -> None:
    alone = f1.get(tested, np.nan)
    for key, value in f1.items():
        heat.values[_place(heat, key, tested)] = value if key == tested else value - alone


def _place(heat: Heat, key: str, tested: str) -> tuple[int, int]:
    added: Sequence[str] = [language for language in key.split("_") if language != tested] or [tested]
    return heat.languages.index(added[0]), heat.languages.index(tested)


def _certain(group: SystemGroup, tested: str) -> list[str]:
    """The language pairs whose difference from the single language is beyond chance."""
    if not group.is_comparable() or tested not in (system.key for system in group.systems):
        return []
    samples = drawn(group)
    return [key for key in samples if key != tested and compare_drawn(samples[key], samples[tested]).is_significant]
