"""The comparison of a trained model with new weights where there are a hundred sentences with other labels."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from transformers import AutoModelForTokenClassification

from experiments import relabelled
from experiments.relabelled import compare, group_rows, relabel, scores_table

ROOT = Path(__file__).resolve().parents[2]
RECORD = json.loads((ROOT / "experiments/results/new_labels/record.json").read_text(encoding="utf-8"))


def test_the_documentation_has_the_figures_of_the_record():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert scores_table(RECORD).markdown() in text
    text = " ".join(text.split())
    sizes = RECORD["sentences"]
    assert (
        f"{sizes['train']} sentences to learn from, {sizes['validation']} for validation, {sizes['test']} for test"
        in text
    )
    assert f"words alone can reach {100 * RECORD['text_only_ceiling']:.2f}" in text
    assert (
        f"torch {RECORD['versions']['torch'].split('+')[0]} (CPU), transformers {RECORD['versions']['transformers']}"
        in text
    )
    assert f"{RECORD['settings']['epochs']} epochs" in text


def test_starting_from_the_trained_model_is_better_with_each_seed():
    scores = {(run["arm"], run["seed"]): run["test_f1"] for run in RECORD["runs"]}
    seeds = {seed for _, seed in scores}
    assert len(seeds) == 3 and all(scores["started", seed] > scores["scratch", seed] for seed in seeds)


def test_the_table_has_means_and_deviations():
    runs = [
        {"seed": seed, "arm": arm, "test_f1": f1}
        for arm in ("scratch", "started")
        for seed, f1 in ((1, 0.25), (2, 0.5))
    ]
    rows = list(scores_table({"runs": runs}).rows)
    assert rows[0] == ["new weights", "25.00", "50.00", f"37.50 ± {statistics.stdev([25, 50]):.2f}"]


def test_a_name_that_could_be_anything_has_the_type_that_the_picture_shows():
    row = {"tokens": ["Austin", "and", "Rio", "de", "Janeiro"], "lang": "en"}
    row["ner_tags"] = ["B-LOC", "O", "B-LOC", "I-LOC", "I-LOC"]
    assert relabel(row)["ner_tags"] == ["B-VIEW", "O", "B-CITY", "I-CITY", "I-CITY"]
    assert relabel({"tokens": ["Faust"], "lang": "de", "ner_tags": ["B-MISC"]})["ner_tags"] == ["B-WORK"]


def test_rows_with_a_common_picture_or_common_words_stay_together():
    rows = [("a", "1"), ("b", "2"), ("c", "3"), ("b", "1"), ("d", "3"), ("e", "4")]
    groups = group_rows([{"tokens": [words], "image_id": picture} for words, picture in rows])
    assert sorted([row["tokens"][0] for row in group] for group in groups) == [["a", "b", "b"], ["c", "d"], ["e"]]


@pytest.mark.slow
def test_the_whole_comparison(tmp_path, monkeypatch):
    """With a model that was never trained, and few sentences."""
    from modeling_2mner import LABELS
    from training_2mner.arguments import ModelArguments
    from training_2mner.building import build_tagger

    arguments = ModelArguments(model="2m-ner-demo", tokenizer="new", vocabulary_size=300, resnet_image_size=112)
    model, processor = build_tagger(arguments, [["Anna", "in", "Paris"]], list(LABELS))
    model.save_pretrained(tmp_path / "run")
    processor.save_pretrained(tmp_path / "run")
    (tmp_path / "run" / "all_results.json").write_text('{"test_f1": 0.0}', encoding="utf-8")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for name, size in (("FRESH", 200), ("TRAIN", 20), ("VALIDATION", 20), ("TEST", 20), ("SPLIT_SIZES", (64, 32, 32))):
        monkeypatch.setattr(relabelled, name, size)
    record = compare(tmp_path / "run", [19], 1)

    assert [run["arm"] for run in record["runs"]] == ["scratch", "started"]
    assert str(tmp_path) not in json.dumps(record) and record["model"]["name"] == "run"
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "run").config.labels == list(LABELS)
