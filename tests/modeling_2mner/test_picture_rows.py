"""Several pictures of a sentence: its text is read once, each different picture once, with the same results."""

from __future__ import annotations

import copy

import pytest
import torch

from modeling_2mner import TwoMNERPipeline
from modeling_2mner.picture_rows import run_rows

LONG = ["Anna", "wohnt", "in", "Köln"] * 40  # several windows


@pytest.fixture
def count(monkeypatch):
    """Count the rows that a module gets."""

    def of(module) -> list[int]:
        rows: list[int] = []
        handle = module.register_forward_pre_hook(
            lambda _, args, kwargs: rows.append(len(next(iter(kwargs.values())))), with_kwargs=True
        )
        handles.append(handle)
        return rows

    handles: list = []
    yield of
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(
    "changes", [{}, {"use_vit": False}, {"use_vit": False, "use_resnet": False}, {"contrastive_text_pooling": "mean"}]
)
@torch.no_grad()
def test_the_logits_are_those_of_each_picture_alone(make_model, processor, sentences, pictures, changes):
    model = make_model(**changes).double()  # so that nothing but the arithmetic of batches is left out of account
    words = [*sentences[:2], LONG, "", sentences[3]]
    images = [[pictures[0]], [*pictures, None], [pictures[1], None, pictures[1]], [None, pictures[0]], [None, None]]
    batch, output, rows = run_rows(model, processor, words, images)
    assert batch.words[: len(words)] == processor(words).words
    for place, (sentence, row) in enumerate(zip(words, images, strict=True)):
        logits = output.logits[rows[place], : len(batch.words[place])]
        alone = [model(**processor([sentence], [image])).logits[0] for image in row]
        assert len(logits) == len(row)
        assert (logits - torch.stack(alone)).abs().max() <= 1e-6 if logits.numel() else True


def test_the_heads_of_the_contrastive_losses_do_not_run(model, processor, sentences, pictures):
    heads = [model.model.text_head, model.model.vit_head, model.model.resnet_head, model.model.text_model.pooler]
    runs: list[object] = []
    handles = [head.register_forward_hook(lambda head, *_: runs.append(head)) for head in heads]
    pipe = TwoMNERPipeline(model=model, processor=processor)
    try:
        assert pipe([{"words": words, "image": pictures[0]} for words in sentences])
        assert runs == []
        model(**processor(sentences[:1], pictures[:1]))
        assert len(runs) == 4
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("kind", ["umt", "umgf", "mkgformer", "bert-crf"])
@torch.no_grad()
def test_a_model_that_reads_text_and_picture_together(make_baseline, one_image_processor, sentences, pictures, kind):
    model = make_baseline(kind)
    one_image_processor = copy.copy(one_image_processor)
    one_image_processor.use_image = model.config.uses_image
    images = [[pictures[0], pictures[1]], [None, pictures[2], None]]
    batch, output, rows = run_rows(model, one_image_processor, sentences[:2], images)
    for place, (sentence, row) in enumerate(zip(sentences[:2], images, strict=True)):
        logits = output.logits[rows[place], : len(batch.words[place])]
        alone = [model(**one_image_processor([sentence], [image])).logits[0] for image in row]
        assert (logits - torch.stack(alone)).abs().max() <= 1e-5


def test_text_and_equal_pictures_are_read_once(make_model, processor, png, make_picture, count):
    model = make_model()
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu")
    texts, pictures = count(model.model.text_model), count(model.model.vision_model)
    pipe({"words": LONG, "image": [png] * 30 + [b""] * 30 + [make_picture(3)]})
    assert texts == [len(processor([LONG])["input_ids"])] and pictures == [2]
    assert len(processor([LONG])["input_ids"]) > 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "options", [{}, {"n_best": 2}, {"return_word_tags": True}, {"n_best": 2, "return_word_tags": True}]
)
def test_one_sentence_without_finite_scores_does_not_stop_the_others(make_model, processor, value, options):
    model = make_model()
    pipe = TwoMNERPipeline(model=model, processor=processor, device="cpu", **options)
    sound = [["Anna", "in", "Paris"], ["São", "Paulo"]]
    expected = pipe(sound)
    bad = processor.tokenizer("Q", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        model.model.text_model.embeddings.word_embeddings.weight[bad] = value
    with pytest.warns(UserWarning, match=r"not finite numbers; check its weights.*'Q'"):
        first, marked, last = pipe([sound[0], ["Q", "ist"], sound[1]], batch_size=3)
    for found, answer in zip([first, last], expected, strict=True):
        found, answer = (each[0] if options.get("n_best") else each for each in (found, answer))
        found, answer = (each if isinstance(each, list) else each["entities"] for each in (found, answer))
        assert [(entity["word"], entity["entity_group"]) for entity in found] == [
            (entity["word"], entity["entity_group"]) for entity in answer
        ]
        assert found and found.error == ""
    marked = marked[0] if options.get("n_best") else marked
    entities = marked if isinstance(marked, list) else marked["entities"]
    assert list(entities) == [] and "not finite" in entities.error and entities.image_status == "missing"
    if options.get("return_word_tags"):
        assert [(word["word"], word["tag"]) for word in marked["words"]] == [("Q", "O"), ("ist", "O")]
