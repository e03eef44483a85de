"""What users bring along from other pipelines: an error says what to write instead; and batches without sentences."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from modeling_2mner.stock_arguments import PIPELINE, PROCESSOR, whole_number

TEXT = "Anna wohnt in Paris"


@pytest.mark.parametrize("name", PIPELINE)
def test_the_pipeline_says_what_to_write_instead(pipe, name):
    for ask in (
        lambda **given: pipe(TEXT, **given),
        lambda **given: pipe([TEXT], **given),
        lambda **given: pipe(**given),
    ):
        with pytest.raises(TypeError, match=f"`{name}` is not an argument of this pipeline; (write|leave)"):
            ask(**{name: "simple"})


@pytest.mark.parametrize("name", PROCESSOR)
def test_the_processor_says_what_to_write_instead(processor, word_processor, one_image_processor, name):
    for reader in (processor, word_processor, one_image_processor):
        if name == "boxes" and reader is not processor:
            continue
        for words in ((), ([TEXT],)):
            with pytest.raises(TypeError, match=f"`{name}` is not an argument of .*; (write|leave|construct)"):
                reader(*words, **{name: [TEXT]})


def test_other_names_are_refused_with_those_that_exist(pipe, processor):
    with pytest.raises(TypeError, match="`treshold` is not an argument of this pipeline; known are threshold"):
        pipe(TEXT, treshold=0.5)
    with pytest.raises(TypeError, match="`wrods` is not an argument of TwoMNERProcessor; known are words"):
        processor(wrods=[TEXT])
    with pytest.raises(ValueError, match="`words` is missing"):
        processor()
    with pytest.raises(ValueError, match=r'"text" must be a string.*None'):
        pipe()


@pytest.mark.parametrize(
    "kind", ["2m-ner", "text only", "bilstm-crf", "adacan", "bert-crf", "umt", "umgf", "mkgformer"]
)
@torch.no_grad()
def test_no_sentences_give_an_empty_answer(
    make_model, make_baseline, processor, one_image_processor, word_processor, kind
):
    if kind == "2m-ner":
        model, reader = make_model(), processor
    elif kind == "text only":
        model, reader = make_model(use_vit=False, use_resnet=False), processor
    else:
        model = make_baseline(kind)
        reader = copy.copy(word_processor if model.config.reads_words else one_image_processor)
        reader.use_image = model.config.uses_image
    batch = reader([], images=[], labels=[])
    outputs = model(**batch)
    assert outputs.logits.shape == (0, 0, 9) and outputs.predictions.shape == (0, 0)
    assert outputs.loss.isfinite() if kind not in ("bilstm-crf", "adacan") else True
    assert reader.post_process_entities(outputs.predictions, batch) == []
    assert model(**reader([])).loss is None


def test_numbers_that_count_something():
    assert whole_number("n_best", np.int64(3)) == 3 and whole_number("threads", 8, most=8) == 8
    for value, reason in (
        ("3", "a whole number, got '3'"),
        (2.0, "a whole number"),
        (-1, "at least 1"),
        (9, "at most 8"),
    ):
        with pytest.raises(ValueError, match=f"`threads` must be {reason}"):
            whole_number("threads", value, most=8)
