"""What is published under `experiments/results`, and what the documentation says of it, is what the records hold."""

from __future__ import annotations

import json
import math
import re
from itertools import takewhile

import pytest
import yaml

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.counts import scores
from experiments.grid import read_points
from experiments.plan import FIRST_SEED, Run
from experiments.records import read_records
from experiments.tables.grid import read_grids
from experiments.tables.languages import read_matrices
from experiments.tables.layout import columns, run_title
from experiments.tables.results import results_page
from tests.experiments.results_page import (
    FOLDERS,
    RESULTS,
    ROOT,
    dev_f1,
    means,
    read_lines,
    read_table,
    runs_of,
    trained,
)
from training_2mner.calibrate.reliability import Bin, Reliability


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_made_from_the_records(folder):
    figures = [path.name for path in folder.glob("*.png")]
    grids = read_grids(read_points(folder))
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert text == results_page(read_records(folder), "strict", figures, grids, read_matrices(folder))
    assert all(f"]({figure})" in text for figure in figures)


def test_the_documentation_has_the_figures_of_the_averages():
    told = read_table(ROOT / "docs" / "results.md", "| Model | posteriors averaged |")
    made = read_table(RESULTS / "mmnerd_en" / "tables.md", "| Beyond the paper |")
    assert (
        len(told) == 4 and {f"{name}, posteriors of several runs averaged": row for name, row in told.items()} == made
    )


def paper_row(run: Run) -> dict[str, float]:
    """That of Table 5 on the English sentences, or of Table 7 for a model without its pictures."""
    paper = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))
    return paper["table7" if run.variant == "text" else "table5"]["en"][run.model]


# AdaCAN reads word vectors and has no encoder.
MULTILINGUAL = ("multilingual_en", "adacan_en")


@pytest.mark.parametrize(
    ("folders", "header"),
    [(("mmnerd_en",), "| Model | PER |"), (MULTILINGUAL, "| Model, multilingual encoder | Seeds |")],
)
def test_the_documentation_has_the_records_figures(folders, header):
    """The first tables on the English sentences: every cell is the mean and deviation of the records."""
    told = read_table(ROOT / "docs" / "results.md", header)
    groups = trained(*folders)
    assert len(told) == len(groups) * (2 if "Seeds" in header else 1)
    for group in groups:
        found = [scores(record.counts()) for record in group]
        lenient = [scores(record.counts("lenient"))["f1"] for record in group]
        cells = means([*([one[column] for one in found] for column in columns(PAPER_TYPES)), lenient])
        title, of_paper = run_title(group[0].run), paper_row(group[0].run)
        if "Seeds" in header:
            assert told[title] == [str(len(group)), *cells]
            *types, f1 = (f"{of_paper[column.removeprefix('f1_')]:.2f}" for column in columns(PAPER_TYPES))
            assert told[f"{title}, the paper"] == ["", *types, "", f1]  # counted leniently
        else:
            *row, figure = told[title]
            assert row == cells
            assert figure == f"{of_paper['f1']:.2f}" if of_paper.get("f1") else figure.endswith("†")


def test_the_documentation_has_the_multilingual_figures_by_source():
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(
        row for row, line in enumerate(lines) if line.startswith("| Model, multilingual encoder, by source |")
    )
    told = read_lines("\n".join(takewhile(lambda line: line.startswith("|"), lines[start:])))
    made = []
    for group in trained(*MULTILINGUAL):
        for source, title in {"cc12m": "captions", "twitter2017": "tweets"}.items():
            found = [scores(record.counts().select(record.group("source") == source)) for record in group]
            values = means([one[column] for one in found] for column in columns(PAPER_TYPES))
            made.append([run_title(group[0].run), title, *values])
    assert told == made


# What the rows of the overview are: by title and encoder, the folder and the system.
E5 = "multilingual-e5-small"
OVERVIEW = {
    "BERT-CRF": ("multilingual_crf_rate", "bert-crf"),
    "BERT-CRF, entities chosen": ("multilingual_crf_rate", "bert-crf-entities"),
    "BERT-CRF, three runs together": ("multilingual_crf_rate", "bert-crf-averaged-entities"),
    "BERT-CRF, lower CRF rate": ("multilingual_en", "bert-crf"),
    "BERT-CRF, lower CRF rate, five epochs": ("multilingual_five_epochs", "bert-crf"),
    "BERT-CRF, lower CRF rate, five epochs, three runs together": (
        "multilingual_five_epochs",
        "bert-crf-averaged-entities",
    ),
    "UMT, words alone, lower CRF rate": ("multilingual_en", "umt-text"),
    "UMGF, words alone, lower CRF rate": ("multilingual_en", "umgf-text"),
    "BERT-CRF with MiniLM, lower CRF rate": ("mmnerd_en", "bert-crf"),
}


