"""Assign sentences to train, validation and test, and count what the held-out parts share with train.

`given`     as in the files
`paper`     rows of all languages in one pool, exactly 8:1:1, as MMNERD was split: translations are separated
`grouped`   by what rows share, 8:1:1 in expectation: all sentences of a picture stay together, and so does everything
            else that would leak, see `GROUP_KEYS`

Both new splits follow from a hash of seed and name, not from a shuffled list: they are the same on every machine and
in any order of the files. A group's split in `grouped` does not change when others are added, unless they join it with
another group; in `paper` it can, to keep the shares exact.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd

from dataset_scripts.schema import DEFAULT_CONFIG, LANGUAGES, SPLITS, available_configs

METHODS = ("given", "paper", "grouped")
# What rows can share: picture id, the same id in another language, bytes or look of the picture, all words, most words.
GROUP_KEYS = ("picture_id", "translation", "picture_bytes", "similar_picture", "text", "similar_text")
DEFAULT_GROUP_KEYS = GROUP_KEYS[
    :-1
]  # without similar_text: sentences from templates are nearly all alike and would be one group
PICTURE_KEYS = ("picture_bytes", "similar_picture")  # keys for which pictures are read
HELD_OUT = SPLITS[1:]
SPLIT_WORDS = {  # names of splits elsewhere
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "development": "validation",
    "testa": "validation",  # as in CoNLL-2003
    "test": "test",
    "testb": "test",
}
TRAIN = 0
MOST_SEEDS = 1000
EIGHT_ONE_ONE = (8, 1, 1)


def split_of_group(seed: int, group: str, sizes: Sequence[int] = EIGHT_ONE_ONE) -> int:
    """Return the position in `SPLITS` of all rows of a group, by its name alone, whatever else the data set holds.

    `sizes` are the shares of the splits.
    """
    train, validation, test = _least(sizes)
    share = stable_hash(f"{seed}/{group}") // (2**64 // (train + validation + test))
    return 0 if share < train else 1 if share < train + validation else 2 if test else 0


def seed_without_empty_split(seed: int, groups: Iterable[str], sizes: Sequence[int] = EIGHT_ONE_ONE) -> int:
    """Return the first seed, from `seed` on, with which every split of a share above 0 has a group.

    A few groups can all fall into the same split by chance. With too few groups, or by `MOST_SEEDS` tries, it is `seed`.
    """
    names = set(groups)
    wanted = {place for place, size in enumerate(sizes) if size}
    if len(names) < len(wanted):
        return seed
    fitting = (
        other
        for other in range(seed, seed + MOST_SEEDS)
        if wanted <= {split_of_group(other, name, sizes) for name in names}
    )
    return next(fitting, seed)


def split_pool(seed: int, names: Iterable[str], sizes: Sequence[int] = EIGHT_ONE_ONE) -> array[int]:
    """Cut rows with these names in a random order into shares of these `sizes`; return each one's position in `SPLITS`."""
    hashes = array("Q", (stable_hash(f"{seed}/{name}") for name in names))
    order = sorted(range(len(hashes)), key=hashes.__getitem__)
    validation, test = (len(order) * size // sum(sizes) for size in sizes[1:])
    splits = array("b", bytes(len(order)))
    for rank, place in enumerate(order):
        splits[place] = 2 if rank < test else 1 if rank < test + validation else 0
    return splits


def _least(sizes: Sequence[int]) -> list[int]:
    """Return the smallest whole numbers with the ratio of these: 80, 10, 10 is the same split as 8, 1, 1."""
    return [size // gcd(*sizes) for size in sizes]


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
