from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForTokenClassification,
    AutoProcessor,
    BertConfig,
    BertModel,
    BertTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    CLIPVisionModel,
    ResNetConfig,
    ResNetModel,
)
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from modeling_2mner import (
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedProcessor,
)
from modeling_2mner.modeling_released import EXTRA_CHARACTERS, placeholder_picture, random_view

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4}


@pytest.fixture
def model() -> TwoMNERReleasedForTokenClassification:
    """A text-only network of 40 pieces."""
    config = TwoMNERReleasedConfig(
        text_config={"model_type": "bert", "vocab_size": 40, **SIZES},
        use_vit=False,
        use_resnet=False,
        fusion_projection=False,
    )
    return TwoMNERReleasedForTokenClassification(config)


@pytest.fixture
def tokenizer():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##c"]
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, do_lower_case=False)


@pytest.fixture
def processor(tokenizer) -> TwoMNERReleasedProcessor:
    return TwoMNERReleasedProcessor(tokenizer=tokenizer)


@pytest.fixture
def picture():
    """Build a picture whose red and green tell column and row: `x % 256` and `y % 256`."""

    def build(width: int, height: int) -> Image.Image:
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
        return Image.fromarray(pixels)

    return build


def test_extra_characters_are_words_with_tokens_of_their_own(processor):
    words = [["a", character, f"b{character}c"] for character in EXTRA_CHARACTERS]
    batch = processor(words)
    ids = [processor.tokenizer.convert_tokens_to_ids(character) for character in EXTRA_CHARACTERS]
    assert ids == list(range(8, 16))
    assert batch["input_ids"][:, 2].tolist() == ids  # [CLS] a * b * c [SEP]
    assert batch["input_ids"][:, 4].tolist() == ids
    assert batch["word_positions"][0].tolist() == [1, 2, 3]


def test_special_tokens_of_the_caller_stay(tokenizer):
    tokenizer.add_special_tokens({"extra_special_tokens": ["<url>"]})
    kept = TwoMNERReleasedProcessor(tokenizer=tokenizer).tokenizer.extra_special_tokens
    assert kept == ["<url>", *EXTRA_CHARACTERS]


def test_processor_reloads_without_adding_the_characters_again(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    assert settings["auto_map"]["AutoProcessor"] == "modeling_released.TwoMNERReleasedProcessor"
    loaded = TwoMNERReleasedProcessor.from_pretrained(tmp_path)
    assert len(loaded.tokenizer) == 16
    words = [["a", "\u200b"]]
    assert torch.equal(loaded(words)["input_ids"], processor(words)["input_ids"])


def test_auto_processor_finds_it_beside_a_model(model, processor, tmp_path):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert type(AutoProcessor.from_pretrained(tmp_path)) is TwoMNERReleasedProcessor


def test_embeddings_grow_with_the_tokenizer(model, processor, tmp_path):
    model.resize_token_embeddings(32 + len(processor.tokenizer), mean_resizing=False)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert loaded.config.text_config.vocab_size == 48
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_vit_sees_the_centre_as_clip_does(processor, picture):
    images = [picture(500, 300), picture(100, 230)]
    expected = CLIPImageProcessorPil()(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(processor([["a"], ["b"]], images)["pixel_values"], expected)


def columns_and_rows(pixels: Tensor) -> tuple[list[int], list[int]]:
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD))
    values = ((pixels * deviation + mean) * 255).round().int()
    return values[0, 0].tolist(), values[1, :, 0].tolist()


