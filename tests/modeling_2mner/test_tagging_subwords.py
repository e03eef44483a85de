from __future__ import annotations

import pytest
import torch
from torchcrf import CRF

from modeling_2mner import LABELS, UMTForTokenClassification
from modeling_2mner.tagging_subwords import piece_labels, word_tags

PADDING, CONTINUATION, FIRST, LAST = 9, 10, 11, 12


@pytest.fixture(scope="module")
def batch(one_image_processor, sentences, tags, pictures):
    """The four sentences with tags; the first and the last share a picture, the second has none."""
    return one_image_processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)


@pytest.fixture(scope="module")
def tagger(make_baseline, batch, predict) -> UMTForTokenClassification:
    """A tagger of pieces that tells them apart, and of which only the decoder of tags matters here."""
    tagger = make_baseline("umt", label_scheme="subword_aux", span_logit_weight=0, span_loss_weight=0)
    with torch.no_grad():  # without this, all pieces have nearly the same emissions
        states = predict(tagger.model, {name: batch[name] for name in batch if name != "labels"}).piece_states
        tagger.classifier.weight.mul_(3)
        tagger.classifier.bias.copy_(-tagger.classifier.weight @ states.mean(dim=(0, 1)))
    return tagger


@pytest.fixture(scope="module")
def long_batch(one_image_processor, sentences, tags):
    """A sentence of several windows, and one beside it."""
    words = [f"{'abc'[index % 3]}bcd" for index in range(60)]
    return one_image_processor([words, sentences[0]], labels=[["O"] * 60, tags[0]])


def test_labels_of_pieces_by_hand(one_image_processor):
    batch = one_image_processor([["in", "Ulm", "Köln"], ["Hi"], []], labels=[["O", "B-LOC", "I-LOC"], ["B-MISC"], []])
    pieces = batch["attention_mask"].bool()
    assert pieces.sum(1).tolist() == [7, 4, 2], "[CLS] in U ##l ##m Köln [SEP], [CLS] H ##i [SEP], [CLS] [SEP]"
    found = piece_labels(batch["labels"], batch["word_positions"], batch["word_mask"], pieces, len(LABELS))
    assert found.tolist() == [
        [FIRST, LABELS.index("O"), LABELS.index("B-LOC"), CONTINUATION, CONTINUATION, LABELS.index("I-LOC"), LAST],
        [FIRST, LABELS.index("B-MISC"), CONTINUATION, LAST, PADDING, PADDING, PADDING],
        [FIRST, LAST, PADDING, PADDING, PADDING, PADDING, PADDING],
    ]


def test_labels_of_several_windows_are_refused(tagger, long_batch, predict):
    assert len(long_batch["input_ids"]) > 2
    with pytest.raises(ValueError, match="max_length"):
        predict(tagger, long_batch)


@pytest.mark.parametrize("name", ["word_positions", "attention_mask"])
def test_inputs_that_are_missing_are_named(tagger, batch, predict, name):
    with pytest.raises(ValueError, match=f"`{name}` is missing; make the inputs with `OneImageProcessor`"):
        predict(tagger, {given: batch[given] for given in batch if given != name})


def test_a_sentence_of_several_windows_gets_its_tags(tagger, one_image_processor, sentences, long_batch, predict):
    given = {name: long_batch[name] for name in long_batch if name != "labels"}
    outputs = predict(tagger, given)
    assert outputs.loss is None and outputs.predictions.shape == (2, 60)
    assert ((outputs.predictions >= 0) == long_batch["word_mask"]).all()
    alone = predict(tagger, one_image_processor([sentences[0]]))
    assert torch.equal(outputs.predictions[1, :5], alone.predictions[0])


def test_a_word_predicted_as_no_word_is_outside(tagger):
    predictions = torch.tensor([[FIRST, 3, CONTINUATION, LAST, LAST], [FIRST, PADDING, 8, LAST, -100]])
    positions = torch.tensor([[1, 2, 3], [6, 7, 0]])
    words = torch.tensor([[True, True, True], [True, True, False]])
    assert word_tags(predictions, positions, words, tagger.config).tolist() == [[3, 0, 0], [0, 8, -100]]


