"""How the paper's margins compare with the noise, and how much choosing the epoch on test raises a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.bootstrap import LEVEL, compare_drawn
from experiments.counts import scores
from experiments.plan import OURS
from experiments.records import RunRecord, public_name, read_records
from experiments.tables.layout import PaperTable, SystemGroup, by_system, run_title
from experiments.tables.values import Cell, cell, drawn, percentages
from reports_2mner.tables import Table

WITH_MARGINS = ("table5", "table7", "table9")
NORMAL = 1.96  # standard deviations from the mean to either end of the 95 % interval of a normal distribution
MARGINS_HEADER = (
    "Table",
    "Setting",
    "paper: next best",
    "paper: margin of 2M-NER",
    "ours: next best",
    "ours: margin of 2M-NER (95 % interval)",
    "ours: 95 % interval of F1, widest ±",
    "ours: standard deviation over seeds",
    "two runs differ by chance up to",
    "paper's margin is larger",
)
MARGINS_NOTE = (
    "F1 in percent, lenient counting, the epoch chosen on dev. The margin is the F1 of 2M-NER less that of the "
    "best other row of the setting. The interval resamples the pictures of the test set: half the width of the "
    "widest of all systems, and that of our margin, which rows on different sentences have none of. The standard "
    "deviation over seeds is the root mean square of those of all systems with several seeds. As the paper reports single "
    f"runs, its margins have to be compared with what two runs of one system differ by: in {LEVEL:.0%} of cases up to {NORMAL} · √2 standard deviations. "
    "With few seeds this is itself an estimate."
)
GAP_HEADER = (
    "Model",
    "Runs",
    "epoch chosen on dev",
    "best epoch on test",
    "gain",
    "smallest",
    "largest",
    "strict: chosen on dev",
    "strict: best on test",
    "strict: gain",
)
GAP_NOTE = (
    "F1 on test in percent, mean and standard deviation over all runs of a model that were scored by both protocols: "
    "lenient counting, by which the authors' released code chooses the epoch on test, and, in the last columns, the same "
    "two epochs in strict counting. The gain is no skill: it is what is reported too much when test itself chooses the "
    "epoch."
)


@dataclass(frozen=True)
class Margin:
    """How far 2M-NER is ahead of the next best of a setting (behind it if negative), in percent."""

    rival: str
    value: float


def margin_rows(tables: list[PaperTable]) -> list[list[str]]:
    """One line for each setting that has runs."""
    groups = [(table, group) for table in tables if table.name in WITH_MARGINS for group in table.filled()]
    return [[table.name.removeprefix("table"), *_margin_row(group)] for table, group in groups]


def _margin_row(group: SystemGroup) -> list[str]:
    paper = margin({key: row["f1"] for key, row in group.paper.items()})
    ours = margin({system.key: percentages(system, "lenient")["f1"].mean() for system in group.systems})
    noise = seed_noise(group)
    chance = None if noise is None else NORMAL * math.sqrt(2) * noise
    return [
        group.title,
        "" if paper is None else group.titles[paper.rival],
        _signed(paper),
        "" if ours is None else group.titles[ours.rival],
        _with_interval(ours, group),
        f"{widest_interval(group):.2f}",
        "" if noise is None else f"{noise:.2f}",
        "" if chance is None else f"{chance:.2f}",
        "" if chance is None or paper is None else "yes" if paper.value > chance else "no",
    ]


def margin(f1: dict[str, float]) -> Margin | None:
    """The margin of 2M-NER, from the F1 by key; `None` if 2M-NER or all others are missing."""
    rest = {key: value for key, value in f1.items() if key != OURS}
    if OURS not in f1 or not rest:
        return None
    rival = max(rest, key=rest.__getitem__)
    return Margin(rival, float(f1[OURS] - rest[rival]))


def seed_noise(group: SystemGroup) -> float | None:
    """The root mean square of the systems' standard deviations over seeds, in percent; `None` for single seeds."""
    found = [percentages(system, "lenient")["f1"] for system in group.systems]
    variances = [values.var(ddof=1) for values in found if len(values) > 1]
    return math.sqrt(np.mean(variances)) if variances else None


def widest_interval(group: SystemGroup) -> float:
    """Half the width of the widest 95 % interval of F1 in a group, in percent."""
    found = [system.interval() for system in drawn(group).values()]
    return max(50 * (high - low) for low, high in found)


def protocols_table(folders: Sequence[Path]) -> str:
    """What choosing the epoch on test makes of a score, for the runs of several folders, as Markdown.

    Raises:
        ValueError: if no run of these folders was scored by both protocols.
    """
    rows = [[public_name(str(folder)), *row] for folder in folders for row in gap_rows(read_records(folder))]
    if not rows:
        names = ", ".join(public_name(str(folder)) for folder in folders)
        raise ValueError(f"no run of {names} was scored by both protocols; run them with `--protocol released`.")
    return f"{GAP_NOTE}\n\n{Table(('Runs of', *GAP_HEADER), rows).markdown()}\n"


def gap_rows(records: list[RunRecord]) -> list[list[str]]:
    """One line for each model with runs scored by both protocols, and one for all of them."""
    scored = by_system([record for record in records if record.has("released")])
    rows = [[run_title(group[0].run), str(len(group)), *_gap_cells(group)] for group in scored.values()]
    everything = [record for group in scored.values() for record in group]
    return [*rows, ["all runs", str(len(everything)), *_gap_cells(everything)]] if len(rows) > 1 else rows


def _gap_cells(records: list[RunRecord]) -> list[str]:
    dev, released, gain = _protocols(records, "lenient")
    ends = [f"{end(gain):+.2f}" for end in (min, max)]
    strict = _protocols(records, "strict")
    return [*_gain_cells(dev, released, gain), *ends, *_gain_cells(*strict)]


def _protocols(records: list[RunRecord], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The F1 of each run by both protocols, and their difference."""
    dev, released = (
        np.array([100 * scores(record.counts(scheme, protocol))["f1"] for record in records])
        for protocol in ("dev", "released")
    )
    return dev, released, released - dev


def _gain_cells(dev: np.ndarray, released: np.ndarray, gains: np.ndarray) -> list[str]:
    gain: Cell = cell(gains)
    return [cell(dev).text(), cell(released).text(), f"{'+' * ((gain.mean or 0) >= 0)}{gain.text()}"]


def _signed(found: Margin | None) -> str:
    return "" if found is None else f"{found.value:+.2f}"


def _with_interval(found: Margin | None, group: SystemGroup) -> str:
    if found is None or not group.is_comparable():
        return _signed(found)
    samples = drawn(group)
    difference = compare_drawn(samples[OURS], samples[found.rival])
    return f"{found.value:+.2f} ({100 * difference.low:+.2f} to {100 * difference.high:+.2f})"
