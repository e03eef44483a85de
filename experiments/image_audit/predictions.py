"""Predict each sentence with its right picture, with none, with a grey one, or with that of another sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from tqdm import tqdm
from transformers import PreTrainedModel

from experiments.image_audit import BATCH_SIZE, SEED
from experiments.image_audit.counts import OTHER_CONDITIONS, Tags
from experiments.records import describe_sentences
from modeling_2mner.images import load_image
from training_2mner.data import label_names, tag_names, text_values

GREY = (128, 128, 128)


@dataclass(frozen=True)
class Predictor:
    """A model with its processor.

    Args:
        model, processor: of one checkpoint.
        batch_size: sentences per batch.
        boxes: the processor's arguments for object boxes, and the columns that hold them.
    """

    model: PreTrainedModel
    processor: Any
    batch_size: int = BATCH_SIZE
    boxes: tuple[tuple[str, str], ...] = ()

    @torch.no_grad()
    def predict(
        self, test: Dataset, rows: Sequence[int], shown: str, donors: Sequence[int]
    ) -> tuple[list[list[str]], list[str]]:
        """Tag some sentences of the test split.

        Args:
            test: the test split, with undecoded pictures.
            rows: the sentences.
            shown: one of `CONDITIONS`.
            donors: for each sentence, the row whose picture it gets.

        Returns:
            The tags, and the status of each picture (see `modeling_2mner.images`).
        """
        tags: list[list[str]] = []
        statuses: list[str] = []
        sentences = test.select_columns(["tokens"])
        labels = self.model.config.labels
        for start in tqdm(
            range(0, len(rows), self.batch_size), desc=f"picture: {shown}", unit=" batches", disable=None
        ):
            part = slice(start, start + self.batch_size)
            words = sentences[list(rows[part])]["tokens"]
            try:
                batch = self.processor(words, **self._show(test, list(donors[part]), shown))
            except ValueError as error:
                raise ValueError(f"{error} The batch holds the rows {list(rows[part])} of the test split.") from error
            statuses += batch.image_status
            found = self.model(**batch.to(self.model.device)).predictions.tolist()
            tags += [[labels[tag] for tag in row[: len(own)]] for row, own in zip(found, words, strict=True)]
        return tags, statuses

    def _show(self, test: Dataset, donors: list[int], shown: str) -> dict[str, list]:
        """The processor's arguments other than the words."""
        if shown == "none":
            return {}
        cells = test.select_columns(["image", *(column for _, column in self.boxes)])[donors]
        images = [blank(cell) for cell in cells["image"]] if shown == "blank" else cells["image"]
        return {"images": images, **{argument: cells[column] for argument, column in self.boxes}}


@dataclass(frozen=True)
class Result:
    """The predictions of one model.

    Args:
        gold: tags, one sequence per sentence of the test split.
        tags: the predicted tags of all sentences for each of `CONDITIONS`.
        pictures: `(sentences,)` the picture of each sentence, as a number.
        usable: `(sentences,)` bool, whether the picture is usable.
        types: the entity types of the data set and of the model.
    """

    gold: Tags
    tags: dict[str, list[list[str]]]
    pictures: np.ndarray
    usable: np.ndarray
    types: list[str]


def predict_all(predictor: Predictor, test: Dataset, seed: int = SEED) -> Result:
    """Predict the test split with each kind of picture.

    Raises:
        ValueError: if no sentence has a usable picture, or if the pictures cannot be shuffled.
    """
    everything = range(len(test))
    right, statuses = predictor.predict(test, everything, "right", everything)
    usable = np.array([status == "ok" for status in statuses], dtype=bool)
    if "image_status" in test.column_names:
        usable &= np.array(text_values(test, "image_status")) == "ok"  # not a stand-in for a missing picture
    pictures = np.array(describe_sentences(test)["picture"])
    rows = np.flatnonzero(usable)
    donors = {"none": rows, "blank": rows, "shuffled": rows[shuffle(pictures[rows], seed)]}
    tags = {"right": right}
    for other in OTHER_CONDITIONS:
        tags[other] = list(right)
        found, _ = predictor.predict(test, rows.tolist(), other, donors[other].tolist())
        for row, sentence in zip(rows, found, strict=True):
            tags[other][row] = sentence
    names = label_names(test)
    types = dict.fromkeys(name[2:] for name in (*names, *predictor.model.config.labels) if name != "O")
    return Result(tag_names(test), tags, pictures, usable, list(types))


def shuffle(pictures: np.ndarray, seed: int = SEED) -> np.ndarray:
    """Give each sentence the picture of another: a permutation `(sentences,)` that gives none its own picture.

    The sentences are put into a random order in which those with the same picture are adjacent. Shifted by the size of
    the largest such group, every position meets a different picture.

    Raises:
        ValueError: if there is no sentence, or one picture belongs to more than half of them.
    """
    groups, sizes = np.unique(pictures, return_inverse=True, return_counts=True)[1:]
    largest = int(sizes.max(initial=0))
    if not largest or 2 * largest > len(pictures):
        raise ValueError(
            f"of {len(pictures)} test sentences with a usable picture, {largest} share the same one, so the pictures "
            "cannot be shuffled; use a data set with pictures for more sentences."
        )
    generator = np.random.default_rng(seed)
    order = np.lexsort((generator.random(len(groups)), generator.permutation(len(sizes))[groups]))
    donors = np.empty(len(groups), dtype=np.int64)
    donors[order] = np.roll(order, -largest)
    return donors


def blank(cell: Any) -> Image.Image:
    """A grey picture of the same size as another one."""
    image = load_image(cell).image
    assert image is not None, "only usable pictures are blanked"
    return _grey(image.size)


@lru_cache(maxsize=256)
def _grey(size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, GREY)
