"""Batches of sentences of similar length, in random order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class LengthGroupedSampler(Sampler[int]):
    """Order the rows so that the rows of a batch have similar lengths.

    Rows are shuffled, sorted by length within chunks of many batches, and the batches are shuffled again, so that long
    sentences do not come first as they do in the sampler of transformers. The order depends only on seed and epoch: it
    is the same in every process and after a restart.

    Args:
        lengths: the length of each row.
        batch_size: rows per batch, over all processes and accumulation steps.
        seed: seed of the order, to which the epoch is added.
        chunk_batches: batches per chunk; more means less padding and less randomness.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int = 0, chunk_batches: int = 50):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.chunk_size = chunk_batches * batch_size
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch in the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        rows = torch.randperm(len(self.lengths), generator=generator).tolist()
        chunks = [rows[start : start + self.chunk_size] for start in range(0, len(rows), self.chunk_size)]
        rows = [row for chunk in chunks for row in sorted(chunk, key=self.lengths.__getitem__)]
        full = len(rows) // self.batch_size
        order = torch.randperm(full, generator=generator).tolist()
        for batch in order:
            yield from rows[batch * self.batch_size : (batch + 1) * self.batch_size]
        yield from rows[full * self.batch_size :]  # the incomplete batch must come last
