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
from experiments.consistency import consistency_page
from experiments.counts import scores
from experiments.grid import read_points
from experiments.reading import count_readings, readings_page, wilson
from experiments.records import read_records
from experiments.tables import __main__ as tables
from experiments.tables.grid import read_grids
from experiments.tables.layout import by_system, columns, run_title
from experiments.tables.noise import protocols_table
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
    for folder in [*FOLDERS, *(RESULTS / name for name in ("calibration", "consistency", "reading"))]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < 3_000_000
        for path in files:
            if path.suffix in (".json", ".md", ".tex", ".html"):
                assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text(encoding="utf-8")), path


def documentation() -> str:
    return (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def read_json(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def tables_of(page: str) -> list[str]:
    """The lines of the tables of a page."""
    return [line for line in page.splitlines() if line.startswith("|")]


def test_the_documentation_has_the_table_of_both_protocols():
    """That of the folders that the command beside it names."""
    part = documentation().split("## What choosing the epoch on test is worth")[1].split("\n## ")[0]
    (command,) = re.findall(r"^python -m experiments\.tables (.+)$", part, re.MULTILINE)
    folders = [ROOT / name for name in command.split()]
    assert len(folders) > 1
    made = tables_of(protocols_table(folders))
    assert tables_of(part) == made
    prose = " ".join(line for line in part.splitlines() if not line.startswith("|"))
    for folder, told in (
        ("mmnerd_en", "{} points on average and at most {} of a run"),
        ("mini", "{} points and up to {}"),
    ):
        row = next(row for row in made if row.startswith(f"| {escaped(folder)} | all")).split(" | ")
        gain, largest = row[5].split(" ± ")[0], row[7]
        assert told.format(gain.lstrip("+"), largest.lstrip("+")) in prose


def escaped(name: str) -> str:
    return name.replace("_", "\\_")


def test_the_documentation_has_the_consistency_of_the_sources():
    content = read_json("consistency/mmnerd_en.json")
    text = documentation()
    assert set(tables_of(consistency_page(content))) <= set(text.splitlines())
    sources = content["sources"]
    assert f"All {sum(found['sentences'] for found in sources.values()):,} English sentences" in text
    share = {name: one["conflicts"]["in_minority"] / one["conflicts"]["mentions"] for name, one in sources.items()}
    assert round(1 / share["en cc12m"]) == 13 and round(1 / share["en twitter2017"]) in range(90, 111)
    assert "one mention in thirteen" in text and "of tweets one in a hundred" in text
    errors = sources["en cc12m"]["errors"]
    assert errors["of these a type that the string has elsewhere"] > errors["wrong types"] / 2
    assert errors["of these on strings with several types"] < errors["on gold entities"] / 2


def test_the_documentation_has_what_the_readings_found():
    first, second = (read_json(f"reading/{name}.json") for name in ("first", "second"))
    counts = count_readings(first, second)
    text = documentation()
    assert set(tables_of(readings_page(counts))) <= set(text.splitlines())
    assert f"verdict; kappa {counts['kappa']:.2f}, and" in text.replace("\n", " ")
    total, wrong = counts["errors"], counts["verdicts"]["label wrong"]
    numbers, one, other, _ = counts["numbers"]
    share = f"{wrong[0] - one} of {total - numbers} in the first reading and {wrong[1] - other} in the second"
    assert total == 100 and share in text
    low, high = wilson(wrong[0], total)
    assert low < 2 / 3 < high and "two thirds of the labels in these errors are wrong" in text
    assert "in memory" in second["reader"] and "language model" in first["reader"]


def test_the_readings_hold_no_word_of_the_data():
    """Only rows, kinds, spans and verdicts: the sentences may not be passed on."""
    for name in ("first", "second"):
        for error in read_json(f"reading/{name}.json")["errors"]:
            assert set(error) == {"row", "kind", "gold", "predicted", "source", "verdict", "number"}
            for kind, start, end in (*error["gold"], *error["predicted"]):
                assert kind in PAPER_TYPES and 0 <= start < end