def test_predictions_are_tags_of_words(tagger, batch, predict):
    outputs = predict(tagger, batch)
    assert outputs.logits.shape == (4, 8, 9)
    assert ((outputs.predictions == -100) == ~batch["word_mask"]).all()
    tags = outputs.predictions[batch["word_mask"]]
    assert tags.max() < 9 and len(tags.unique()) > 2


@pytest.mark.parametrize("label", [PADDING, CONTINUATION, FIRST, LAST])
def test_no_prediction_is_a_label_of_pieces_alone(make_baseline, batch, predict, label):
    tagger = make_baseline("umt", label_scheme="subword_aux")
    with torch.no_grad():
        tagger.classifier.bias[label] = 1000
    outputs = predict(tagger, batch)
    assert (outputs.predictions[batch["word_mask"]] == 0).all()


def test_the_crf_runs_over_pieces(tagger, batch, predict):
    pieces = batch["attention_mask"].bool()
    labels = piece_labels(batch["labels"], batch["word_positions"], batch["word_mask"], pieces, 9)
    states = predict(tagger.model, {name: batch[name] for name in batch if name != "labels"}).piece_states
    with torch.no_grad():
        emissions = tagger.classifier(states)
        expected = -CRF.forward(tagger.crf, emissions, labels, pieces, reduction="mean")
        best = CRF.decode(tagger.crf, emissions, pieces)
    outputs = predict(tagger, batch)
    torch.testing.assert_close(outputs.loss, expected)
    words = batch["word_mask"]
    first_pieces = emissions.flatten(0, 1)[batch["word_positions"][words]]
    torch.testing.assert_close(outputs.logits[words], first_pieces[:, :9])
    width = batch["input_ids"].shape[1]
    tags = [best[place // width][place % width] for place in batch["word_positions"][words].tolist()]
    assert outputs.predictions[words].tolist() == [tag if tag < 9 else 0 for tag in tags]
    assert max(tags) > 8, "some word must be predicted as no word, or that case is not tested"


def test_the_scheme_of_words_runs_the_crf_over_words(make_baseline, batch, predict):
    tagger = make_baseline("umt", span_logit_weight=0, span_loss_weight=0, crf_constrained_decoding=False)
    outputs = predict(tagger, batch)
    words = batch["word_mask"]
    with torch.no_grad():
        loss = -CRF.forward(tagger.crf, outputs.logits, batch["labels"].clamp(min=0), words, reduction="mean")
        best = CRF.decode(tagger.crf, outputs.logits, words)
    torch.testing.assert_close(outputs.loss, loss)
    assert outputs.predictions[words].tolist() == [tag for tags in best for tag in tags]


def test_all_words_are_there_unless_told(make_baseline, one_image_processor, predict):
    given = one_image_processor([["in", "Ulm"], ["Le", "Louvre"]], labels=[["O", "B-LOC"], ["O", "B-ORG"]])
    for scheme in ("word", "subword_aux"):
        tagger = make_baseline("umt", label_scheme=scheme)
        expected, found = predict(tagger, given), predict(tagger, given, word_mask=None)
        assert torch.equal(found.predictions, expected.predictions) and torch.equal(found.loss, expected.loss)


def test_sentences_without_words_have_a_loss_all_the_same(tagger, one_image_processor, predict):
    outputs = predict(tagger, one_image_processor([[], []], labels=[[], []]))
    assert outputs.predictions.shape == (2, 0)
    assert outputs.loss > 0, "of [CLS] and [SEP]"


def test_training_has_no_use_for_predictions(make_baseline, batch):
    tagger = make_baseline("umt", label_scheme="subword_aux").train()
    outputs = tagger(**batch)
    assert outputs.predictions is None and outputs.loss.isfinite()
    assert tagger(**batch, return_dict=False)[0].isfinite()


def test_pieces_need_a_crf(make_baseline):
    with pytest.raises(ValueError, match="use_crf=True"):
        make_baseline("umt", label_scheme="subword_aux", use_crf=False)
