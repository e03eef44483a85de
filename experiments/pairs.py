"""Runs of several folders, compared in pairs on the same sentences."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.bootstrap import PairedComparison, compare_systems
from experiments.counts import add_up, scores
from experiments.records import RunRecord, public_name, read_records
from experiments.tables.layout import run_title
from experiments.tables.values import cell
from reports_2mner.command_line import exit_on_error
from reports_2mner.tables import Table

HEADER = ("Change", "Model", "Seeds", "without", "with", "difference", "95 % interval", "p")


@dataclass(frozen=True)
class Comparison:
    """The runs of a system with a change and without, and how they differ.

    Args:
        change: the name of the folder with the change.
        title: model and variant.
        plain, changed: F1 of each run, in percent.
        found: the difference of the pooled runs.
    """

    change: str
    title: str
    plain: np.ndarray
    changed: np.ndarray
    found: PairedComparison

    @property
    def row(self) -> list[str]:
        """Its line of the table."""
        interval = f"{100 * self.found.low:+.2f} to {100 * self.found.high:+.2f}"
        values = (cell(self.plain).text(), cell(self.changed).text(), f"{100 * self.found.difference:+.2f}", interval)
        return [self.change, self.title, str(len(self.plain)), *values, self.found.p_text]


def compare_folders(plain: Path, changed: Sequence[Path], scheme: str = "strict") -> list[Comparison]:
    """Compare each system that a changed folder shares with the plain one, by the seeds that both have.

    Raises:
        ValueError: if a folder shares none, or no seed of it, or if data or sentences differ.
    """
    records = read_records(plain)
    return [found for folder in changed for found in _compare(records, folder, public_name(str(plain)), scheme)]


def compare(options: argparse.Namespace) -> None:
    """Print the comparisons of the folders."""
    with exit_on_error():
        found = compare_folders(options.folders[0], options.folders[1:], options.scheme)
    print(Table(HEADER, [comparison.row for comparison in found]).markdown())


def _compare(plain: list[RunRecord], folder: Path, name: str, scheme: str) -> Iterator[Comparison]:
    changed, changed_name = read_records(folder), public_name(str(folder))
    shared = [run for run in dict.fromkeys(map(_system, plain)) if run in set(map(_system, changed))]
    if not shared:
        raise ValueError(f"`folders`: {changed_name} shares no model with {name}; compare runs of the same model.")
    for system in shared:
        seeds = [{record.run.seed for record in group if _system(record) == system} for group in (plain, changed)]
        if not seeds[0] & seeds[1]:
            raise ValueError(
                f"`folders`: {system[0]} has the seeds {sorted(seeds[0])} in {name} and {sorted(seeds[1])} in "
                f"{changed_name}; compare the same seeds."
            )
        pair = [
            [record for record in group if _system(record) == system and record.run.seed in seeds[0] & seeds[1]]
            for group in (plain, changed)
        ]
        for place, group in ((name, pair[0]), (changed_name, pair[1])):
            if len(group) > len({record.run.seed for record in group}):
                raise ValueError(
                    f"`folders`: {place} has {system[0]} with one seed twice; keep one record of each run."
                )
        _check(pair[0], pair[1], changed_name, name)
        without, within = (np.array([100 * scores(r.counts(scheme))["f1"] for r in group]) for group in pair)
        pooled = [add_up([record.counts(scheme) for record in group]) for group in pair]
        found = compare_systems(pooled[1], pooled[0], pair[0][0].pictures)
        yield Comparison(changed_name, run_title(pair[0][0].run), without, within, found)


def _system(record: RunRecord) -> tuple[str, str, str]:
    return record.run.system, record.run.languages, record.run.part


def _check(plain: list[RunRecord], changed: list[RunRecord], one: str, other: str) -> None:
    """Refuse what cannot be compared in pairs."""
    first = plain[0]
    for record in (*plain, *changed):
        golds = [one.counts().table[:, :, 2] for one in (first, record)]
        same = first.content["data"]["fingerprint"] == record.content["data"]["fingerprint"]
        if not same or not np.array_equal(golds[0], golds[1]) or not np.array_equal(first.pictures, record.pictures):
            raise ValueError(
                f"`folders`: {record.run.name} of {one} or {other} was scored on other sentences or other data than "
                f"{first.run.name}; compare runs of one test set."
            )
