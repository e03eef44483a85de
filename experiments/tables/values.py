"""The cells of a table: the paper's figures, our means over seeds, and which of them are bold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from experiments.bootstrap import DrawnCounts, compare_drawn, draw_samples
from experiments.counts import scores
from experiments.tables.layout import System, SystemGroup, columns

NO_FIGURE = "-"
MARK = "†"
COMPUTED = "computed from the paper's precision and recall; its text lacks this F1."
KEPT = 256  # results, because Markdown, LaTeX and figures need the same ones
PROTOCOL_LABELS = {"dev": "ours", "released": "ours, best test epoch"}


@dataclass(frozen=True)
class Cell:
    """A figure in percent (`None` for no figure), with its standard deviation over seeds if there are several.

    `is_computed` marks a figure that the text of the paper lacks, but that follows from others there.
    """

    mean: float | None
    spread: float | None = None
    is_bold: bool = False
    is_computed: bool = False

    def text(self, plus_minus: str = " ± ", mark: str = MARK) -> str:
        """Two decimals, as in the paper; computed figures are followed by `mark`."""
        if self.mean is None:
            return NO_FIGURE
        spread = "" if self.spread is None else f"{plus_minus}{self.spread:.2f}"
        return f"{self.mean:.2f}{spread}{mark * self.is_computed}"


@dataclass(frozen=True)
class SystemRow:
    """A line of a table: the title of its system, whose figures they are, and one cell for each of `columns`."""

    title: str
    figures: str
    cells: tuple[Cell, ...]


@lru_cache(KEPT)
def system_rows(group: SystemGroup, scheme: str) -> list[SystemRow]:
    """The lines of a group: for each system the paper's (only in lenient counting), ours, and ours as released."""
    bold = {protocol: best_cells(group, scheme, protocol) for protocol in PROTOCOL_LABELS}
    lines = []
    for system in group.systems:
        if group.paper and scheme == "lenient":
            paper = {column: (system.paper or {}).get(column) for column in columns(group.types)}
            cells = tuple(Cell(value, is_computed=column in system.computed) for column, value in paper.items())
            lines.append(SystemRow(system.title, "paper", cells))
        for protocol, figures in PROTOCOL_LABELS.items():
            runs = len(system.scored(protocol))
            if runs:
                found = percentages(system, scheme, protocol)
                best = bold[protocol]
                cells = tuple(cell(found[name], (system.key, name) in best) for name in columns(group.types))
                lines.append(SystemRow(system.title, f"{figures} ({runs} run{'s' * (runs > 1)})", cells))
    return lines


def has_computed(group: SystemGroup) -> bool:
    """Whether any figure of the paper is marked as computed."""
    return any(system.computed for system in group.systems)


@lru_cache(KEPT)
def percentages(system: System, scheme: str, protocol: str = "dev") -> dict[str, np.ndarray]:
    """The percentages of each run, by column."""
    found = [scores(system.counts(record, scheme, protocol)) for record in system.scored(protocol)]
    return {column: 100 * np.array([values[column] for values in found]) for column in found[0]}


def cell(values: np.ndarray, is_bold: bool = False) -> Cell:
    """Mean and standard deviation of the runs' percentages."""
    return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None, is_bold)


def best_cells(group: SystemGroup, scheme: str, protocol: str) -> set[tuple[str, str]]:
    """Which systems are best in which column, `(key, column)`, as far as a paired test finds a difference."""
    systems = [system for system in group.systems if system.scored(protocol)]
    if len(systems) < 2 or not group.is_comparable():
        return set()
    means = {system.key: percentages(system, scheme, protocol) for system in systems}
    samples = drawn(group, scheme, protocol)
    best = set()
    for column in columns(group.types):
        first, second = sorted(means, key=lambda key: -means[key][column].mean())[:2]
        found = compare_drawn(samples[first], samples[second], column)
        if found.is_significant and found.difference > 0:
            best.add((first, column))
    return best


@lru_cache(KEPT)
def drawn(group: SystemGroup, scheme: str = "lenient", protocol: str = "dev") -> dict[str, DrawnCounts]:
    """The systems of a group, seeds pooled, on resampled pictures: the same samples if the sentences are the same."""
    systems = [system for system in group.systems if system.scored(protocol)]
    counts = {system.key: system.pool(scheme, protocol) for system in systems}
    if group.is_comparable():
        return dict(zip(counts, draw_samples(list(counts.values()), systems[0].pictures), strict=True))
    return {system.key: draw_samples([counts[system.key]], system.pictures)[0] for system in systems}