def overview_rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("| Network, trained and tested"))
    return read_lines("\n".join(takewhile(lambda line: line.startswith("|"), lines[start:])))


def test_the_overview_has_the_figures_of_the_records():
    rows = overview_rows()
    papers = {
        "2M-NER with pictures": Run("2m-ner"),
        "2M-NER, words alone": Run("2m-ner", "text"),
        "UMT, words alone": Run("umt", "text"),
        "BERT-CRF": Run("bert-crf"),
    }
    figures = [[f"The paper: {name}", "not said", "", f"{paper_row(run)['f1']:.2f}"] for name, run in papers.items()]
    assert rows[: len(papers)] == figures
    assert [row[0] for row in rows[len(papers) :]] == [f"Ours: {title}" for title in OVERVIEW]
    for title, runs, *told in rows[len(papers) :]:
        folder, system = OVERVIEW[title.removeprefix("Ours: ")]
        records = [record for record in read_records(RESULTS / folder) if record.run.system == system]
        strict, lenient = ([scores(one.counts(scheme))["f1"] for one in records] for scheme in ("strict", "lenient"))
        assert runs == ("3 together" if "averaged" in system else str(len(records)))
        assert told == means([map(dev_f1, records), strict])
        assert strict == lenient  # as the page says


def test_the_runs_that_are_shown_first_have_the_settings_that_are_best_on_dev():
    """Not those of the best score on test."""
    on_dev = {
        folder.name: dev_f1(runs_of(folder.name)[FIRST_SEED])
        for folder in RESULTS.glob("multilingual_*")
        if (folder / f"bert-crf.en.seed-{FIRST_SEED}.json").is_file()
    }
    best = max(on_dev, key=lambda name: on_dev[name])
    shown = {folder for title, (folder, _) in OVERVIEW.items() if "lower" not in title}
    assert len(on_dev) > 3 and shown == {best}


def test_the_readme_has_the_main_rows():
    strict = {title: row[-1] for title, *row in overview_rows()}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{strict['Ours: BERT-CRF']} on English (three seeds)" in readme
    assert f"{strict['Ours: BERT-CRF, three runs together']} with three runs averaged" in readme
    zero_shot = read_table(ROOT / "docs" / "results.md", "| Test tweets | Labels |")
    english, spanish, french = (zero_shot[name][3] for name in ("English", "Spanish", "French"))
    assert (
        f"On tweets: English {english}; translations with projected labels, not trained on: Spanish {spanish}"
        in readme
    )
    assert f"French {french}; German was not measured" in readme


def test_the_run_file_of_the_readme_has_the_settings_that_are_best_on_dev():
    settings = yaml.safe_load(
        (ROOT / "configuration_2mner/runs/english-multilingual.yaml").read_text(encoding="utf-8")
    )
    records = read_records(RESULTS / "multilingual_crf_rate")
    changed = next(record.content["changed"] for record in records if record.run.system == "bert-crf")
    names = (
        "learning_rate",
        "encoder_learning_rate",
        "crf_learning_rate",
        "num_train_epochs",
        "max_grad_norm",
        "bf16",
    )
    assert {name: settings[name] for name in names} == {name: changed[name] for name in names}


def test_the_records_tell_the_weights_of_their_encoder():
    """One multilingual encoder and one MiniLM, by the SHA-256 of their weights."""
    found = {}
    for path in [*RESULTS.glob("*/*.json"), *RESULTS.glob("*/*/*.json")]:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "--text_encoder" in str(content.get("command")):
            encoder = content["encoders"]["text_encoder"]
            assert re.search(r"--text_encoder (\S+)", content["command"])[1] == encoder["name"]
            found.setdefault(encoder["name"], set()).add(encoder["sha256"])
    assert set(found) == {E5, "model"} and all(len(digests) == 1 for digests in found.values())


CALIBRATED = {
    "bert-crf-english": "BERT-CRF, English sentences",
    "bert-crf-multilingual": "BERT-CRF, multilingual encoder",
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
