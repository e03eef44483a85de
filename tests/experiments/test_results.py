"""What is published under `experiments/results`, and what the documentation says of it, is what the records hold."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.counts import scores
from experiments.grid import read_points
from experiments.records import read_records
from experiments.tables import __main__ as tables
from experiments.tables.grid import read_grids
from experiments.tables.layout import by_system, columns, run_title
from experiments.tables.values import cell

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/tables.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_made_from_the_records(folder):
    figures = [path.name for path in folder.glob("*.png")]
    grids = read_grids(read_points(folder))
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert text == tables.results_page(read_records(folder), "strict", figures, grids)
    assert all(f"]({figure})" in text for figure in figures)


def read_table(path: Path, header: str) -> dict[str, list[str]]:
    """The cells of the first table that begins so, by the first of each line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith(header))
    told = {}
    for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :]):
        title, *cells = (entry.strip() for entry in line.strip("|").split("|"))
        told[title] = cells
    return told


def test_the_documentation_has_the_figures_of_the_averages():
    told = read_table(ROOT / "docs" / "results.md", "| Model | posteriors averaged |")
    made = read_table(RESULTS / "mmnerd_en" / "tables.md", "| Beyond the paper |")
    assert (
        len(told) == 4 and {f"{name}, posteriors of several runs averaged": row for name, row in told.items()} == made
    )


def test_the_documentation_has_the_records_figures():
    """The first table on the English sentences: every cell is the mean and deviation of the three records."""
    told = read_table(ROOT / "docs" / "results.md", "| Model | PER |")
    records = [record for record in read_records(RESULTS / "mmnerd_en") if not record.run.variant]
    for group in by_system(records).values():
        found = [scores(record.counts()) for record in group]
        lenient = [scores(record.counts("lenient"))["f1"] for record in group]
        values = [[one[column] for one in found] for column in columns(PAPER_TYPES)] + [lenient]
        expected = [cell(100 * np.array(column)).text() for column in values]
        assert told[run_title(group[0].run)][:-1] == expected


def test_the_published_folders_are_small_and_name_no_machine():
    assert FOLDERS
    for folder in FOLDERS:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 3_000_000
        for path in files:
            if path.suffix in (".json", ".md", ".tex", ".html"):
                assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path
