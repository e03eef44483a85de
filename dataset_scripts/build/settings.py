"""What a person decides about a build."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.schema import LANGUAGES
from dataset_scripts.splits import METHODS

# Collections: where the sentences are from, and the names of types that they spell otherwise.
RENAMED_TYPES = {
    "mmnerd": {},
    "twitter2015": {"OTHER": "MISC"},
    "twitter2017": {"OTHER": "MISC"},
    "other": {"OTHER": "MISC"},
}
CHOICES = {
    "collection": tuple(RENAMED_TYPES),
    "split": METHODS,
    "compatibility": ("strict", "released"),
    "image_policy": ("none", "default"),
}
LEAST_SIDE = 64


@dataclass(frozen=True)
class BuildSettings:
    """The decisions of one build; the defaults follow the authors' files and lose nothing.

    Args:
        collection: what the files are: `mmnerd`, `twitter2015`, `twitter2017` or `other`; gives rows their `source`.
        languages: those to take from the files.
        split: `given` by the files, or made anew: `paper` or `grouped`, see `splits.py`.
        seed: of a new split.
        train_file: another name of the train files, in each folder, such as those of the authors' five folds.
        compatibility: `strict`, or `released`: what the authors' loader makes of the files.
        repair_tags: let I- tags that continue no entity begin one, instead of refusing the file.
        image_policy: `none` leaves rows without a usable picture without; `default` gives them one that says "image not
            found", as the paper does.
        max_side: pixels; larger pictures are shrunk. None keeps every picture's own bytes.
        embed_images: store pictures; without, only what became of them and their hash.
        urls: the list of Conceptual 12M (cc12m.tsv), for the column `url`.
        twitter2017: the folder of Twitter-2017's text files, for the column `tw2017_split`.
        rows_per_shard: rows in a parquet file.
    """

    collection: str = "mmnerd"
    languages: tuple[str, ...] = LANGUAGES
    split: str = "given"
    seed: int = 19
    train_file: str | None = None
    compatibility: str = "strict"
    repair_tags: bool = False
    image_policy: str = "none"
    max_side: int | None = 512
    embed_images: bool = True
    urls: Path | None = None
    twitter2017: Path | None = None
    rows_per_shard: int = 2_000

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {list(known)}, got {getattr(self, name)!r}.")
        if not self.languages or set(self.languages) - set(LANGUAGES):
            raise ValueError(f"`languages` must be some of {list(LANGUAGES)}, got {list(self.languages)}.")
        if self.train_file and Path(self.train_file).is_absolute():
            raise ValueError(f"`train_file` must be a name in each folder of the source, got {self.train_file!r}.")
        if self.max_side is not None and self.max_side < LEAST_SIDE:
            raise ValueError(f"`max_side` must be at least {LEAST_SIDE} pixels, got {self.max_side}.")
        if self.rows_per_shard < 1:
            raise ValueError(f"`rows_per_shard` must be at least 1, got {self.rows_per_shard}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the decisions for the record; of files of this machine only whether they were used."""
        values = asdict(self) | {"languages": list(self.languages)}
        values["urls"], values["twitter2017"] = self.urls is not None, self.twitter2017 is not None
        return values
