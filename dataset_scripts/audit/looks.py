"""Find pictures that look the same, by a 64-bit hash of each.

The difference hash (Krawetz 2013): the picture in grey as 9 x 8 cells, each the mean of its pixels; a bit is 1 if a
cell is brighter than its left neighbour. Re-encoding and resizing change few bits. Pictures that differ in at most 3
bits look alike. Cut into four bands of 16 bits, two such hashes have at least one band in common, so comparing only
hashes that share a band finds every pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np
import PIL.Image

HASH_GRID = 8
MAX_DIFFERENT_BITS = 3
BANDS, BAND_BITS = 4, 16
# A picture is flat if nearly all its bits would be chance: fewer neighbours than this differ by this many grey levels.
MIN_STEPS, MIN_STEP = 16, 2
_BLOCK = 256  # hashes compared with all of their band at once; bounds the memory


def difference_hash(image: PIL.Image.Image) -> int | None:
    """Return the 64 bits of a picture as a number, or None for a flat one."""
    grey = image.convert("L").resize((HASH_GRID + 1, HASH_GRID), PIL.Image.Resampling.BOX)
    steps = np.diff(np.asarray(grey, dtype=np.int16), axis=1)  # (8, 8)
    if np.count_nonzero(np.abs(steps) >= MIN_STEP) < MIN_STEPS:
        return None
    return int.from_bytes(np.packbits(steps > 0).tobytes(), "big")


def similar_looks(looks: Collection[int]) -> dict[int, list[int]]:
    """Return for each hash the others that differ from it in 1 to 3 bits; hashes without such others are left out."""
    hashes = np.array(sorted(set(looks)), dtype=np.uint64)
    near: defaultdict[int, list[int]] = defaultdict(list)
    for band in range(BANDS):
        for first, second in _pairs_of_band(hashes, band):
            near[first].append(second)
            near[second].append(first)
    return {look: sorted(set(near[look])) for look in sorted(near)}


def alike_looks(looks: Collection[int]) -> dict[int, int]:
    """Return for each hash that has similar ones the smallest that can be reached through them: a name for them all."""
    near = similar_looks(looks)
    smallest: dict[int, int] = {}
    for look in near:  # in ascending order
        reached = [] if look in smallest else [look]
        while reached:
            other = reached.pop()
            if other not in smallest:
                smallest[other] = look
                reached += near[other]
    return smallest


def _pairs_of_band(hashes: np.ndarray, band: int) -> Iterator[tuple[int, int]]:
    keys = (hashes >> np.uint64(band * BAND_BITS)) & np.uint64(2**BAND_BITS - 1)
    order = np.argsort(keys, kind="stable")
    _, starts = np.unique(keys[order], return_index=True)
    for members in np.split(hashes[order], starts[1:]):
        for start in range(0, len(members) - 1, _BLOCK):
            yield from _close_pairs(members[start : start + _BLOCK], members[start:])


def _close_pairs(block: np.ndarray, members: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the close pairs of the block, which is the beginning of `members`, with later members."""
    distances = np.bitwise_count(block[:, None] ^ members[None, :])  # (block, members)
    rows, columns = np.nonzero(np.triu(distances <= MAX_DIFFERENT_BITS, k=1))
    for row, column in zip(rows, columns, strict=True):
        yield int(block[row]), int(members[column])
