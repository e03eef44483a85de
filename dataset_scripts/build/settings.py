"""The settings of a build."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.schema import LANGUAGES, is_type
from dataset_scripts.splits import DEFAULT_GROUP_KEYS, GROUP_KEYS, METHODS, PICTURE_KEYS
from reports_2mner.command_line import at_least, option
from reports_2mner.language_table import CODE

# Collections: the sources of sentences, with the types that they name differently.
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
OPEN = "other"  # the collection that takes languages and types from its files


@dataclass(frozen=True)
class BuildSettings:
    """The settings of a build, explained by their `help`; the defaults follow the authors' files and lose nothing."""

    collection: str = option(
        "mmnerd",
        "collection of the files, which gives rows their `source`; in all except mmnerd, OTHER becomes MISC",
        choices=CHOICES["collection"],
    )
    languages: tuple[str, ...] | None = option(
        None, "languages to include, such as en it (default: all that are found)", metavar="CODE"
    )
    types: tuple[str, ...] | None = option(
        None,
        "entity types, in the order of their numbers, such as PER PROD (default: PER LOC ORG MISC, or with "
        "`--collection other` those in the files)",
        metavar="TYPE",
    )
    split: str = option(
        "given",
        "`given`: as in the files; `paper`: rows of all languages pooled, 8:1:1; `grouped`: 8:1:1, so that rows that "
        "share something (`group_by`) stay together",
        choices=CHOICES["split"],
    )
    seed: int = option(19, "seed of a new split")
    group_by: tuple[str, ...] | None = option(
        None,
        f"what the grouped split keeps together, some of {' '.join(GROUP_KEYS)}; by default all except "
        f"{' '.join(GROUP_KEYS[len(DEFAULT_GROUP_KEYS) :])}, and without pictures also without {' '.join(PICTURE_KEYS)}",
        metavar="WHAT",
    )
    similarity: float = option(
        0.8, "share of common three-word shingles from which `similar_text` keeps two texts together, as in the audit"
    )
    train_file: str | None = option(
        None, "another name of the train file in each folder, such as for the authors' five folds"
    )
    compatibility: str = option(
        "strict",
        "read the files strictly, or as the authors' `released` loader does",
        choices=CHOICES["compatibility"],
    )
    repair_tags: bool = option(False, "let an I- tag that continues no entity begin one (Twitter-2015)")
    image_policy: str = option(
        "none",
        "picture of a row without a usable one: `none`, or a `default` with the words 'image not found', as in the "
        "paper",
        choices=CHOICES["image_policy"],
    )
    max_side: int | None = option(512, "shrink larger pictures to this many pixels", type=at_least(LEAST_SIDE))
    embed_images: bool = True  # otherwise a row keeps only the status and hash of its picture
    urls: Path | None = option(None, "the list of Conceptual 12M (cc12m.tsv), for the column `url`")
    twitter2017: Path | None = option(None, "folder of Twitter-2017's text files, for the column `tw2017_split`")
    rows_per_shard: int = option(2_000, "rows in a parquet file", type=at_least(1))

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"`{name}` must be one of {list(known)}, got {getattr(self, name)!r}.")
        if self.languages is None and self.collection != OPEN:
            object.__setattr__(self, "languages", LANGUAGES)
        if self.languages is not None:
            self._check_languages(self.languages)
        if self.types is not None and (not self.types or not all(map(is_type, self.types))):
            raise ValueError(f"`types` must be names such as PER and PROD, got {list(self.types)}.")
        self._check_grouping()
        if self.train_file and Path(self.train_file).is_absolute():
            raise ValueError(f"`train_file` must be a name in each folder of the source, got {self.train_file!r}.")
        if self.max_side is not None and self.max_side < LEAST_SIDE:
            raise ValueError(f"`max_side` must be at least {LEAST_SIDE} pixels, got {self.max_side}.")
        if self.rows_per_shard < 1:
            raise ValueError(f"`rows_per_shard` must be at least 1, got {self.rows_per_shard}.")

    def _check_grouping(self) -> None:
        if self.group_by is not None and (not self.group_by or set(self.group_by) - set(GROUP_KEYS)):
            raise ValueError(f"`group_by` must be some of {list(GROUP_KEYS)}, got {list(self.group_by)}.")
        if self.group_by is not None and self.split != "grouped":
            raise ValueError(
                f"`group_by` belongs to `split` grouped, got `split` {self.split}; set `split` to grouped or leave "
                "`group_by` out."
            )
        if not 0 < self.similarity <= 1:
            raise ValueError(f"`similarity` must be above 0 and at most 1, got {self.similarity}; 0.8 is usual.")

    def _check_languages(self, languages: tuple[str, ...]) -> None:
        if self.collection == OPEN:
            if not languages or not all(map(CODE.fullmatch, languages)):
                raise ValueError(f"`languages` must be codes such as en and it (ISO 639), got {list(languages)}.")
        elif not languages or set(languages) - set(LANGUAGES):
            raise ValueError(
                f"`languages` must be some of {list(LANGUAGES)}, got {list(languages)}; for others, set "
                f"`collection` to {OPEN!r}."
            )

    @property
    def renamed_types(self) -> dict[str, str]:
        """The types to rename; a requested type keeps its name."""
        return {old: new for old, new in RENAMED_TYPES[self.collection].items() if old not in (self.types or ())}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for the record; files of this machine appear only as used or not."""
        values = asdict(self)
        values |= {name: values[name] and list(values[name]) for name in ("languages", "types", "group_by")}
        values["urls"], values["twitter2017"] = self.urls is not None, self.twitter2017 is not None
        return values
