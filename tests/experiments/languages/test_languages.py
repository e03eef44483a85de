"""Runs on languages that they were not trained on: the records, the matrix and its tests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from dataset_scripts.schema import CONFIGS
from experiments.languages import __main__ as program
from experiments.languages import scoring
from experiments.plan import Run, plan_runs
from experiments.records import describe_scores, read_record, write_record
from experiments.tables import __main__ as tables
from experiments.tables.languages import FOLDER, read_matrices

GOLD = ["B-PER", "O", "B-LOC", "O"]
PICTURES = 40


def answer(right: int) -> list[str]:
    """With this many of the two entities."""
    return [tag if place < 2 * right else "O" for place, tag in enumerate(GOLD)]


def write_scored(folder, run: Run, right: dict[str, int], fingerprint: str = "one") -> None:
    """A record in which each language has this many right entities in all sentences but the first picture's."""
    rows = [(language, picture) for language in ("en", "es") for picture in range(PICTURES)]
    predictions = [answer(right[language] if picture else 2) for language, picture in rows]
    data = {"name": "tweets", "config": "all", "revision": None, "fingerprint": fingerprint, "split": None}
    test = {
        "lang": [row[0] for row in rows],
        "source": ["twitter2017"] * len(rows),
        "picture": [row[1] for row in rows],
    }
    scored = describe_scores([GOLD] * len(rows), predictions)
    write_record(folder / FOLDER / f"{run.name}.json", run, data=data, test={**test, "dev": scored})


@pytest.fixture
def folder(tmp_path):
    """Spanish is half found by the English models, and all by those that learned it; two seeds of the former."""
    for seed in (19, 20):
        write_scored(tmp_path, Run("bert-crf", "", "en", seed), {"en": 2, "es": 1})
    write_scored(tmp_path, Run("bert-crf", "", "es"), {"en": 1, "es": 2})
    write_scored(tmp_path, Run("bert-crf", "", "en_es"), {"en": 2, "es": 2})
    return tmp_path


def f1(found: int, gold: int) -> float:
    return 100 * 2 * found / (found + gold)


def test_the_matrix_scores_each_language_by_itself(folder):
    (matrix,) = read_matrices(folder)
    half = f1(PICTURES + 1, 2 * PICTURES)

    assert (matrix.title, list(matrix.records), matrix.languages) == ("BERT-CRF", ["en", "es", "en_es"], ("en", "es"))
    assert matrix.f1("en", "es") == pytest.approx([half, half]) and matrix.f1("es", "en") == pytest.approx([half])
    assert matrix.f1("en_es", "es") == pytest.approx([100.0])


def test_the_difference_is_from_training_on_the_tested_language(folder):
    (matrix,) = read_matrices(folder)
    assert set(matrix.comparisons) == {("es", "en"), ("en_es", "en"), ("en", "es"), ("en_es", "es")}
    zero_shot = matrix.comparisons["en", "es"]
    # Two seeds against one: means of both, and not sums, are compared.
    assert 100 * zero_shot.difference == pytest.approx(f1(PICTURES + 1, 2 * PICTURES) - 100)
    assert zero_shot.low <= zero_shot.difference <= zero_shot.high < 0 and zero_shot.is_significant
    assert matrix.comparisons["en_es", "es"].difference == 0 and not matrix.comparisons["en_es", "es"].is_significant


def test_the_page_has_matrix_tests_and_figure(folder, capsys):
    tables.main([str(folder)])
    text = capsys.readouterr().out
    half = f"{f1(PICTURES + 1, 2 * PICTURES):.2f}"

    assert "| Trained on | Test: English | Test: Spanish |" in text
    assert (
        f"| English | 100.00 ± 0.00 | **{half} ± 0.00** |" in text
        and "| English and Spanish | 100.00 | 100.00 |" in text
    )
    assert "| Spanish | English and Spanish | +0.00 | +0.00 to +0.00 | 1.000 |" in text
    assert "![F1 by languages of training and test](languages.png)" in text
    assert r"\caption{BERT-CRF by languages of training and test: strict F1}" in (folder / "tables.tex").read_text(
        "utf-8"
    )
    with Image.open(folder / "languages.png") as picture:
        assert picture.width == 1400 and len(picture.convert("RGB").getcolors(10**6)) > 50


def test_records_of_other_data_are_refused(folder):
    write_scored(folder, Run("bert-crf", "", "en", 21), {"en": 2, "es": 2}, fingerprint="two")
    with pytest.raises(ValueError, match=r"bert-crf\.en\.seed-21 was scored on data .*folder of their own"):
        read_matrices(folder)


def test_every_run_is_scored_once_on_all_languages(tmp_path, dataset, monkeypatch):
    folders = [tmp_path / "models" / f"bert-crf.{name}.seed-19" for name in ("en", "all")]
    for place in folders:
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    asked = []

    def tag(name, test, *others):
        asked.append(name)
        return [["O"] * len(words) for words in test["tokens"]]

    monkeypatch.setattr(scoring, "tag_split", tag)
    words = ["--dataset", dataset, "--output", str(tmp_path / "results"), "--device", "cpu"]
    program.main([str(folders[0]), *words])
    program.main([*map(str, folders), *words])

    assert asked == [str(place) for place in folders]
    record = read_record(tmp_path / "results" / FOLDER / "bert-crf.en.seed-19.json")
    assert record.run == Run("bert-crf", "", "en") and set(record.group("lang")) == set(CONFIGS["all"])
    assert record.content["command"] == "python -m experiments.languages bert-crf.en.seed-19 --dataset mini"
    assert record.content["data"]["fingerprint"] and np.sum(record.counts().table[:, :, 2]) > 0
    assert str(tmp_path) not in json.dumps(record.content)


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(SystemExit, match=r"`runs` names .*mine, which is no run folder with a name such as"):
        program.main([str(tmp_path / "mine"), "--dataset", "tweets", "--output", str(tmp_path)])


def test_the_plan_has_single_languages_pairs_and_all():
    wanted = ["en", "es", "fr", "en_es", "en_fr", "fr_es", "all"]
    runs = plan_runs(["languages"], seeds=2, only=["bert-crf"], languages=wanted)
    assert [(run.languages, run.seed) for run in runs] == [
        (name, seed) for name in ("en", "fr", "es", "en_fr", "en_es", "fr_es", "all") for seed in (19, 20)
    ]
    assert {run.system for run in runs} == {"bert-crf"}


def test_a_record_of_other_data_is_not_taken_for_done(tmp_path, dataset, monkeypatch):
    folder = tmp_path / "models" / "bert-crf.en.seed-19"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_scored(tmp_path, Run("bert-crf", "", "en"), {"en": 2, "es": 1})
    words = ["--dataset", dataset, "--output", str(tmp_path), "--device", "cpu"]
    with pytest.raises(SystemExit, match=r"`output` has .*seed-19\.json, of tweets \(one\), but `dataset` is mini"):
        program.main([str(folder), *words])
    other = tmp_path / "others" / folder.name
    other.mkdir(parents=True)
    (other / "config.json").write_text("{}")
    with pytest.raises(SystemExit, match="`runs` names a run twice"):
        program.main([str(folder), str(other), *words])
