"""A trained model with another label set: what is kept, what is new, and what is said about it."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoProcessor

from modeling_2mner import LABELS, OneImageProcessor
from training_2mner.arguments import ModelArguments
from training_2mner.building import build_tagger

OTHER = ["O", "B-ARTIST", "I-ARTIST", "B-WORK", "I-WORK"]
RENAMED = [label.replace("PER", "PERSON") for label in LABELS]  # as many as before, so that every size fits
BASELINES = ("bert-crf", "umt", "umgf", "mkgformer", "bilstm-crf", "adacan")


@pytest.fixture
def save(tmp_path, make_model, make_baseline, processor, tokenizer, word_processor):
    """Save a tiny trained model with its processor; returns the folder."""

    def write(kind="2m-ner", **changes):
        model = make_model(**changes) if kind == "2m-ner" else make_baseline(kind, **changes)
        if kind == "2m-ner":
            made = processor
        else:
            made = word_processor if model.config.reads_words else OneImageProcessor.for_model(model, tokenizer)
        model.save_pretrained(tmp_path / kind)
        made.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return write


def start(folder, labels=OTHER, new_labels=True, **arguments):
    return build_tagger(ModelArguments(model=str(folder), new_labels=new_labels, **arguments), [], labels)


@pytest.mark.parametrize("labels", [OTHER, RENAMED], ids=["fewer", "as many"])
@pytest.mark.parametrize("kind", ["2m-ner", *BASELINES])
def test_everything_but_linear_layer_and_crf_is_kept_bit_by_bit(save, kind, labels):
    folder = save(kind)
    before = AutoModelForTokenClassification.from_pretrained(folder).state_dict()
    model, processor = start(folder, labels)
    after = model.state_dict()

    assert model.config.labels == processor.labels == labels
    new = {name for name in after if name not in before or not after[name].equal(before[name])}
    decoder = {"classifier.weight", "classifier.bias", "crf.transitions", "crf.start_transitions"}
    assert decoder <= new
    assert {name.split(".")[0] for name in new} <= {"classifier", "crf", "span_head"}
    assert len(before) == len(after)


def test_the_matrix_of_umt_follows_the_new_labels(save):
    model, _ = start(save("umt"))
    assert model.span_head.conversion.shape == (3, len(OTHER))
    assert model.span_head.conversion[1].tolist() == [0, 0.5, 0, 0.5, 0]


@pytest.mark.parametrize("changes", [{}, {"use_vit": False, "use_resnet": False}], ids=["pictures", "text only"])
def test_it_trains_saves_and_reloads(save, make_picture, tmp_path, changes):
    model, processor = start(save(**changes))
    pictures = [make_picture(1), None] if not changes else None
    batch = processor([["Anna", "in", "Paris"], ["Louvre"]], pictures, [["B-ARTIST", "O", "O"], ["B-WORK"]])
    model.train()
    model(**batch).loss.backward()
    assert model.crf.transitions.grad.abs().sum() > 0
    model.eval().save_pretrained(tmp_path / "saved")
    processor.save_pretrained(tmp_path / "saved")

    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    assert again.config.labels == AutoProcessor.from_pretrained(tmp_path / "saved").labels == OTHER
    assert torch.equal(again(**batch).predictions, model(**batch).predictions)


def test_the_new_part_depends_on_the_seed_only(save):
    folder, weights = save(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(start(folder)[0].classifier.weight)
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])


def test_what_is_kept_and_new_is_logged(save, caplog):
    with caplog.at_level("INFO"):
        start(save())
    assert "encoders, alignment and fusion" in caplog.text
    assert "new are classifier, crf, for the tags O, B-ARTIST" in caplog.text


def test_other_labels_without_the_flag_are_an_error_with_the_remedy(save):
    with pytest.raises(
        ValueError, match=r"tags O, B-PER.*the data set O, B-ARTIST.*`new_labels: true` \(--new_labels"
    ):
        start(save(), new_labels=False)


def test_the_flag_without_need_is_a_warning(save, caplog):
    start(save(), list(LABELS))
    assert "already has the tags of the data set; leave it out" in caplog.text


def test_a_preset_has_no_labels_to_replace():
    with pytest.raises(ValueError, match="`new_labels` is true, but `model` '2m-ner-demo' is not a trained model"):
        start("2m-ner-demo", tokenizer="new")


def test_a_change_of_sizes_is_an_error(save):
    with pytest.raises(ValueError, match="`config` changes the size of model"):
        start(save(), config={"projection_dim": 7})
