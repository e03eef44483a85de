"""What is published under `experiments/results`, and what the documentation says of it, is what the records hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.agreement import comparison
from experiments.blind_reading import count_readings, readings_page, wilson
from experiments.counts import EntityCounts, scores
from experiments.grid import read_points
from experiments.pairs import HEADER, compare_folders
from experiments.plan import AVERAGED_ENTITIES, ENTITIES, FIRST_SEED, Run
from experiments.records import RunRecord, read_records
from experiments.source_labels import consistency_page
from experiments.tables.grid import read_grids
from experiments.tables.languages import read_matrices
from experiments.tables.layout import by_system, columns, run_title
from experiments.tables.noise import protocols_table
from experiments.tables.results import results_page
from experiments.tables.values import cell
from reports_2mner.tables import Bold, Table
from training_2mner.calibrate.reliability import Bin, Reliability

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.glob("*/tables.md"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_tables_are_made_from_the_records(folder):
    figures = [path.name for path in folder.glob("*.png")]
    grids = read_grids(read_points(folder))
    text = (folder / "tables.md").read_text(encoding="utf-8")
    assert text == results_page(read_records(folder), "strict", figures, grids, read_matrices(folder))
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


def paper_f1(run: Run) -> float | None:
    """That of Table 5 on the English sentences, or of Table 7 for a model without its pictures."""
    paper = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))
    return paper["table7" if run.variant == "text" else "table5"]["en"][run.model]["f1"]


def trained(folder: str) -> list[list[RunRecord]]:
    """The records of a folder by system, without answers of finished runs."""
    records = [record for record in read_records(RESULTS / folder) if record.run.variant in ("", "text")]
    return list(by_system(records).values())


def means(columns_of_values: Iterable[Iterable[float]]) -> list[str]:
    return [cell(100 * np.array([*column])).text() for column in columns_of_values]


@pytest.mark.parametrize(
    ("folder", "header"),
    [("mmnerd_en", "| Model | PER |"), ("multilingual_en", "| Model, multilingual encoder | Seeds |")],
)
def test_the_documentation_has_the_records_figures(folder, header):
    """The first tables on the English sentences: every cell is the mean and deviation of the records."""
    told = read_table(ROOT / "docs" / "results.md", header)
    groups = trained(folder)
    assert len(told) == len(groups)
    for group in groups:
        found = [scores(record.counts()) for record in group]
        lenient = [scores(record.counts("lenient"))["f1"] for record in group]
        cells = means([*([one[column] for one in found] for column in columns(PAPER_TYPES)), lenient])
        expected = [str(len(group)), *cells] if "Seeds" in header else cells
        *row, of_paper = told[run_title(group[0].run)]
        assert row == expected
        figure = paper_f1(group[0].run)
        assert of_paper == f"{figure:.2f}" if figure else of_paper.endswith("†")


def test_the_documentation_has_the_multilingual_figures_by_source():
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(
        row for row, line in enumerate(lines) if line.startswith("| Model, multilingual encoder, by source |")
    )
    told = read_lines("\n".join(takewhile(lambda line: line.startswith("|"), lines[start:])))
    made = []
    for group in trained("multilingual_en"):
        for source, title in {"cc12m": "captions", "twitter2017": "tweets"}.items():
            found = [scores(record.counts().select(record.group("source") == source)) for record in group]
            values = means([one[column] for one in found] for column in columns(PAPER_TYPES))
            made.append([run_title(group[0].run), title, *values])
    assert told == made


# What the rows of the overview are: by title and encoder, the folder and the system.
OVERVIEW = {
    ("BERT-CRF, ours", "multilingual-e5-small"): ("multilingual_en", "bert-crf"),
    ("BERT-CRF, ours", "MiniLM, English"): ("mmnerd_en", "bert-crf"),
    ("BERT-CRF, ours, five epochs", "multilingual-e5-small"): ("multilingual_five_epochs", "bert-crf"),
    ("BERT-CRF, ours, entities chosen", "multilingual-e5-small"): (
        "multilingual_en",
        "bert-crf-entities",
    ),
    ("BERT-CRF, ours, three runs together", "multilingual-e5-small"): (
        "multilingual_en",
        "bert-crf-averaged-entities",
    ),
    ("BERT-CRF, ours, five epochs, three runs together", "multilingual-e5-small"): (
        "multilingual_five_epochs",
        "bert-crf-averaged-entities",
    ),
}


def read_folder(name: str) -> list[RunRecord]:
    return read_records(RESULTS / name) if (RESULTS / name).is_dir() else []


def overview_rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("| Network, trained and tested"))
    return read_lines("\n".join(takewhile(lambda line: line.startswith("|"), lines[start:])))


def test_the_overview_has_the_figures_of_the_records():
    rows = overview_rows()
    papers = {row[0]: row[-1] for row in rows[:2]}
    assert papers == {
        "2M-NER, the paper": f"{paper_f1(Run('2m-ner'))}",
        "BERT-CRF, the paper": f"{paper_f1(Run('bert-crf'))}",
    }
    there = {
        (record.run.system, folder)
        for folder in {one for one, _ in OVERVIEW.values()}
        for record in read_folder(folder)
    }
    assert {tuple(row[:2]) for row in rows[2:]} == {
        row for row, (folder, system) in OVERVIEW.items() if (system, folder) in there
    }
    for title, encoder, pictures, chosen, runs, *told in rows[2:]:
        folder, system = OVERVIEW[title, encoder]
        records = [record for record in read_records(RESULTS / folder) if record.run.system == system]
        values = [[scores(record.counts(scheme))["f1"] for record in records] for scheme in ("strict", "lenient")]
        assert (pictures, chosen, runs, told) == ("none", "dev", str(len(records)), means(values))
        encoders = {re.search(r"--text_encoder (\S+)", record.content["command"]) for record in records}
        assert system != "bert-crf" or folder == "mmnerd_en" or {found[1] for found in encoders} == {encoder}


def test_the_readme_has_the_main_rows():
    strict = {title: row[-2] for title, *row in overview_rows() if row[0] == "multilingual-e5-small"}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"dev: {strict['BERT-CRF, ours']} on English" in readme
    assert f"{strict['BERT-CRF, ours, three runs together']} with three runs averaged" in readme
    zero_shot = read_table(ROOT / "docs" / "results.md", "| Test tweets | Labels |")
    english, spanish, french = (zero_shot[name][3] for name in ("English", "Spanish", "French"))
    assert f"English {english}, Spanish {spanish} and French {french} (untrained" in readme


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


def test_the_documentation_has_the_matrix_of_languages():
    told = read_table(ROOT / "docs" / "results.md", "| Trained on | Test: English |")
    (matrix,) = read_matrices(RESULTS / "tweets")
    assert list(told.items()) == [(title, [str_of(cell) for cell in cells]) for title, *cells in matrix.rows()]
    assert {"en", "es", "fr"} <= set(matrix.records)


def str_of(cell: str) -> str:
    return f"**{cell}**" if isinstance(cell, Bold) else cell


def prose() -> str:
    return " ".join((ROOT / "docs" / "results.md").read_text(encoding="utf-8").split())


def test_the_documentation_has_the_tests_between_languages():
    """Zero-shot from English, and what other languages add to the tested one."""
    (matrix,) = read_matrices(RESULTS / "tweets")
    told = [
        found
        for (trained, tested), found in matrix.comparisons.items()
        if trained in ("en", "all") or tested in trained.split("_")
    ]
    assert len(told) >= 2
    for found in told:
        values = (100 * value for value in (found.difference, found.low, found.high))
        assert "{:+.2f} ({:+.2f} to {:+.2f})".format(*values) in prose()


def test_the_documentation_has_the_sizes_of_the_tweets():
    (matrix,) = read_matrices(RESULTS / "tweets")
    record = matrix.records["en"][0]
    gold = {
        lang: int(record.counts().select(record.group("lang") == lang).table[..., 2].sum())
        for lang in matrix.languages
    }
    assert f"{gold['en']} English, {gold['fr']} French and {gold['es']} Spanish entities in test" in prose()
    assert f"2,330 / 334 / {(record.group('lang') == 'en').sum()} sentences in each language" in prose()


def test_the_matrix_differs_from_the_runs_own_records_as_little_as_said():
    """The runs were scored in bfloat16, the matrix in float32."""
    (matrix,) = read_matrices(RESULTS / "tweets")
    for record in read_records(RESULTS / "tweets"):
        if len(record.run.languages) == 2:
            found = matrix.f1(record.run.languages, record.run.languages)[record.run.seed - FIRST_SEED]
            assert abs(100 * scores(record.counts())["f1"] - found) < 0.2
    assert "differ from it by up to 0.2 points" in prose()


def test_the_documentation_has_the_papers_second_languages():
    table = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))["table6"]
    figures = {f"{lang}/{data}": table[lang][data]["f1"] for lang in table for data in table[lang]}
    told = (
        "(French {fr/fr} to {fr/fr_es}, Spanish {es/es} to {es/fr_es}) and lose with English ({fr/en_fr}, {es/en_es}); "
        "English gains with neither ({en/en}; {en/en_es} with Spanish, {en/en_fr} with French)"
    )
    for name, value in figures.items():
        told = told.replace(f"{{{name}}}", f"{value:.2f}")
    assert told in prose()


def test_the_documentation_has_the_scores_of_the_english_model_on_tweets():
    told = read_table(ROOT / "docs" / "results.md", "| Test tweets | Labels |")
    record = json.loads((RESULTS / "tweets" / "zero-shot.json").read_text(encoding="utf-8"))
    columns = ["precision", "recall", "f1", *(f"f1_{kind}" for kind in record["types"])]
    for title, lang in {"English": "en", "Spanish": "es", "French": "fr"}.items():
        values = [record["scores"][f"lang_{lang}_{column}"] for column in columns]
        assert told[title][1:] == [f"{100 * value:.2f}" for value in values]
    assert record["dataset"]["fingerprint"] and record["versions"]["torch"]


METHODS = {"the English model": "english-multilingual", "spaCy": "spacy"}


def test_the_documentation_has_the_agreement_of_projected_labels():
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("| Method | Language |"))
    told = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    ]
    made = []
    for title, name in METHODS.items():
        record = json.loads((RESULTS / "tweets" / f"agreement-{name}.json").read_text(encoding="utf-8"))
        assert record["command"] and record["machine"]["torch"] and record["projected"]
        rows = read_lines(comparison.table(record))
        made += [[title, *row] for row in rows]
        for found in record["languages"].values():  # the figures follow from the counts of the sentences
            counts = EntityCounts.from_json(found["counts"])
            assert found["f1"] == pytest.approx(scores(counts)["f1"]) and len(counts.table) == found["sentences"]
    assert told == made and len(told) == 6
    record = json.loads((RESULTS / "tweets" / "agreement-english-multilingual.json").read_text(encoding="utf-8"))
    shares, f1, waiting = {}, {}, {}
    for lang, found in record["languages"].items():
        right, _, gold = EntityCounts.from_json(found["counts"]).table.sum(axis=(0, 1))
        shares[lang], f1[lang] = f"{100 * right / gold:.1f} %", 100 * found["f1"]
        waiting[lang] = found["kinds"].get("no label: waits for people")
    assert f"It confirms {shares['es']} of the Spanish and {shares['fr']} of the French labels" in prose()
    assert f"and {shares['en']} of the original labels" in prose()
    assert f"cost {f1['en'] - f1['es']:.1f} (Spanish) and {f1['en'] - f1['fr']:.1f} points of F1 (French)" in prose()
    assert f"{waiting['es']} and {waiting['fr']} of its answers fall on entities" in prose()


def read_lines(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


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
    same = sum(found[2] for name, found in counts["verdicts"].items() if not name.startswith("label"))
    assert f"That both give {same} of {total} errors" in text
    right = [round(100 * counts["verdicts"]["predicted"][place] / wrong[place]) for place in (0, 1)]
    assert f"in {right[0]} % by the first reading and {right[1]} % by the second" in text.replace("\n", " ")
    assert "had not seen the first" in second["reader"] and "language model" in first["reader"]


def test_the_readings_hold_no_word_of_the_data():
    """Only rows, kinds, spans and verdicts: the sentences may not be passed on."""
    for name in ("first", "second"):
        for error in read_json(f"reading/{name}.json")["errors"]:
            assert set(error) == {"row", "kind", "gold", "predicted", "source", "verdict", "number"}
            for kind, start, end in (*error["gold"], *error["predicted"]):
                assert kind in PAPER_TYPES and 0 <= start < end


def test_the_documentation_has_the_comparisons_of_changes():
    part = documentation().split("### What else helps")[1].split("\n## ")[0]
    (command,) = re.findall(r"^python -m experiments\.compare (.+)$", part, re.MULTILINE)
    plain, *changed = (ROOT / name for name in command.split())
    made = Table(HEADER, [found.row for found in compare_folders(plain, changed)]).markdown()
    assert set(tables_of(made)) <= set(part.splitlines())
    assert {path.name for path in changed} == {
        path.name for path in FOLDERS if path.name.startswith("multilingual_") and path.name != "multilingual_en"
    }


@pytest.mark.parametrize(
    "folder", sorted({path.parent.name for path in RESULTS.glob("multilingual_*/*averaged*.json")})
)
def test_the_documentation_has_what_averages_and_entities_gain(folder):
    part = documentation().split("### What else helps")[1].split("\n## ")[0]
    made = read_table(RESULTS / folder / "tables.md", "| Beyond the paper |")
    told = read_table(ROOT / "docs" / "results.md", f"| Answer of finished runs, {folder.replace('_', ' ')} |")
    assert told == made
    for record in read_records(RESULTS / folder):
        if record.run.variant in (ENTITIES, AVERAGED_ENTITIES):
            by_threshold = record.content["dev_f1"]
            assert f"{record.content['threshold']:g}" == max(by_threshold, key=by_threshold.get)
            assert f"{record.content['threshold']:g}" in part


SETTINGS = ("multilingual_en", "multilingual_five_epochs", "multilingual_crf_rate", "multilingual_paper_rate")


def test_the_documentation_has_the_settings_that_were_tried():
    """Seed 19: F1 on dev, by which a setting is chosen, and on test."""
    told = read_table(ROOT / "docs" / "results.md", "| Settings, seed 19 |")
    made = {}
    for folder in filter(Path.is_dir, (RESULTS / name for name in SETTINGS)):
        (record,) = (one for one in read_records(folder) if one.run.name == "bert-crf.en.seed-19")
        dev, test = record.content["dev"]["f1"], scores(record.counts())["f1"]
        made[settings_in_words(record.content["changed"])] = [f"{100 * dev:.2f}", f"{100 * test:.2f}"]
    for point, content in read_points(RESULTS / "multilingual_rates"):
        rates = {"learning_rate": point.learning_rate, "encoder_learning_rate": point.encoder_learning_rate}
        made.setdefault(settings_in_words(rates), [f"{100 * content['dev']['f1']:.2f}", ""])
    assert told == made
    best = max(told, key=lambda name: float(told[name][0]))
    assert f"Best on dev: {best}." in prose()


def settings_in_words(changed: dict) -> str:
    """The rates and epochs of a run, by what its record says was changed."""
    rate = changed["learning_rate"]
    encoder, crf = (changed.get(f"{part}_learning_rate") or rate for part in ("encoder", "crf"))
    parts = [f"encoder {encoder:g}", *([f"CRF {crf:g}"] if crf != rate else []), f"others {rate:g}"]
    parts += [f"{changed.get('num_train_epochs', 3):g} epochs"]
    return ", ".join(parts + ([f"warm-up {changed['warmup_steps']:g}"] if "warmup_steps" in changed else []))
