"""The comparison models as a run builds them: from their small presets, word vectors and pretrained encoders."""

from __future__ import annotations

import logging

import pytest
import torch
from transformers import AutoProcessor, BertConfig, BertModel, ResNetConfig, ResNetModel

from modeling_2mner import LABELS, OneImageProcessor, WordProcessor
from training_2mner.arguments import ModelArguments
from training_2mner.building import build_tagger

SENTENCES = [["Anna", "Meier", "in", "Paris"], ["the", "Louvre", "est", "in", "Paris"], ["Köln", "1999"]] * 3
ON_PIECES = ("bert", "bert-crf", "umt", "umgf", "mkgformer")
ON_WORDS = ("bilstm-crf", "hbilstm-crf", "adacan")
TINY_BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def build_demo():
    """Build the small preset of a model."""

    def make(name: str, **arguments):
        if name in ON_PIECES:
            arguments = {"tokenizer": "new", "vocabulary_size": 60, **arguments}
        return build_tagger(
            ModelArguments(model=f"{name}-demo", resnet_image_size=32, **arguments), SENTENCES, list(LABELS)
        )

    return make


@pytest.fixture(scope="module")
def encoders(tmp_path_factory, tokenizer) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("encoders")
    BertModel(BertConfig(vocab_size=len(tokenizer), **TINY_BERT)).save_pretrained(folder / "text")
    tokenizer.save_pretrained(folder / "text")
    resnet = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")
    ResNetModel(resnet).save_pretrained(folder / "resnet")
    return {f"{name}_encoder": str(folder / name) for name in ("text", "resnet")}


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A file with vectors of three numbers, lower-cased as GloVe's."""
    path = tmp_path_factory.mktemp("vectors") / "tiny.txt"
    path.write_text("paris 0.1 0.2 0.3\nrome 1 2 3\n0000 4 5 6\nlouvre 7 8 9\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", [*ON_PIECES, *ON_WORDS])
def test_every_small_preset_reads_sentences_and_pictures(build_demo, name, make_picture, tmp_path):
    model, processor = build_demo(name)
    looks = name not in ("bert", "bert-crf", "bilstm-crf", "hbilstm-crf")
    assert model.config.uses_image == looks and processor.use_image == looks
    assert type(processor) is (WordProcessor if name in ON_WORDS else OneImageProcessor)
    batch = processor(SENTENCES[:3], [make_picture(0), None, make_picture(1)], [["O"] * len(s) for s in SENTENCES[:3]])
    assert ("pixel_values" in batch) == looks and torch.isfinite(model(**batch).loss)
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)(SENTENCES[:3])
    assert all(torch.equal(value, batch[key]) for key, value in again.items() if key != "image_index")


@pytest.mark.parametrize("name", ["adacan", "umt", "umgf", "mkgformer"])
def test_text_only_variants_make_no_pixels(build_demo, name, make_picture):
    model, processor = build_demo(name, config={"use_image": False})
    batch = processor(SENTENCES[:1], [make_picture(0)])
    assert "pixel_values" not in batch and batch.image_status == ["ok"]
    assert model.eval()(**batch).predictions.shape == (1, 4)


def test_word_vectors_reach_the_embedding(build_demo, vectors):
    model, processor = build_demo("bilstm-crf", word_vectors=str(vectors))
    rows, tokenizer = model.model.words.vectors.weight, processor.tokenizer
    assert rows.shape == (len(tokenizer), 3) and model.config.word_embedding_size == 3
    for word, expected in {
        "Paris": [0.1, 0.2, 0.3],
        "rome": [1, 2, 3],
        "1999": [4, 5, 6],
        "Louvre": [7, 8, 9],
    }.items():
        torch.testing.assert_close(rows[tokenizer.word_id(word)], torch.tensor(expected, dtype=torch.float32))
    assert (
        tokenizer.word_id("Rome") == tokenizer.word_id("rome") and tokenizer.word_id("2024") != tokenizer.unk_token_id
    )
    _, few = build_demo("bilstm-crf", word_vectors=str(vectors), max_word_vectors=1)
    assert few.tokenizer.word_id("rome") == few.tokenizer.unk_token_id


def test_characters_are_those_of_the_training_words(build_demo):
    model, processor = build_demo("hbilstm-crf")
    assert model.config.num_characters == processor.tokenizer.num_characters > 10
    assert processor.tokenizer.character_ids("qß") == []


def test_pretrained_encoders_are_assembled(build_demo, encoders):
    model, processor = build_demo("umt", tokenizer=None, **encoders)
    assert model.config.uses_image and processor.use_image
    for part, network in (("text", BertModel), ("resnet", ResNetModel)):
        saved = network.from_pretrained(encoders[f"{part}_encoder"]).state_dict()
        state = getattr(model.model, f"{part}_model").state_dict()
        assert state.keys() <= saved.keys() and all(torch.equal(saved[key], value) for key, value in state.items())
    assert model.config.resnet_batch_norm == "train"  # of the preset


def test_without_an_image_encoder_the_model_is_text_only_and_says_so(build_demo, encoders, caplog):
    with caplog.at_level(logging.WARNING, logger="training_2mner.building"):
        model, processor = build_demo("umt", tokenizer=None, text_encoder=encoders["text_encoder"])
    assert not model.config.uses_image and not processor.use_image
    assert "text only" in caplog.text


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("bilstm-crf", {"text_encoder": "somewhere"}, "`text_encoder` is given, but 'bilstm-crf-demo' has no such"),
        ("bilstm-crf", {"tokenizer": "new"}, "`tokenizer` is given, but 'bilstm-crf-demo' reads words"),
        ("bert-crf", {"resnet_encoder": "somewhere"}, "`resnet_encoder` is given.*it takes `text_encoder`"),
        ("umt", {"word_vectors": "file"}, "`word_vectors` is given, but 'umt-demo' reads sub-words"),
        ("umt", {"vgg_encoder": "file"}, "`vgg_encoder` is given.*`text_encoder`, `resnet_encoder`"),
    ],
)
def test_what_a_model_cannot_use_is_an_error(build_demo, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_demo(name, **arguments)


def test_object_crops_have_the_models_sizes(build_demo, make_picture):
    model, processor = build_demo("mkgformer")
    config = model.config
    assert (processor.object_size, processor.small_object_size) == (config.aux_crop_size, config.rcnn_crop_size)
    assert (processor.max_objects, processor.max_small_objects) == (config.num_aux_crops, config.num_rcnn_crops)
    batch = processor(SENTENCES[:1], [make_picture(0)], boxes=[[[0, 0, 20, 20]] * 9], small_boxes=[[[5, 5, 30, 30]]])
    assert batch["object_mask"].tolist() == [[True] * config.num_aux_crops]
    assert model.eval()(**batch).predictions.shape == (1, 4)
    model, processor = build_demo("umgf", config={"visual_nodes": "objects"})
    batch = processor(SENTENCES[:1], [make_picture(0)], boxes=[[[0, 0, 20, 20], [4, 4, 30, 30]]])
    assert batch["object_pixel_values"].shape == (1, 2, 3, 32, 32)
    assert model.eval()(**batch).predictions.shape == (1, 4)
    assert build_demo("umgf")[1].object_size is None
