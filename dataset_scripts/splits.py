"""Assign sentences to train, validation and test, and count what the held-out parts share with train.

`given`     as in the files
`paper`     rows of all languages in one pool, exactly 8:1:1, as MMNERD was split: translations are separated
`grouped`   by picture across languages, 8:1:1 in expectation: all sentences of a picture stay together

Both new splits follow from a hash of seed and name, not from a shuffled list: they are the same on every machine and
in any order of the files. A picture's split in `grouped` does not change when others are added; in `paper` it can, to
keep the shares exact.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dataset_scripts.schema import DEFAULT_CONFIG, LANGUAGES, SPLITS, available_configs

METHODS = ("given", "paper", "grouped")
HELD_OUT = SPLITS[1:]
TRAIN = 0
_TENTH = 2**64 // 10


def split_of_group(seed: int, group: str) -> int:
    """Return the position in `SPLITS` of all rows of a group (a picture), whatever else the data set holds."""
    tenth = stable_hash(f"{seed}/{group}") // _TENTH
    return 0 if tenth < 8 else 1 if tenth < 9 else 2


def split_pool(seed: int, names: Iterable[str]) -> array[int]:
    """Cut rows with these names 8:1:1 in a random order; return each one's position in `SPLITS`."""
    hashes = array("Q", (stable_hash(f"{seed}/{name}") for name in names))
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    tenth = len(order) // 10
    splits = array("b", bytes(len(order)))
    for rank, place in enumerate(order):
        splits[place] = 2 if rank < tenth else 1 if rank < 2 * tenth else 0
    return splits


def stable_hash(text: str) -> int:
    """Return a 64-bit number that depends only on the text, unlike `hash`."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Leak:
    """How many rows of a held-out split have their picture, or exactly their words, in the train split of `config`."""

    config: str
    split: str
    rows: int
    pictures: int
    texts: int


class Overlap:
    """Collects the pictures and words of rows, as hashes, to count what splits share."""

    def __init__(self, languages: Sequence[str] = LANGUAGES) -> None:
        self._languages = languages
        self._cells: array[int] = array("h")
        self._pictures: array[int] = array("Q")
        self._texts: array[int] = array("Q")

    def add(self, lang: int, split: int, image_id: str, tokens: Sequence[str]) -> None:
        """Add one row; language and split are positions in `languages` and `SPLITS`."""
        self._cells.append(_cell(lang, split))
        self._pictures.append(stable_hash(image_id))
        self._texts.append(stable_hash("\t".join(tokens)))

    def leaks(self) -> list[Leak]:
        """Count for every configuration and held-out split that has rows."""
        rows = Counter(zip(self._cells, self._found_in(self._pictures), self._found_in(self._texts), strict=True))
        present = {self._languages[cell // len(SPLITS)] for cell in self._cells}
        configs = available_configs(present)
        if len(present) == 1:
            del configs[DEFAULT_CONFIG]  # the same rows as those of the only language
        leaks = [
            _leak(rows, config, [self._languages.index(lang) for lang in languages], split)
            for config, languages in configs.items()
            for split in HELD_OUT
        ]
        return [leak for leak in leaks if leak.rows]

    def _found_in(self, keys: array[int]) -> Iterator[int]:
        """For each row, the cells in which its key occurs, as bits."""
        masks: defaultdict[int, int] = defaultdict(int)
        for key, cell in zip(keys, self._cells, strict=True):
            masks[key] |= 1 << cell
        return (masks[key] for key in keys)


def _cell(lang: int, split: int) -> int:
    return lang * len(SPLITS) + split


def _leak(rows: Counter[tuple[int, int, int]], config: str, languages: Sequence[int], split: str) -> Leak:
    train = sum(1 << _cell(lang, TRAIN) for lang in languages)
    held_out = {_cell(lang, SPLITS.index(split)) for lang in languages}
    mine = [(pictures, texts, count) for (cell, pictures, texts), count in rows.items() if cell in held_out]
    return Leak(
        config,
        split,
        rows=sum(count for _, _, count in mine),
        pictures=sum(count for pictures, _, count in mine if pictures & train),
        texts=sum(count for _, texts, count in mine if texts & train),
    )
