"""What docs/results.md says of languages that were not trained on is what the records hold."""

from __future__ import annotations

import json
from itertools import takewhile

import pytest

from experiments.agreement import comparison
from experiments.bootstrap import compare_systems
from experiments.counts import EntityCounts, scores
from experiments.plan import FIRST_SEED
from experiments.records import read_records
from experiments.tables.languages import read_matrices
from reports_2mner.tables import Bold
from tests.experiments.results_page import (
    RESULTS,
    ROOT,
    prose,
    read_json,
    read_lines,
    read_table,
    table_at,
)


def test_the_documentation_has_the_matrix_of_languages():
    told = read_table(ROOT / "docs" / "results.md", "| Trained on | Test: English |")
    (matrix,) = read_matrices(RESULTS / "tweets")
    assert list(told.items()) == [(title, [str_of(cell) for cell in cells]) for title, *cells in matrix.rows()]
    assert {"en", "es", "fr"} <= set(matrix.records)


def str_of(cell: str) -> str:
    return f"**{cell}**" if isinstance(cell, Bold) else cell


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
