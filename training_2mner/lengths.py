"""Lengths of the sentences of a data set, by which they are batched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the arguments of a run need `LENGTH_UNITS` alone
    from datasets import Dataset

LENGTH_UNITS = ("pieces", "words")
CHUNK = 1000  # sentences that are tokenised at once


class SentenceLengths:
    """Lengths in the sub-words that the text encoder reads, counted once for each data set of a run.

    A batch is padded to its sentence with the most sub-words. Sentences of as many words differ in them, so batches
    made by words are padded to a third more than they hold (`benchmarks/padding.py`).

    Args:
        processor: the processor that makes the batches. Without one that can count sub-words, lengths are in words.
        unit (`str`): `"pieces"` or `"words"`.
    """

    def __init__(self, processor: Any, unit: str = "pieces"):
        self._count = getattr(processor, "piece_lengths", None) if unit == "pieces" else None
        self._known: dict[str, list[int]] = {}

    def of(self, dataset: Dataset) -> list[int]:
        """The length of each row, from its `tokens`."""
        # Not the object: the Trainer makes another one of the same rows for each evaluation.
        name = getattr(dataset, "_fingerprint", None)
        if name not in self._known:
            lengths = self._read(dataset)
            if name is None:
                return lengths
            self._known[name] = lengths
        return self._known[name]

    def _read(self, dataset: Dataset) -> list[int]:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # or its threads warn when the loader forks
        lengths: list[int] = []
        for rows in dataset.select_columns("tokens").iter(CHUNK):
            sentences = list(rows["tokens"])
            lengths += self._count(sentences) if self._count else map(len, sentences)
        return lengths


__all__ = ["LENGTH_UNITS", "SentenceLengths"]
