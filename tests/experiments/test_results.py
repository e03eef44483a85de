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
import yaml

from dataset_scripts.statistics.paper import PAPER_TYPES
from experiments.agreement import comparison
from experiments.blind_reading import count_readings, readings_page, wilson
from experiments.bootstrap import compare_systems
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


def paper_row(run: Run) -> dict[str, float]:
    """That of Table 5 on the English sentences, or of Table 7 for a model without its pictures."""
    paper = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))
    return paper["table7" if run.variant == "text" else "table5"]["en"][run.model]


def trained(*folders: str) -> list[list[RunRecord]]:
    """The records of folders by system, without answers of finished runs."""
    records = [record for folder in folders for record in read_records(RESULTS / folder)]
    records = [record for record in records if record.run.variant in ("", "text")]
    return list(by_system(records).values())


def means(columns_of_values: Iterable[Iterable[float]]) -> list[str]:
    return [cell(100 * np.array([*column])).text() for column in columns_of_values]


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
E5, MINILM = "multilingual-e5-small", "MiniLM, English"
OVERVIEW = {
    ("BERT-CRF, ours", E5): ("multilingual_crf_rate", "bert-crf"),
    ("BERT-CRF, ours, entities chosen", E5): ("multilingual_crf_rate", "bert-crf-entities"),
    ("BERT-CRF, ours, three runs together", E5): ("multilingual_crf_rate", "bert-crf-averaged-entities"),
    ("BERT-CRF, ours, lower CRF rate", E5): ("multilingual_en", "bert-crf"),
    ("UMT, ours, lower CRF rate", E5): ("multilingual_en", "umt-text"),
    ("UMGF, ours, lower CRF rate", E5): ("multilingual_en", "umgf-text"),
    ("BERT-CRF, ours, lower CRF rate", MINILM): ("mmnerd_en", "bert-crf"),
}


def overview_rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith("| Network, trained and tested"))
    return read_lines("\n".join(takewhile(lambda line: line.startswith("|"), lines[start:])))


def test_the_overview_has_the_figures_of_the_records():
    rows = overview_rows()
    papers = {(row[0], row[2]): row[-1] for row in rows if row[0].endswith("the paper")}
    assert papers == {
        ("2M-NER, the paper", "real"): f"{paper_row(Run('2m-ner'))['f1']:.2f}",
        ("2M-NER, the paper", "none"): f"{paper_row(Run('2m-ner', 'text'))['f1']:.2f}",
        ("UMT, the paper", "none"): f"{paper_row(Run('umt', 'text'))['f1']:.2f}",
        ("BERT-CRF, the paper", "none"): f"{paper_row(Run('bert-crf'))['f1']:.2f}",
    }
    ours = rows[len(papers) :]
    assert [tuple(row[:2]) for row in ours] == list(OVERVIEW)
    for title, encoder, pictures, chosen, runs, *told in ours:
        folder, system = OVERVIEW[title, encoder]
        records = [record for record in read_records(RESULTS / folder) if record.run.system == system]
        strict, lenient = (
            [scores(record.counts(scheme))["f1"] for record in records] for scheme in ("strict", "lenient")
        )
        together = "averaged" in system
        assert (pictures, chosen, runs) == ("none", "dev", "3 together" if together else str(len(records)))
        assert told == means([map(dev_f1, records), strict, lenient])


def dev_f1(record: RunRecord) -> float:
    """F1 on dev, by which epoch or threshold is chosen."""
    by_threshold = record.content.get("dev_f1")
    return max(by_threshold.values()) if by_threshold else record.content["dev"]["f1"]


def test_the_runs_that_are_shown_first_have_the_settings_that_are_best_on_dev():
    """Not those of the best score on test."""
    on_dev = {
        folder.name: dev_f1(runs_of(folder.name)[FIRST_SEED])
        for folder in RESULTS.glob("multilingual_*")
        if (folder / f"bert-crf.en.seed-{FIRST_SEED}.json").is_file()
    }
    best = max(on_dev, key=lambda name: on_dev[name])
    shown = [row for row in OVERVIEW if "lower" not in row[0]]
    assert len(on_dev) > 3 and {OVERVIEW[row][0] for row in shown} == {best}


