"""A model whose file of weights was cut short is told by every program that loads one, in a line."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import pytest

from train_hf import main, read_command_line

# The words after `python -m`; RUN is the damaged model, DATA a data set.
PROGRAMS = [
    "training_2mner.predict RUN --input sentences.txt --output answers.jsonl",
    "training_2mner.serve RUN",
    "training_2mner.evaluate RUN --dataset DATA",
    "training_2mner.calibrate RUN --dataset DATA",
    "training_2mner.export RUN exported --to onnx",
    "training_2mner.features RUN --dataset DATA --output features",
    "dataset_scripts.label_errors DATA --dataset_config all --folds 2 --models RUN RUN --output suspects",
    "experiments.average RUN --entities --dataset DATA --output averages",
    "experiments.languages RUN --dataset DATA --output matrix",
    "experiments.image_audit RUN --dataset DATA --output audit",
]


@pytest.fixture
def damaged(tmp_path, monkeypatch, make_model, processor) -> Path:
    """A run folder in the working directory, without the end of its weights."""
    folder = tmp_path / "2m-ner.all.seed-19"
    make_model().save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    (tmp_path / "sentences.txt").write_text("Anna lives in Paris .\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("line", PROGRAMS, ids=lambda line: line.split()[0])
def test_damaged_weights_are_told_in_a_line(line, damaged, data_folder):
    module, *words = [word.replace("RUN", damaged.name).replace("DATA", str(data_folder)) for word in line.split()]
    program = import_module(f"{module}.__main__")

    with pytest.raises(SystemExit) as told:
        program.main(words)

    assert str(told.value).startswith("error: `") and damaged.name in str(told.value)
    assert "its file of weights is damaged or incomplete; copy or download it again" in str(told.value)


@pytest.mark.parametrize("named", ["model", "text_encoder"])
def test_a_training_tells_it_as_well(named, damaged, data_folder, tokenizer, make_config):
    if named == "text_encoder":
        from transformers import BertModel

        BertModel(make_config().text_config).save_pretrained(damaged)
        tokenizer.save_pretrained(damaged)
        weights = damaged / "model.safetensors"
        os.truncate(weights, weights.stat().st_size // 2)
    words = {"model": "bert-crf", named: damaged.name, "dataset": str(data_folder), "output_dir": "run"}

    with pytest.raises(ValueError, match=f"`{named}` '{damaged.name}' does not load; .* damaged or incomplete"):
        main(*read_command_line([part for name, value in words.items() for part in (f"--{name}", value)]))


def test_a_wrong_setting_of_a_sound_model_is_not_told_as_damage(tmp_path, make_model, processor, data_folder):
    make_model().save_pretrained(tmp_path / "sound")
    processor.save_pretrained(tmp_path / "sound")
    words = ["--model", str(tmp_path / "sound"), "--dataset", str(data_folder), "--output_dir", str(tmp_path / "run")]

    with pytest.raises(ValueError, match=r"^`crf_temperature`"):
        main(*read_command_line([*words, "--config", '{"crf_temperature": -1}']))
