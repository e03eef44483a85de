"""How far an exported model is from the original, on made-up sentences or on a data set."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from training_2mner.metrics import entity_scores

SEED = 19
BATCH_SIZE = 8


@dataclass
class Parity:
    """The differences between two models on the same batches.

    Args:
        sentences, words: how many were compared.
        largest_difference: the largest absolute difference of two emissions of a word.
        equal_tags: how many words have equal tags.
        references, before, after: the gold tags, if there are any, and those of the original and the exported model.
    """

    sentences: int = 0
    words: int = 0
    largest_difference: float = 0.0
    equal_tags: int = 0
    references: list[list[str]] = field(default_factory=list)
    before: list[list[str]] = field(default_factory=list)
    after: list[list[str]] = field(default_factory=list)

    def add(self, batch: Any, original: Any, exported: Any, labels: list[str]) -> None:
        """Compare the outputs of both models for a batch."""
        mask = batch["word_mask"]
        gaps = (original.logits.float().cpu() - exported.logits).abs()[mask]
        if not gaps.isfinite().all():
            raise ValueError(
                "the emissions of the original or of the export are not finite; check the model's weights."
            )
        self.largest_difference = max([self.largest_difference, *gaps.flatten().tolist()])
        self.equal_tags += int((original.predictions.cpu() == exported.predictions)[mask].sum())
        self.sentences += len(mask)
        self.words += int(mask.sum())
        if "labels" in batch:
            for kept, tags in (
                (self.references, batch["labels"]),
                (self.before, original.predictions),
                (self.after, exported.predictions),
            ):
                kept += [[labels[tag] for tag in row[own].tolist()] for row, own in zip(tags, mask, strict=True)]

    def report(self) -> dict[str, Any]:
        """The figures for `parity.json`; F1 in percent, strict, only where there are gold tags."""
        figures = {
            "sentences": self.sentences,
            "words": self.words,
            "largest_emission_difference": self.largest_difference,
            "equal_tags_percent": 100 * self.equal_tags / max(self.words, 1),
        }
        if self.references:
            figures["f1_before"] = 100 * entity_scores(self.before, self.references)["f1"]
            figures["f1_after"] = 100 * entity_scores(self.after, self.references)["f1"]
        return figures


@torch.no_grad()
def compare(model: Any, exported: Any, batches: Iterable[Any]) -> Parity:
    """Run both models on batches of their processor."""
    parity = Parity()
    model.eval()
    for batch in batches:
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        original = model(**{name: value.to(model.device) for name, value in inputs.items()})
        parity.add(batch, original, exported(**inputs), model.config.labels)
    return parity


def made_up_batches(processor: Any, count: int = 24) -> Iterator[Any]:
    """Batches of random words with noise for pictures; among them text only, and a text of several windows."""
    generator = random.Random(SEED)
    vocabulary = processor.tokenizer.get_vocab()
    words = sorted(word for word in vocabulary if word.isalpha()) or sorted(vocabulary)
    limit = min(processor.max_length, processor.tokenizer.model_max_length)
    sentences = [generator.choices(words, k=generator.randint(1, 30)) for _ in range(count)]
    sentences.append(generator.choices(words, k=limit + limit // 2))
    noise = np.random.default_rng(SEED)
    pictures = [Image.fromarray(noise.integers(0, 256, (64, 64, 3), dtype=np.uint8)) for _ in range(5)]
    for start in range(0, len(sentences), BATCH_SIZE):
        part = sentences[start : start + BATCH_SIZE]
        text_only = start == BATCH_SIZE
        yield processor(part, [None if text_only else generator.choice([None, *pictures]) for _ in part])