def test_the_readme_has_the_main_rows():
    strict = {title: row[-2] for title, *row in overview_rows() if row[0] == E5}
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{strict['BERT-CRF, ours']} on English (three seeds)" in readme
    assert f"{strict['BERT-CRF, ours, three runs together']} with three runs averaged" in readme
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
    assert f"it finds {shares['es']} of the Spanish and {shares['fr']} of the French labels" in prose()
    assert f"and {shares['en']} of the original labels" in prose()
    spacy = read_json("tweets/agreement-spacy.json")["languages"]
    told = {lang: f"{100 * found['f1']:.1f}" for lang, found in spacy.items()}
    assert f"they agree only to {told['en']}, and with the projected ones to {told['es']} (Spanish)" in prose()
    assert f"and {told['fr']} (French)" in prose()
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
    (command,) = re.findall(r"^python -m experiments\.tables (.+)$", unbroken(part), re.MULTILINE)
    folders = [ROOT / name for name in command.split()]
    assert len(folders) > 1
    made = tables_of(protocols_table(folders))
    assert tables_of(part) == made
    prose = " ".join(line for line in part.splitlines() if not line.startswith("|"))
    gains = {folder.name: protocol_gains(folder) for folder in folders}
    multilingual = [gain for name, found in gains.items() if name.startswith("multilingual_") for gain in found]
    same = sum(abs(gain) < 0.005 for gain in multilingual)
    for told in (
        f"{np.mean(gains['mmnerd_en']):.2f} points on average and at most {max(gains['mmnerd_en']):.2f} of a run",
        f"{np.mean(multilingual):.2f} on average of {len(multilingual)} runs, {same} of which are best on dev and on test",
        f"on the tweets {np.mean(gains['tweets']):.2f};",
        f"{np.mean(gains['mini']):.2f} points and up to {max(gains['mini']):.2f}",
    ):
        assert told in " ".join(prose.split())


def protocol_gains(folder: Path) -> list[float]:
    """What the epoch that is best on test adds to the lenient F1 of each run."""
    runs = [record for record in read_records(folder) if record.has("released")]
    return [
        100 * (scores(run.counts("lenient", "released"))["f1"] - scores(run.counts("lenient"))["f1"]) for run in runs
    ]


def unbroken(text: str) -> str:
    """With each command on one line."""
    return re.sub(r" \\\n +", " ", text)


def test_the_documentation_has_the_consistency_of_the_sources():
    content = read_json("consistency/mmnerd_en.json")
    text = documentation()
    assert set(tables_of(consistency_page(content))) <= set(text.splitlines())
    sources = content["sources"]
    assert f"All {sum(found['sentences'] for found in sources.values()):,} English sentences" in text
    share = {name: one["conflicts"]["in_minority"] / one["conflicts"]["mentions"] for name, one in sources.items()}
    assert round(1 / share["en cc12m"]) == 13 and "one mention in thirteen" in text
    differ = [
        f"{100 * one['pairs']['of these with different types'] / one['pairs']['of one string']:.1f} %"
        for one in (sources["en cc12m"], sources["en twitter2017"])
    ]
    assert f"{differ[0]} have different types in captions, and {differ[1]} in tweets" in prose()
    mentions = [one["conflicts"]["mentions"] for one in (sources["en cc12m"], sources["en twitter2017"])]
    assert round(mentions[0] / mentions[1]) == 7 and "seven times as many" in prose()
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
    assert total == 100 and share in prose()
    low, high = wilson(wrong[0], total)
    assert low < 2 / 3 < high and "two thirds of the labels in these errors are wrong" in text
    same = sum(found[2] for name, found in counts["verdicts"].items() if not name.startswith("label"))
    assert f"That both give {same} of {total} errors" in prose()
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
    (command,) = re.findall(r"^python -m experiments\.compare (.+)$", unbroken(part), re.MULTILINE)
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


def test_the_documentation_has_the_fifths_of_the_training_sentences():
    told = read_table(ROOT / "docs" / "results.md", "| Trained on | Runs |")
    paper = json.loads((ROOT / "experiments" / "tables" / "paper.json").read_text(encoding="utf-8"))["table8"]
    of_paper = {part: row["f1"] for part, row in paper.items()}
    by_part: dict[str, list[dict]] = {}
    for record in read_records(RESULTS / "fifths_en"):
        by_part.setdefault(record.run.part, []).append(scores(record.counts()))
    whole, parts = by_part.pop(""), dict(sorted(by_part.items()))
    mean = np.mean([of_paper[part] for part in parts])
    rows = {f"Part {part}": (found, of_paper[part]) for part, found in parts.items()}
    rows |= {"Mean of the parts": ([one for found in parts.values() for one in found], mean)}
    rows |= {"All of them": (whole, of_paper["all"])}
    assert told == {
        title: [
            str(len(found)),
            *means([one[column] for one in found] for column in columns(PAPER_TYPES)),
            f"{figure:.2f}",
        ]
        for title, (found, figure) in rows.items()
    }
    f1 = np.array([[100 * one["f1"] for one in found] for found in parts.values()])
    low, high, apart = f1.mean(axis=1).min(), f1.mean(axis=1).max(), np.ptp(f1, axis=1).max()
    assert f1.shape == (5, 2)
    assert f"lie between {low:.2f} and {high:.2f}, two runs on one fifth up to {apart:.2f} apart" in prose()
    gains = 100 * whole[0]["f1"] - f1.mean(), of_paper["all"] - mean
    assert "gain {:.2f} points (in the paper {:.2f})".format(*gains) in prose()


