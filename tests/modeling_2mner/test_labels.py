"""The labels of the model rule: whoever reads its predictions names them by its config."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, AutoProcessor

from modeling_2mner import TwoMNERConfig, TwoMNERPipeline

TEXT = "Anna Meier wohnt in Paris"
RENAMED = ["O", *(f"{part}-{kind}" for kind in ("MENSCH", "ORT", "FIRMA", "REST") for part in "BI")]
FEWER = ["O", "B-X", "I-X"]


@pytest.fixture(scope="module")
def folder(model, processor, tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("labels"))
    for part in (model, processor):
        part.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def renamed(folder):
    return AutoModelForTokenClassification.from_pretrained(
        folder, id2label=dict(enumerate(RENAMED)), label2id={label: index for index, label in enumerate(RENAMED)}
    )


def test_the_pipeline_and_the_processor_name_the_tags_alike(folder, renamed, predict):
    processor = AutoProcessor.from_pretrained(folder)
    pipe = TwoMNERPipeline(model=renamed, processor=processor, device="cpu")
    expected = [(entity["entity_group"], entity["start"]) for entity in pipe(TEXT)]
    assert expected and {kind for kind, _ in expected} <= {"MENSCH", "ORT", "FIRMA", "REST"}
    batch = processor([TEXT])
    predictions = predict(renamed, batch).predictions
    for found in (
        processor.post_process_entities(predictions, batch, labels=renamed.config.labels),
        pipe.processor.post_process_entities(predictions, batch),
    ):
        assert [(entity["entity_group"], entity["start"]) for entity in found[0]] == expected
    assert processor.labels != RENAMED  # the caller's own is left alone


def test_a_processor_is_loaded_with_other_labels(folder):
    assert AutoProcessor.from_pretrained(folder, labels=RENAMED).labels == RENAMED
    assert AutoProcessor.from_pretrained(folder, labels=FEWER).labels == FEWER


def test_a_config_takes_labels_by_the_processors_name(folder, make_config):
    for config in (AutoConfig.from_pretrained(folder, labels=RENAMED), make_config(labels=RENAMED)):
        assert config.labels == RENAMED and config.label2id["I-ORT"] == 4
    assert AutoConfig.from_pretrained(folder, labels=FEWER).num_labels == 3
    assert AutoModelForTokenClassification.from_pretrained(folder, labels=RENAMED).config.labels == RENAMED
    with pytest.raises(ValueError, match="`labels` is 'O'; pass a list"):
        make_config(labels="O")
    with pytest.raises(ValueError, match="pass one of them"):
        TwoMNERConfig(labels=FEWER, id2label={0: "O", 1: "B-Y", 2: "I-Y"})


def test_another_number_of_labels_is_told(processor):
    batch = processor([["Anna", "in"]])
    with pytest.warns(UserWarning, match="the model has 3 labels and the processor 9"):
        found = processor.post_process_entities(torch.tensor([[1, 0]]), batch, labels=FEWER)
    assert found[0][0]["entity_group"] == "X"
    with pytest.raises(ValueError, match=r"pass `labels=model.config.labels`"):
        processor.post_process_entities(torch.tensor([[9, 0]]), batch)
    with pytest.raises(ValueError, match=r"`model.eval\(\)`"):
        processor.post_process_entities(None, batch)
