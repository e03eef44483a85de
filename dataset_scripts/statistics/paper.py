"""Tables 2 and 3 of the paper, as printed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dataset_scripts.rows import DatasetCounts, SplitCounts
from dataset_scripts.schema import SPLITS

PAPER_LANGUAGES = ("en", "fr", "es", "de")  # in the order of Table 2
PAPER_TYPES = ("PER", "LOC", "ORG", "MISC")
# Columns in the order of the paper: train, validation and test of each language.
TABLE_2 = {
    "PER": (3340, 419, 431, 3237, 396, 362, 3186, 393, 362, 3213, 395, 380),
    "LOC": (4605, 541, 504, 2984, 376, 310, 2023, 254, 267, 2560, 350, 345),
    "ORG": (7342, 927, 968, 1511, 204, 183, 2115, 277, 247, 1556, 181, 205),
    "MISC": (23621, 2920, 3013, 3331, 438, 390, 3184, 396, 430, 3392, 530, 425),
    "sentences": (19966, 2463, 2533, 4812, 609, 561, 4798, 591, 593, 4750, 628, 604),
}


@dataclass(frozen=True)
class DatasetSize:
    """A row of Table 3: the make-up of a data set, and its sentences by split."""

    name: str
    languages: tuple[str, ...]
    modalities: tuple[str, ...]
    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        """Sentences of all splits."""
        return self.train + self.validation + self.test


TABLE_3 = (
    DatasetSize("CoNLL2002", ("ES", "DL"), ("Text",), 24129, 4810, 6712),
    DatasetSize("CoNLL2003", ("EN", "DE"), ("Text",), 27692, 6534, 6844),
    DatasetSize("WikiAnn", ("EN", "AR", "HI", "ZH"), ("Text",), 65000, 31000, 31000),
    DatasetSize("Twitter-2015", ("EN",), ("Text", "Image"), 4000, 1000, 3257),
    DatasetSize("Twitter-2017", ("EN",), ("Text", "Image"), 3373, 723, 723),
    DatasetSize("CNERTA", ("ZH",), ("Text", "Speech"), 34102, 4440, 4445),
    DatasetSize("MMNERD (paper)", ("EN", "FR", "ES", "DE"), ("Text", "Image"), 34326, 4291, 4291),
)


def paper_counts() -> DatasetCounts:
    """Return Table 2 as `{(lang, split): counts}`, with sentences and mentions."""
    keys = [(lang, split) for lang in PAPER_LANGUAGES for split in SPLITS]
    return {
        key: SplitCounts(
            sentences=TABLE_2["sentences"][column],
            mentions=Counter({kind: TABLE_2[kind][column] for kind in PAPER_TYPES}),
        )
        for column, key in enumerate(keys)
    }
