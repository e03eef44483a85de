"""Training steps: the release's on random batches beside ours on batches of similar length."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks.speed.material import BATCH, Material, Networks
from benchmarks.speed.measuring import Goal, Way, Work
from modeling_2mner.images import load_image
from modeling_2mner.kept_features import KeptFeatures
from training_2mner.folding import folded_copy
from training_2mner.onednn import OneDNNLinear
from training_2mner.sampler import LengthGroupedSampler
from training_2mner.used_rows import UsedRows

TOWERS = ("vision_model", "resnet_model")
RATE = 1e-6
# The name, what is frozen, whether features are stored, the goals in fp32 and bf16.
RUNS = (
    ("like for like (ResNet frozen), used rows and oneDNN", TOWERS[1:], False, Goal(1.3), Goal(2.4)),
    ("default (all trained)", (), False, Goal(), Goal()),
    ("towers frozen, used rows and oneDNN", TOWERS, False, Goal(), Goal()),
    ("towers frozen, features stored, used rows and oneDNN", TOWERS, True, Goal(5.0), Goal(7.0)),
)


def steps(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """Forward, Eq. 18, backward and Adam, on batches that were made before."""
    networks = Networks.of(material)
    lengths = networks.processor.piece_lengths(material.sentences)
    rows = list(range(len(lengths)))
    random.Random(19).shuffle(rows)
    as_they_come = choose(rows, lengths, options.step_batches)
    grouped = choose(list(LengthGroupedSampler(lengths, BATCH, seed=19)), lengths, options.step_batches)
    pictures = {row: given["image"] for row, given in enumerate(material.rows(len(rows)))}

    def batches(processor: Any, chosen: Sequence[Sequence[int]], stored: bool = False) -> list[Any]:
        made = []
        for batch in chosen:
            images = [pictures[row] for row in batch]
            given = _with_features(networks, images) if stored else images
            words, tags = ([values[row] for row in batch] for values in (material.sentences, material.tags))
            made.append(processor(words, given, tags))
        return made

    training = Training(networks)
    plain, stored = batches(networks.processor, grouped), batches(networks.processor, grouped, stored=True)
    released = batches(networks.released_processor, as_they_come)
    ways = [Way("released", [training.released_step(batch) for batch in released])]
    for name, frozen, is_stored, *goals in RUNS:
        for precision, goal in zip(("fp32", "bf16"), goals, strict=True):
            made = [training.step(batch, frozen, precision == "bf16") for batch in (stored if is_stored else plain)]
            ways.append(Way(f"{name}, {precision}", made, goal if material.full else Goal()))
    count = BATCH * options.step_batches
    yield Work("training step", ways, "sentence", count, options.step_repeats, options.clock)


def choose(rows: Sequence[int], lengths: Sequence[int], count: int) -> list[Sequence[int]]:
    """Full batches of an epoch that stand for all of them: in the middle of `count` equal parts, by padded size."""
    batches = [rows[start : start + BATCH] for start in range(0, len(rows) - BATCH + 1, BATCH)]
    batches.sort(key=lambda batch: max(lengths[row] for row in batch))
    if len(batches) < count:
        raise ValueError(f"`step_batches` is {count}, but there are {len(batches)} batches; add `sentences`.")
    return [batches[(2 * place + 1) * len(batches) // (2 * count)] for place in range(count)]


class Training:
    """Steps of the released network and of ours. Weights, moments and gradients of the encoders exist once for all
    steps, so that they fit into memory together; a step costs what it costs alone.

    Args:
        networks: both.
    """

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        model, text_model = networks.model, networks.model.model.text_model
        self._resnet = model.model.resnet_model
        self._folded = folded_copy(self._resnet).requires_grad_(False)
        self._embedding = text_model.get_input_embeddings()
        self._used = UsedRows(self._embedding, torch.arange(len(networks.processor.tokenizer)))
        others = [weight for weight in model.parameters() if weight is not self._embedding.weight]
        self._released = torch.optim.Adam(networks.released.parameters(), RATE)  # as in the release, not fused
        self._all = torch.optim.Adam(model.parameters(), RATE, fused=True)
        self._fewer = torch.optim.Adam([*others, self._used.weight], RATE, fused=True)
        for optimizer in (self._released, self._fewer):
            optimizer.state = self._all.state

    def released_step(self, batch: Any) -> Callable[[], None]:
        """A step of the release, whose ResNet is not trained."""
        return self._make(self._networks.released, self._released, batch, TOWERS[1:], False)

    def step(self, batch: Any, frozen: Sequence[str], bf16: bool) -> Callable[[], None]:
        """A step of ours, as the Trainer makes it: a frozen ResNet runs folded, and if any encoder is frozen, only the used
        rows of the embedding matrix are trained (`train_used_rows`), at most those of the tokenizer's vocabulary, and products
        are oneDNN's (`onednn_linear`), as in `2m-ner-frozen.yaml`.
        """
        step = self._make(self._networks.model, self._fewer if frozen else self._all, batch, frozen, bf16)
        return partial(self._with_used_rows, step) if frozen else step

    def _with_used_rows(self, step: Callable[[], None]) -> None:
        text_model = self._networks.model.model.text_model
        text_model.set_input_embeddings(self._used)
        self._resnet.forward = self._folded.forward
        try:
            with OneDNNLinear():
                step()
        finally:
            del self._resnet.forward
            text_model.set_input_embeddings(self._embedding)

    def _make(
        self, model: Any, optimizer: torch.optim.Optimizer, batch: Any, frozen: Sequence[str], bf16: bool
    ) -> Callable[[], None]:
        def step() -> None:
            model.train()
            for name in TOWERS:
                getattr(model.model, name).requires_grad_(name not in frozen)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                outputs = model(**batch)
                embeds = outputs.text_embeds, outputs.vit_embeds, outputs.resnet_embeds
                loss = model.objective(outputs.loss, *embeds, batch["image_index"])["loss"]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step


@torch.no_grad()  # inference tensors cannot be saved for a backward pass
def _with_features(networks: Networks, images: Sequence[bytes]) -> list[Any]:
    """Pictures with what the image towers make of them, as a feature cache gives them."""
    return KeptFeatures().encode(networks.model, networks.processor, [load_image(image) for image in images])
