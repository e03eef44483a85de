"""The settings of data of one's own: what the files do not say, and what the card should."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dataset_scripts.annotations.schemes import SCHEMES
from dataset_scripts.schema import is_type
from dataset_scripts.splits import EIGHT_ONE_ONE
from reports_2mner.command_line import at_least, option
from reports_2mner.language_table import CODE

FORMS = ("conll", "jsonl", "metadata", "label_studio", "data_set")
COLUMN_NAMES = ("tokens", "ner_tags", "text", "entities", "image", "lang", "split")


@dataclass(frozen=True)
class OwnSettings:
    """The settings of data of one's own, explained by their `help`."""

    form: str | None = option(
        None,
        "form of the files, if it is not to be recognised: `conll`, with or without IMGID lines; `jsonl`; `metadata`, the "
        "metadata.jsonl of an imagefolder; `label_studio`, an export of the type JSON; `data_set`, a folder or Hub id that "
        "`datasets` loads",
        choices=FORMS,
    )
    columns: tuple[str, ...] = option(
        (),
        f"other names of columns or keys, such as tokens=words ner_tags=labels image=photo, of {' '.join(COLUMN_NAMES)}; in "
        "`conll` numbers from 1, such as tokens=2 ner_tags=4",
        metavar="OURS=THEIRS",
    )
    dataset_config: str | None = option(None, "configuration of a data set that has several")
    language: str | None = option(
        None, "language of sentences that state none, such as it (default: told from the words)", metavar="CODE"
    )
    scheme: str | None = option(None, "scheme of the tags, if it is not to be recognised", choices=SCHEMES)
    rename: tuple[str, ...] = option(
        (),
        "types to rename or to merge, such as OTHER=MISC; Noise= leaves entities of this type out",
        metavar="OLD=NEW",
    )
    sizes: tuple[int, ...] = option(
        EIGHT_ONE_ONE,
        "shares of train, validation and test in a new split (default: 8 1 1)",
        type=at_least(0),
        nargs=3,
        metavar=("TRAIN", "VALIDATION", "TEST"),
    )
    title: str | None = option(None, "title of the data set, for its card")
    license: str | None = option(None, "licence of the data set, for its card, such as cc-by-4.0")
    homepage: str | None = option(None, "where the data come from, for the card")

    def __post_init__(self) -> None:
        for name, known in (("form", FORMS), ("scheme", SCHEMES)):
            if getattr(self, name) not in (None, *known):
                raise ValueError(f"`{name}` must be one of {list(known)}, got {getattr(self, name)!r}.")
        if unknown := sorted(set(self.column_names) - set(COLUMN_NAMES)):
            raise ValueError(f"`columns` must be some of {list(COLUMN_NAMES)}, got {unknown[0]!r}.")
        if len(set(self.column_names.values())) < len(self.column_names):
            raise ValueError(f"`columns` must name different columns, got {' '.join(self.columns)}.")
        if self.language is not None and not CODE.fullmatch(self.language):
            raise ValueError(f"`language` must be a code such as en or it (ISO 639), got {self.language!r}.")
        if bad := [new for new in self.renamed.values() if new and not is_type(new)]:
            raise ValueError(f"`rename` must name types such as MISC, or nothing to leave them out, got {bad[0]!r}.")
        if len(self.sizes) != 3 or min(self.sizes) < 0 or not self.sizes[0]:
            raise ValueError(f"`sizes` must be three shares such as 8 1 1, the first above 0, got {list(self.sizes)}.")
        if self.homepage is not None and not re.fullmatch(r"https?://[^\s<>]+", self.homepage):
            raise ValueError(f"`homepage` must be an address such as https://example.org, got {self.homepage!r}.")
        if self.form == "conll":
            _ = self.column_numbers

    @property
    def column_numbers(self) -> dict[str, int]:
        """The numbers of columns, from 1, of files that have no names for them; ValueError for names."""
        for ours, theirs in self.column_names.items():
            if ours not in ("tokens", "ner_tags") or not re.fullmatch("[1-9][0-9]*", theirs):
                raise ValueError(
                    f"`columns` of `form` conll are numbers from 1, such as tokens=2 ner_tags=4, got {ours}={theirs}."
                )
        return {ours: int(theirs) for ours, theirs in self.column_names.items()}

    @property
    def column_names(self) -> dict[str, str]:
        """The names in the source by our names."""
        return _pairs("columns", self.columns)

    @property
    def renamed(self) -> dict[str, str]:
        """The new types by the old; "" for those that are left out."""
        return _pairs("rename", self.rename)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for the record."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _pairs(name: str, values: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        old, equals, new = value.rpartition("=")
        if not equals or not old:
            raise ValueError(f"`{name}` must have the form NAME=OTHER, got {value!r}.")
        if pairs.setdefault(old, new) != new:
            raise ValueError(f"`{name}` says two things about {old!r}: {pairs[old]!r} and {new!r}; leave one out.")
    return pairs
