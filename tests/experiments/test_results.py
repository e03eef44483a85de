"""What is published under `experiments/results`, and what the documentation says of it, is what the records hold."""

from __future__ import annotations

import json
import math
import re
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.counts import scores
from experiments.grid import read_points
from experiments.records import read_records
from experiments.tables.grid import read_grids
from experiments.tables.layout import by_system, columns, run_title
from experiments.tables.results import results_page
from experiments.tables.values import cell
from training_2mner.calibrate.reliability import Bin, Reliability

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/tables.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_made_from_the_records(folder):
    figures = [path.name for path in folder.glob("*.png")]
    grids = read_grids(read_points(folder))
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert text == results_page(read_records(folder), "strict", figures, grids)
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


CALIBRATED = {
    "bert-crf-english": "BERT-CRF, English sentences",
    "2m-ner-demo": "2M-NER, generated data",
    "2m-ner-demo-fifth": "2M-NER, a fifth of them",
    "2m-ner-demo-text": "2M-NER, words alone",
}


def test_the_documentation_has_the_figures_of_the_calibrations():
    told = read_table(ROOT / "docs" / "results.md", "| Model, split | temperature |")
    made = {}
    for name, title in CALIBRATED.items():
        record = json.loads((RESULTS / "calibration" / f"{name}.json").read_text(encoding="utf-8"))
        for split, pair in record["splits"].items():
            found = [
                Reliability(one["temperature"], [Bin(**each) for each in one["bins"]], 0, one["f1"])
                for one in pair.values()
            ]
            before, after = found
            assert [one.error for one in found] == [one["calibration_error"] for one in pair.values()]
            assert before.f1 == after.f1 and (before.temperature, before.right) == (1, pytest.approx(after.right))
            percent = [100 * value for value in (before.score, after.score, after.right, before.error, after.error)]
            cells = [
                f"{after.temperature:.3f}",
                f"{after.count:,}",
                *(f"{value:.2f}" for value in (*percent, 100 * after.f1)),
            ]
            made[f"{title}, {split}"] = cells
    assert told == made
    below = {title for title, cells in told.items() if float(cells[6]) < 3}
    assert below == {title for title in told if title.startswith(("BERT-CRF", "2M-NER, generated"))}


def test_the_documentation_has_the_error_that_true_scores_would_have():
    """Of n entities with the score p, the share that is right deviates from p by sqrt(2 p (1 - p) / (pi n)) on average."""
    record = json.loads((RESULTS / "calibration" / "2m-ner-demo-text.json").read_text(encoding="utf-8"))
    bins = [Bin(**each) for each in record["splits"]["test"]["after"]["bins"]]
    deviations = [one.count * math.sqrt(2 * one.score * (1 - one.score) / math.pi / one.count) for one in bins]
    error = 100 * sum(deviations) / sum(one.count for one in bins)
    assert f"would still be about {error:.0f} % on test" in (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def test_the_published_folders_are_small_and_name_no_machine():
    assert FOLDERS
    for folder in [*FOLDERS, RESULTS / "calibration"]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 3_000_000
        for path in files:
            if path.suffix in (".json", ".md", ".tex", ".html"):
                assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path
