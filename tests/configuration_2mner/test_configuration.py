from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from configuration_2mner import TwoMNERConfig, available, load_preset
from modeling_2mner import LABELS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def write_preset(tmp_path):
    """Write a preset's file with these settings."""

    def write(**settings) -> str:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return str(path)

    return write


def test_available_names_every_file():
    assert {"2m-ner", "2m-ner-demo"} <= set(available())
    assert "english-bert-crf" in available("runs")
    for kind, ending in (("models", ".json"), ("runs", ".yaml")):
        files = (ROOT / "configuration_2mner" / kind).glob(f"*{ending}")
        assert available(kind) == sorted(path.stem for path in files)


@pytest.mark.parametrize("name", available())
def test_every_preset_loads(name):
    assert list(load_preset(name).id2label.values()) == list(LABELS)


def test_the_papers_preset_is_the_default_configuration():
    assert load_preset("2m-ner").to_dict() == TwoMNERConfig().to_dict()


def test_a_mapping_changes_single_fields_of_a_sub_configuration():
    config = load_preset("2m-ner-demo", text_config={"vocab_size": 100}, alpha=0.5, use_resnet=False)

    assert (config.text_config.vocab_size, config.text_config.hidden_size) == (100, 96)
    assert (config.alpha, config.use_resnet) == (0.5, False)
    assert load_preset("2m-ner-demo").text_config.vocab_size != 100


def test_labels_are_replaced_as_a_whole(write_preset):
    preset = write_preset(model_type="2m-ner", id2label={"0": "O", "1": "B-PER", "2": "I-PER"})
    labels = ["O", "B-LOC"]
    config = load_preset(preset, id2label=dict(enumerate(labels)), label2id={"O": 0, "B-LOC": 1})

    assert config.id2label == {0: "O", 1: "B-LOC"}
    assert config.label2id == {"O": 0, "B-LOC": 1}


def test_a_file_of_ones_own(write_preset):
    assert load_preset(write_preset(model_type="2m-ner", alpha=0.25)).alpha == 0.25


def test_unknown_name_is_an_error():
    with pytest.raises(ValueError, match=r"'2mner'; write one of .*2m-ner"):
        load_preset("2mner")
    with pytest.raises(ValueError, match=r"nowhere\.json"):
        load_preset("nowhere.json")


def test_unknown_field_is_an_error(write_preset):
    with pytest.raises(ValueError, match=r"`use_vitt` is not a field of TwoMNERConfig .*mine\.json"):
        load_preset(write_preset(model_type="2m-ner", use_vitt=False))
    with pytest.raises(ValueError, match="`use_vitt` is not a field"):
        load_preset("2m-ner", use_vitt=False)


def test_a_file_without_a_kind_of_model_is_an_error(write_preset):
    with pytest.raises(ValueError, match=r"`model_type`.*mine\.json|mine\.json.*`model_type`"):
        load_preset(write_preset(alpha=0.5))


def test_a_contradiction_is_an_error(write_preset):
    with pytest.raises(ValueError, match="`alpha` is 2"):
        load_preset(write_preset(model_type="2m-ner", alpha=2))


def test_listing_on_the_command_line(capsys):
    runpy.run_module("configuration_2mner", run_name="__main__")
    lines = capsys.readouterr().out.split()

    assert {"models:", "2m-ner-demo", "runs:", "english-bert-crf"} <= set(lines)
