"""Tiny networks, a tokenizer, a processor and pictures for all tests; nothing is downloaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported, which reads it once

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoModelForTokenClassification, BertTokenizer, CLIPImageProcessorPil

from modeling_2mner import (
    OneImageProcessor,
    TwoMNERConfig,
    TwoMNERForTokenClassification,
    TwoMNERProcessor,
    WordProcessor,
    WordTokenizer,
)
from tests.stand_in_hub import StandInHub

torch.set_num_threads(1)

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789äöüßÄÖÜéèàçñáíóúãÉ.,'-@#!?"
WHOLE_WORDS = ["in", "the", "Paris", "est", "Köln", "Louvre"]
SENTENCES = [
    ["Anna", "Meier", "wohnt", "in", "Köln"],
    ["Hi"],
    ["Le", "Louvre", "est", "à", "Paris", ",", "non", "?"],
    ["São", "Paulo"],
]
TAGS = [
    ["B-PER", "I-PER", "O", "O", "B-LOC"],
    ["O"],
    ["O", "B-ORG", "O", "O", "B-LOC", "O", "O", "O"],
    ["B-LOC", "I-LOC"],
]


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    """A cased WordPiece tokenizer that knows single letters and a few whole words."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WHOLE_WORDS]
    tokens += [*LETTERS, *(f"##{letter}" for letter in LETTERS)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=False, model_max_length=512)


@pytest.fixture(scope="session")
def make_config(tokenizer):
    """Build the configuration of a tiny network; a dict changes single fields of a sub-config."""

    def build(**changes) -> TwoMNERConfig:
        settings = _tiny_settings(len(tokenizer))
        for field, value in changes.items():
            settings[field] = {**settings[field], **value} if isinstance(value, dict) and field in settings else value
        return TwoMNERConfig(**settings)

    return build


@pytest.fixture(scope="session")
def make_model(make_config):
    """Build a tiny model in eval mode whose every weight and running statistic matters."""

    def build(**changes) -> TwoMNERForTokenClassification:
        return shake_weights(TwoMNERForTokenClassification(make_config(**changes))).eval()

    return build


@pytest.fixture(scope="session")
def make_baseline(tokenizer):
    """Build a tiny comparison model by its `model_type`, in eval mode, with weights that all matter; a dict changes
    single fields of a sub-config.
    """

    def build(model_type: str, **changes) -> torch.nn.Module:
        settings = _tiny_baseline(model_type, len(tokenizer))
        for field, value in changes.items():
            settings[field] = {**settings[field], **value} if isinstance(value, dict) and field in settings else value
        config = AutoConfig.for_model(model_type, **settings)
        return shake_weights(AutoModelForTokenClassification.from_config(config)).eval()

    return build


@pytest.fixture(scope="session")
def one_image_processor(tokenizer) -> OneImageProcessor:
    """The processor of the comparison models on sub-words, for pictures of 32 pixels and crops of 32 and 16."""
    image_processor = CLIPImageProcessorPil(
        size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3
    )
    return OneImageProcessor(image_processor, tokenizer, max_length=64, object_size=32, small_object_size=16)


@pytest.fixture(scope="session")
def word_processor() -> WordProcessor:
    """The processor of the models on word vectors, for pictures of 32 pixels; it knows the words of `sentences`."""
    words = sorted({word for sentence in SENTENCES for word in sentence})
    size = {"height": 32, "width": 32}
    return WordProcessor(
        CLIPImageProcessorPil(size=size, image_mean=[0.4] * 3, image_std=[0.2] * 3),
        WordTokenizer(words=words, characters=sorted(set("".join(words)))),
    )


@pytest.fixture(scope="session")
def shake():
    """Give a network weights and running statistics that all matter, the same at each call."""
    return shake_weights


@pytest.fixture(scope="session")
def model(make_model) -> TwoMNERForTokenClassification:
    """The default tiny model, shared: tests leave its weights and its mode as they are."""
    return make_model()


@pytest.fixture(scope="session")
def predict():
    """Run a model on a batch, with some inputs changed, without gradients."""

    @torch.no_grad()
    def forward(model, batch, **changes):
        return model(**{**batch, **changes})

    return forward


