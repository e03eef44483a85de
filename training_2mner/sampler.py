"""Batches of sentences of similar length, in random order."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence

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
        pictures (*optional*): the picture of each row, `None` for none. Rows with the same picture come into the same
            batch, unless there are more of them than it holds or no others fill the rest of it.
        picture_batch (*optional*): rows per batch of a single process, which pictures are kept together in; by default
            `batch_size`, of which it must be a divisor.
    """

    def __init__(
        self,
        lengths: list[int],
        batch_size: int,
        seed: int = 0,
        chunk_batches: int = 50,
        pictures: Sequence[Hashable] | None = None,
        picture_batch: int | None = None,
    ):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.chunk_size = chunk_batches * batch_size
        self.epoch = 0
        self.picture_batch = picture_batch or batch_size
        self.units = _units(len(lengths), pictures, self.picture_batch)

    def __len__(self) -> int:
        return len(self.lengths)

    def set_epoch(self, epoch: int) -> None:
        """Use the order of this epoch in the next iteration."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        shuffled = [self.units[place] for place in torch.randperm(len(self.units), generator=generator).tolist()]
        rows: list[int] = []
        left: list[list[int]] = []
        for chunk in _chunks(shuffled, self.chunk_size):
            batches, left = self._pack(sorted([*left, *chunk], key=self._length))
            rows += batches
        rows += [row for unit in left for row in unit]
        full = len(rows) // self.batch_size
        order = torch.randperm(full, generator=generator).tolist()
        for batch in order:
            yield from rows[batch * self.batch_size : (batch + 1) * self.batch_size]
        yield from rows[full * self.batch_size :]  # the incomplete batch must come last

    def _length(self, unit: list[int]) -> int:
        return max(self.lengths[row] for row in unit)

    def _pack(self, units: Iterable[list[int]]) -> tuple[list[int], list[list[int]]]:
        """Full batches of units, one after the other, each filled by the next ones that fit; and the units that are left."""
        waiting = deque(units)
        rows: list[int] = []
        left: list[list[int]] = []
        while waiting:
            batch: list[list[int]] = []
            room = self.picture_batch
            while (
                room and (place := next((p for p, unit in enumerate(waiting) if len(unit) <= room), None)) is not None
            ):
                batch.append(waiting[place])
                room -= len(waiting[place])
                del waiting[place]
            if room:
                left += batch
            else:
                rows += [row for unit in batch for row in unit]
        return rows, left


def _units(num_rows: int, pictures: Sequence[Hashable] | None, most: int) -> list[list[int]]:
    """The rows that belong together, at most so many; those without a picture are alone."""
    groups: dict[Hashable, list[int]] = {}
    for row in range(num_rows):
        picture = None if pictures is None else pictures[row]
        groups.setdefault(("row", row) if picture is None else ("picture", picture), []).append(row)
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]


def _chunks(units: Iterable[list[int]], most: int) -> Iterator[list[list[int]]]:
    """Units in lists of about so many rows."""
    chunk, size = list[list[int]](), 0
    for unit in units:
        chunk.append(unit)
        size += len(unit)
        if size >= most:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