def runs_of(folder: str) -> dict[int, RunRecord]:
    """The runs of BERT-CRF in a folder, by seed."""
    return {record.run.seed: record for record in read_records(RESULTS / folder) if record.run.system == "bert-crf"}


def test_the_documentation_has_what_settings_gain_on_dev():
    plain = runs_of("multilingual_en")

    def gains(folder: str) -> str:
        found = runs_of(folder)
        assert list(found) == [19, 20, 21]
        first, second, third = (f"{100 * (dev_f1(found[seed]) - dev_f1(plain[seed])):+.2f}" for seed in found)
        return f"{first}, {second} and {third}"

    rates, epochs = gains("multilingual_crf_rate"), gains("multilingual_five_epochs")
    assert f"gains {rates} points on dev with the seeds 19, 20 and 21, five epochs {epochs}" in prose()


def test_the_documentation_has_where_the_suspects_are_missed():
    without, plain = runs_of("multilingual_without_suspects"), runs_of("multilingual_en")
    told = []
    for source in ("cc12m", "twitter2017"):
        f1 = [
            np.mean(
                [scores(runs[seed].counts().select(runs[seed].group("source") == source))["f1"] for seed in without]
            )
            for runs in (without, plain)
        ]
        told.append(f"{100 * (f1[0] - f1[1]):+.2f}")
    assert f"{told[0]} on captions and {told[1]} on tweets, of which nothing was left out" in prose()


def test_the_documentation_has_how_sure_the_gains_of_languages_are():
    """By Holm's correction for all tests of the matrix."""
    (matrix,) = read_matrices(RESULTS / "tweets")
    in_order = sorted(matrix.comparisons.items(), key=lambda one: one[1].p_value)
    corrected = [found.p_value * (len(in_order) - place) for place, (_, found) in enumerate(in_order)]
    sure = {key for (key, _), _ in takewhile(lambda one: one[1] < 0.05, zip(in_order, corrected, strict=True))}
    told = {(trained, tested) for trained in matrix.records for tested in trained.split("_") if "_" in trained}
    told |= {("all", tested) for tested in matrix.languages}
    assert all(matrix.comparisons[key].is_significant for key in told)
    assert told - sure == {("en_fr", "en"), ("en_fr", "fr")}
    text = f"{len(told & sure)} of the {len(told)} also do with Holm's correction for the {len(in_order)} tests"
    assert text in prose()
    for record in read_records(RESULTS / "tweets"):
        assert record.content["dev"]["epoch"] == 3  # "Every run was best in its last epoch"


def test_the_documentation_has_the_languages_with_equal_steps():
    """A language alone with twice the epochs, against that language with others in the same number of epochs as before."""
    (matrix,), (longer,) = read_matrices(RESULTS / "tweets"), read_matrices(RESULTS / "tweets_six_epochs")
    names = {"en": "English", "fr": "French", "es": "Spanish"}
    told = read_lines(table_at("| Tested on | Together with |"))
    made, beyond_chance, positive = [], [], 0
    for tested, name in names.items():
        alone = longer.records[tested][0]
        assert alone.content["data"]["fingerprint"] == matrix.records[tested][0].content["data"]["fingerprint"]
        rows = alone.group("lang") == tested
        pairs = [config for config in matrix.records if "_" in config and tested in config.split("_")]
        for config in [*pairs, "all"]:
            together = matrix.records[config][0]
            counts = [record.counts().select(rows) for record in (together, alone)]
            found = compare_systems(*counts, alone.pictures[rows])
            f1 = [matrix.f1(tested, tested)[0], longer.f1(tested, tested)[0], matrix.f1(config, tested)[0]]
            others = [names[one] for one in config.split("_") if one in names and one != tested]
            interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
            figures = [*(f"{value:.2f}" for value in f1), f"{100 * found.difference:+.2f}", interval, found.p_text]
            made.append([name, *(others or ["all three"]), *figures])
            beyond_chance += [(tested, config)] if found.is_significant else []
            positive += found.difference > 0
    assert told == made
    assert beyond_chance == [("fr", "all")] and (positive, len(made)) == (8, 9)


def table_at(header: str) -> str:
    lines = (ROOT / "docs" / "results.md").read_text(encoding="utf-8").splitlines()
    start = next(row for row, line in enumerate(lines) if line.startswith(header))
    return "\n".join(takewhile(lambda line: line.startswith("|"), lines[start:]))