@pytest.fixture(scope="session")
def processor(tokenizer) -> TwoMNERProcessor:
    """A processor for pictures of 32 x 32 pixels."""
    return TwoMNERProcessor(
        CLIPImageProcessorPil(size={"height": 32, "width": 32}),
        CLIPImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.2] * 3),
        tokenizer,
        max_length=64,
    )


@pytest.fixture(scope="session")
def make_picture():
    """Draw a picture of coloured noise; the same number gives the same picture."""

    def draw(number: int = 0, width: int = 48, height: int = 40) -> Image.Image:
        pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return draw


@pytest.fixture(scope="session")
def pictures(make_picture) -> list[Image.Image]:
    """Three different pictures of different shapes."""
    return [make_picture(0), make_picture(1, 30, 60), make_picture(2, 64, 64)]


@pytest.fixture(scope="session")
def sentences() -> list[list[str]]:
    """Four sentences of different lengths in four languages."""
    return SENTENCES


@pytest.fixture(scope="session")
def tags() -> list[list[str]]:
    """The tags of `sentences`."""
    return TAGS


@pytest.fixture(scope="session")
def batch(processor, sentences, tags, pictures):
    """The four sentences with labels; the first and the last share a picture, the second has none."""
    return processor(sentences, [pictures[0], None, pictures[1], pictures[0]], tags)


@pytest.fixture(scope="session")
def keep_caches_in():
    """Neither find nor leave data sets and the code of checkpoints in the caches of this machine."""

    def patch_caches(folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "cache")
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
        places = [place for place in sys.path if not (Path(place) / "transformers_modules").exists()]
        patch.setattr(sys, "path", places)
        for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
            patch.delitem(sys.modules, name)
        patch.setitem(_ImportedCode(), "until the patch is undone", True)  # last, so that it is undone first

    return patch_caches


class _ImportedCode(dict):
    """Forgets the code of checkpoints in `sys.modules` when a monkeypatch deletes its entry again.

    Otherwise tests without the patch would look for other code where this one was, and not find it.
    """

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
            del sys.modules[name]


@pytest.fixture
def hub():
    """An empty Hub on this machine."""
    with StandInHub() as server:
        yield server


def shake_weights(network: torch.nn.Module) -> torch.nn.Module:
    """Set weights far from zero, one and their usual small spread, and running statistics to match."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            spread = 1.0 if "crf." in name or "classifier." in name else 0.2
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            if name.endswith("weight") and parameter.dim() == 1:  # of a normalisation
                parameter += 1
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.2)
            if name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return network


def _tiny_baseline(model_type: str, vocab_size: int) -> dict:
    tiny = _tiny_settings(vocab_size)
    text = {"text_config": tiny["text_config"]}
    words = {"vocab_size": 30, "num_characters": 40, "word_embedding_size": 12, "lstm_hidden_size": 8}
    vgg = {"vgg_channels": [[4], [8]], "image_size": 32}
    vision = {**tiny["vision_config"], "hidden_size": 16}  # as wide as the text encoder
    crops = {"aux_crop_size": 32, "rcnn_crop_size": 16}
    graph = {"graph_size": 24, "graph_heads": 4, "graph_intermediate_size": 16}
    return {
        "bilstm-crf": words,
        "adacan": {**words, **vgg, "attention_size": 10, "character_embedding_size": 6, "character_size": 5},
        "bert-crf": text,
        "umt": {**text, "resnet_config": tiny["resnet_config"]},
        "umgf": {**text, "resnet_config": tiny["resnet_config"], **graph},
        "mkgformer": {**text, "vision_config": vision, "fusion_start_layer": 2, **crops},
    }[model_type]


def _tiny_settings(vocab_size: int) -> dict:
    return {
        "text_config": {
            "model_type": "bert",
            "vocab_size": vocab_size,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 32,
            "max_position_embeddings": 64,
        },
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 32,
            "image_size": 32,
            "patch_size": 16,
        },
        "resnet_config": {
            "model_type": "resnet",
            "embedding_size": 8,
            "hidden_sizes": [8, 20],
            "depths": [1, 1],
            "layer_type": "basic",
        },
    }
