"""Batches of sentences of similar length, in random order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class LengthGroupedSampler(Sampler[int]):
    """Order the rows so that consecutive ones, cut into batches, have similar lengths.

    Rows are shuffled, sorted by length inside chunks of many batches, and the batches are shuffled again: unlike the
    sampler of transformers, long sentences do not come first. The order depends on seed and epoch alone, so it is the
    same in every process and after a restart.

    Args:
        lengths: length of each row.
        batch_size: rows a batch, of all processes and accumulation steps together.
        seed: seed of the order; the epoch is added to it.
        chunk_batches: batches a chunk; more means less padding and less randomness.
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
        """Give the next iteration the order of this epoch."""
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
        yield from rows[full * self.batch_size :]  # the incomplete batch must stay last