def test_resnet_sees_a_random_window_from_torch_generator(processor, picture):
    def window(seed: int) -> tuple[list[int], list[int]]:
        torch.manual_seed(seed)
        return columns_and_rows(processor([["a"]], [picture(256, 240)])["resnet_pixel_values"][0])

    flips, corners = set(), set()
    for attempt in range(6):
        columns, rows = window(attempt)
        torch.manual_seed(attempt)  # the order of torchvision: row, column, flip
        top, left = int(torch.randint(0, 17, (1,))), int(torch.randint(0, 33, (1,)))
        flipped = bool(torch.rand(1) < 0.5)
        expected = list(range(left, left + 224))
        assert columns == (expected[::-1] if flipped else expected)
        assert rows == list(range(top, top + 224))
        flips.add(flipped)
        corners.add((top, left))
    assert flips == {True, False} and len(corners) > 3
    before = window(0)
    random.seed(1)
    np.random.seed(1)
    assert window(0) == before


@pytest.mark.parametrize("size", [(500, 100), (100, 500), (223, 223)])
def test_small_pictures_are_squashed_for_the_resnet(picture, size):
    view = random_view(picture(*size), 224)
    squashed = np.asarray(picture(*size).resize((224, 224), Image.Resampling.BILINEAR))
    assert np.array_equal(view, squashed) or np.array_equal(view, squashed[:, ::-1])


def test_picture_of_the_window_s_size_is_not_cropped(picture):
    torch.manual_seed(3)
    random_view(picture(224, 224), 224)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    torch.rand(1)
    assert torch.equal(state, torch.get_rng_state())


def test_each_sentence_has_a_window_of_its_own(processor, picture):
    shared = picture(256, 256)
    batch = processor([["a"], ["b"]], [shared, shared])
    assert batch["image_index"].tolist() == [0, 1]
    assert torch.equal(*batch["pixel_values"])
    assert not torch.equal(*batch["resnet_pixel_values"])


def test_a_visible_placeholder_replaces_a_missing_picture(processor, picture):
    batch = processor([["a"], ["b"], ["a"]], [None, picture(300, 300), b"no picture"])
    assert batch.image_status == ["default", "ok", "default"]
    assert batch.image_reasons[0] == "missing: no picture given" and batch.image_reasons[2].startswith("unreadable:")
    assert batch["image_index"].tolist() == [0, 1, 2]
    expected = CLIPImageProcessorPil()([placeholder_picture()], return_tensors="pt")["pixel_values"][0]
    assert torch.equal(batch["pixel_values"][0], expected) and torch.equal(batch["pixel_values"][2], expected)
    assert len(np.unique(np.asarray(placeholder_picture()))) > 2  # the words are really drawn


def test_without_a_list_of_pictures_there_is_none(processor):
    batch = processor([["a"], ["b"]])
    assert batch.image_status == ["missing", "missing"]
    assert "pixel_values" not in batch and batch["image_index"].tolist() == [-1, -1]


def test_bad_pictures_can_still_be_errors(tokenizer):
    processor = TwoMNERReleasedProcessor(tokenizer=tokenizer, on_bad_image="raise")
    with pytest.raises(ValueError, match=r"images\[0\]"):
        processor([["a"]], [b"no picture"])


def test_assembled_network_learns_from_its_processor(processor, picture, tmp_path):
    BertModel(BertConfig(vocab_size=8, **SIZES)).save_pretrained(tmp_path / "text")
    CLIPVisionModel(CLIPVisionConfig(patch_size=56, **SIZES)).save_pretrained(tmp_path / "vision")
    resnet_config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1])
    ResNetModel(resnet_config).save_pretrained(tmp_path / "resnet")
    model = TwoMNERReleasedForTokenClassification.from_encoders(
        *(str(tmp_path / name) for name in ("text", "vision", "resnet"))
    )
    assert model.config.resnet_features == "pooled"
    model.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    batch = processor([["a", "\ufffd"], ["b"]], [picture(300, 300), None], [["B-PER", "I-PER"], ["O"]])
    outputs = model.train()(**batch)
    parts = model.objective(
        outputs.loss, outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds, batch["image_index"]
    )
    parts["loss"].backward()
    assert model.get_input_embeddings().weight.grad[8].abs().sum() > 0  # U+FFFD
    assert set(parts) == {"loss", "crf_loss", "vit_contrastive_loss", "resnet_contrastive_loss"}
