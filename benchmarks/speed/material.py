"""What is measured on: sentences, pictures, and networks with random weights."""

from __future__ import annotations

import argparse
import copy
import math
import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoTokenizer, BertConfig

from benchmarks.full_size import first_sentences, jpeg, tokenizer_for
from modeling_2mner import (
    TwoMNERConfig,
    TwoMNERForTokenClassification,
    TwoMNERProcessor,
    TwoMNERReleasedConfig,
    TwoMNERReleasedForTokenClassification,
    TwoMNERReleasedProcessor,
)
from modeling_2mner.images import load_image
from modeling_2mner.modeling_released import EXTRA_CHARACTERS

LABELS = ["O", *(f"{mark}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for mark in "BI")]
BATCH = 16
MBERT_VOCABULARY = 119_547
# The encoder of sentence-transformers/all-MiniLM-L6-v2, and a small one.
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
SMALL = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
SMALL_VISION = {"model_type": "clip_vision_model", **SMALL, "image_size": 64, "patch_size": 16}
SMALL_RESNET = {
    "model_type": "resnet",
    "embedding_size": 16,
    "hidden_sizes": [24, 48, 96],
    "depths": [1, 1, 1],
    "layer_type": "basic",
}


@dataclass(frozen=True)
class Material:
    """Sentences, the tokenizer that reads them, the size of an encoder for text, and whether networks are full size."""

    sentences: list[list[str]]
    tokenizer: Any
    text: dict[str, Any]
    full: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> Material:
        """Real sentences with `--conll`; otherwise generated ones, in lengths like those of captions and tweets."""
        if options.conll is not None:
            sentences = first_sentences(options.conll, options.sentences)[0]
        else:
            chance = random.Random(19)
            lengths = [min(round(math.exp(chance.gauss(2.65, 0.5))) + 1, 60) for _ in range(options.sentences)]
            sentences = [[f"word{chance.randrange(500)}" for _ in range(length)] for length in lengths]
        if options.text_encoder is not None:
            text = BertConfig.from_pretrained(options.text_encoder).to_diff_dict()
            tokenizer = AutoTokenizer.from_pretrained(options.text_encoder)
            return cls(sentences, tokenizer, {**text, "model_type": "bert"}, options.full)
        sizes = MINILM if options.full else SMALL
        return cls(sentences, tokenizer_for(sentences), {"model_type": "bert", **sizes}, options.full)

    @property
    def vocabulary(self) -> int:
        """The vocabulary of a network that reads the sentences, with the tokens of the release; in full size, of mBERT."""
        return max(len(self.tokenizer) + len(EXTRA_CHARACTERS), MBERT_VOCABULARY if self.full else 0)

    @property
    def network(self) -> dict[str, Any]:
        """The encoders of 2M-NER: the paper's, or small ones."""
        if self.full:
            return {"text_config": {"model_type": "bert", "vocab_size": self.vocabulary}}
        text = {"model_type": "bert", "vocab_size": self.vocabulary, **SMALL}
        return {"text_config": text, "vision_config": SMALL_VISION, "resnet_config": SMALL_RESNET}

    @cached_property
    def tags(self) -> list[list[str]]:
        """Tags to train with."""
        return [["O"] * len(words) for words in self.sentences]

    def rows(self, count: int, sentences_a_picture: int = 1) -> list[dict[str, Any]]:
        """Sentences with pictures, each of which so many sentences in turn have."""
        chosen = self.sentences[:count]
        pictures = [jpeg(number) for number in range(math.ceil(len(chosen) / sentences_a_picture))]
        return [
            {"words": words, "image": pictures[place // sentences_a_picture]} for place, words in enumerate(chosen)
        ]


@dataclass(frozen=True)
class Networks:
    """The released network and ours, with random weights and their processors; both have the same encoders."""

    released: Any
    released_processor: Any
    model: Any
    processor: Any

    @classmethod
    def of(cls, material: Material) -> Networks:
        """Build both, in eval mode."""
        model = TwoMNERForTokenClassification(TwoMNERConfig(**material.network)).eval()
        processor = TwoMNERProcessor.for_model(model, material.tokenizer)
        _scale_regions(model, processor, material.rows(1)[0]["image"])
        encoders = {name: getattr(model.model, name) for name in ("text_model", "vision_model", "resnet_model")}
        released = TwoMNERReleasedForTokenClassification(TwoMNERReleasedConfig(**material.network), **encoders).eval()
        released_processor = TwoMNERReleasedProcessor(
            copy.deepcopy(processor.image_processor),
            copy.deepcopy(processor.resnet_image_processor),
            copy.deepcopy(material.tokenizer),
            processor.max_length,
            labels=model.config.labels,
        )
        return cls(released, released_processor, model, processor)


@torch.no_grad()
def _scale_regions(model: Any, processor: Any, picture: bytes) -> None:
    """Give the regions of the ResNet the size that those of a trained one have. Those of a deep one with random weights
    are 10 million times larger: attention would choose a single region, and any rounding another one."""
    pixels = processor.encode_images([load_image(picture).image])
    regions = model.model.resnet_projection(model.encode_images(**pixels)["resnet_image_features"])
    for parameter in model.model.resnet_projection.parameters():
        parameter.div_(regions.std())
