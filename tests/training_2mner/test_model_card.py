from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import DatasetDict
from huggingface_hub import ModelCard

from training_2mner.arguments import DataArguments, ModelArguments
from training_2mner.model_card import results_table, write_model_card

RESULTS = {
    "train_runtime": 12.3,
    "eval_f1": 0.71239,
    "test_precision": 0.5,
    "test_recall": 0.25,
    "test_f1": 1 / 3,
    "test_f1_PER": 0.125,
    "test_lenient_precision": 0.6,
    "test_lenient_f1": 0.40004,
    "test_lang_en_precision": 0.75,
    "test_lang_en_f1": 0.61239,
    "test_source_cc12m_precision": 1.0,
    "test_source_cc12m_lenient_precision": 1.0,
}


@pytest.fixture
def write_card(make_trainer, splits, tmp_path):
    """Save `all_results.json` and write the card of a run; returns the card and the results."""

    def write(model=None, data=None, sets=splits, network=None, **settings) -> tuple[ModelCard, dict]:
        trainer = make_trainer(network, **settings)
        trainer.save_metrics("all", RESULTS)
        data = data or DataArguments(dataset="mmnerd")
        write_model_card(trainer, model or ModelArguments(), data, sets, RESULTS)
        folder = tmp_path / "run"
        return ModelCard.load(folder / "README.md"), json.loads((folder / "all_results.json").read_text("utf-8"))

    return write


def test_model_index_holds_the_numbers_of_the_results(write_card):
    card, results = write_card()
    entries = {entry.metric_name: entry for entry in card.data.eval_results}

    assert entries["F1 (strict)"].metric_value == pytest.approx(100 * results["test_f1"], abs=0.006)
    assert entries["F1 (lenient)"].metric_value == pytest.approx(100 * results["test_lenient_f1"], abs=0.006)
    assert {entry.dataset_split for entry in entries.values()} == {"test"}
    assert {entry.dataset_config for entry in entries.values()} == {"all"}


def test_metadata(write_card):
    card, _ = write_card()

    assert card.data.language == ["en", "fr"]  # those of the training sentences, not all of the schema
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "token-classification")
    assert card.data.model_name == "run"


def test_text_tells_data_results_and_training(write_card, make_trainer):
    card, _ = write_card(learning_rate=3e-4, freeze=["vit"], seed=0, encoder_learning_rate=0.0)

    assert "24 train, 7 validation, 9 test sentences" in card.text
    assert results_table(RESULTS, make_trainer()) in card.text
    assert "- validation F1 (strict): 71.24" in card.text
    assert "- training time: 12 s on cpu" in card.text
    for line in ("- learning_rate: 0.0003", "- freeze: ['vit']", "- seed: 0", "- encoder_learning_rate: 0.0"):
        assert line in card.text
    assert "a ViT and a ResNet for the picture" in card.text
    assert "{{" not in card.text


def test_results_table(make_trainer):
    assert results_table(RESULTS, make_trainer()).splitlines() == [
        "| Sentences | Precision | Recall | F1 | PER | LOC | ORG | MISC | lenient F1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| all | 50.00 | 25.00 | 33.33 | 12.50 | - | - | - | 40.00 |",
        "| lang en | 75.00 | - | 61.24 | - | - | - | - | - |",
        "| source cc12m | 100.00 | - | - | - | - | - | - | - |",
    ]


def test_no_machine_path_in_the_text(write_card, tmp_path, monkeypatch):
    names = ("bert", "vit", "resnet.pth", "data", "start", "preset.json")
    folders = {name: tmp_path / "secret" / name for name in names}
    for path in folders.values():
        path.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    encoders = ("bert", "vit", "resnet.pth")
    arguments = ModelArguments("2m-ner", *(str(folders[name]) for name in encoders))
    card, _ = write_card(arguments, DataArguments(dataset=str(folders["data"])))

    assert "started from bert, vit, resnet.pth" in card.text
    for model in (str(folders["start"]), "secret/preset.json"):
        other, _ = write_card(ModelArguments(model), DataArguments(dataset=f"{folders['data']}/"))
        assert Path(model).name in other.text
        for text in (str(card), str(other)):
            assert "secret" not in text and str(tmp_path) not in text


def test_names_of_the_hub_are_kept_whole(write_card):
    arguments = ModelArguments("2m-ner", "google-bert/bert-base-multilingual-cased")
    card, _ = write_card(arguments, DataArguments(dataset="someone/mmnerd", dataset_revision="v1"))

    assert "started from google-bert/bert-base-multilingual-cased" in card.text
    assert card.data.eval_results[0].dataset_type == "someone/mmnerd"
    assert "revision v1" in card.text


def test_languages_given_as_text(write_card, splits):
    def with_text(split):
        return split.remove_columns("lang").add_column("lang", ["es"] * len(split))

    card, _ = write_card(sets=DatasetDict({name: with_text(split) for name, split in splits.items()}))

    assert card.data.language == ["es"]


def test_data_without_languages(write_card, splits):
    card, _ = write_card(sets=splits.remove_columns(["lang", "source"]))

    assert card.data.language is None


def test_a_text_only_model_says_so(write_card, make_model, text_only):
    card, _ = write_card(network=make_model(**text_only))

    assert "no image branch (text only)" in card.text
