"""The single source of the data set's labels, languages, configurations and columns.

Types and languages belong to a data set, not to the project. Numbers in its files are positions in lists of names that
it stores itself (`ClassLabel`). A data set with only languages from `LANGUAGES`, or only types from `ENTITY_TYPES`,
stores that complete list, as the paper's data sets have always done; any other stores what it has (`languages_of`,
`types_of`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from reports_2mner.tags import find_iob2_violation as find_iob2_violation

if TYPE_CHECKING:
    from datasets import Features

TYPE_NAMES = {"PER": "person", "LOC": "location", "ORG": "organisation", "MISC": "miscellaneous"}
ENTITY_TYPES = tuple(TYPE_NAMES)
_TYPE = re.compile(r"[^\W\d_][\w./-]*")
LANGUAGES = ("en", "fr", "es", "de")  # fixed: their numbers are stored in files; others belong in `language_table`
SOURCES = ("twitter2017", "cc12m", "synthetic", "twitter2015", "other")
SPLITS = ("train", "validation", "test")

# With "ok" and "default" there is a picture (a text-only build leaves out its bytes); with the others `image` is None.
IMAGE_STATUSES = ("ok", "missing", "unreadable", "degenerate", "default")
STATUSES_WITH_IMAGE = ("ok", "default")

DEFAULT_CONFIG = "all"
PAIR_ORDER = ("en", "de", "fr", "es")  # Germanic before Romance: de_fr is a configuration, fr_de is not

QUALITY_FLAGS = {
    "placeholder": "a word is a remnant of the authors' tokeniser (`replacestrstr0`), which lost an entity there",
    "invisible_word": "a word consists only of invisible or private characters, which many tokenizers delete",
    "repaired_tags": "an `I-` tag that continued no entity was changed to `B-` on request",
    "inferred_language": "the files did not state the language; it was inferred from the words",
}

COLUMNS = {
    "id": "Name of the row, unique in the data set: language, a slash, the image id; "
    "that of a second sentence of the same picture in the same language ends in `#2`, and so on.",
    "tokens": "The words of the sentence, as the annotators saw them.",
    "ner_tags": "One IOB2 tag per word.",
    "image": "The picture as an embedded file, or null; `image_status` says why it is null.",
    "image_id": "Name of the picture in the source, without `.jpg`; the same in every language. Not a safe file name.",
    "image_status": "`ok`; `missing`: no such file; `unreadable`: not a picture that decodes completely; "
    "`degenerate`: too small or too narrow to show anything; "
    '`default`: replaced by a picture that says "image not found".',
    "lang": "Language of the sentence.",
    "source": "Where sentence and picture come from.",
    "url": "Where the picture was found on the web, or null if unknown.",
    "sha256": "SHA-256 of the embedded picture, in hexadecimal, or null without a picture; equal for equal pictures.",
    "tw2017_split": "The split of Twitter-2017 that holds the sentence, or null if it is not from there or unknown.",
    "quality": "What is wrong with the row, as a list. "
    + "; ".join(f"`{flag}`: {meaning}" for flag, meaning in QUALITY_FLAGS.items())
    + ".",
}


def sort_languages(codes: Iterable[str]) -> tuple[str, ...]:
    """The distinct codes: `LANGUAGES` in their order, then all others alphabetically."""
    return tuple(
        sorted(
            set(codes), key=lambda code: (code not in LANGUAGES, LANGUAGES.index(code) if code in LANGUAGES else code)
        )
    )


def languages_of(found: Iterable[str]) -> tuple[str, ...]:
    """The list that a data set with these languages stores: `LANGUAGES` if it has no others, otherwise its own."""
    found = set(found)
    return LANGUAGES if found <= set(LANGUAGES) else sort_languages(found)


def types_of(found: Iterable[str]) -> tuple[str, ...]:
    """The list that a data set with these types stores: `ENTITY_TYPES` if it has no others, otherwise its own."""
    found = set(found)
    if found <= set(ENTITY_TYPES):
        return ENTITY_TYPES
    return (*(kind for kind in ENTITY_TYPES if kind in found), *sorted(found - set(ENTITY_TYPES)))


def labels_of(types: Iterable[str]) -> tuple[str, ...]:
    """The tags of these types, in the order of their numbers."""
    return ("O", *(f"{part}-{kind}" for kind in types for part in "BI"))


def types_in(labels: Iterable[str]) -> tuple[str, ...]:
    """The types of some tags, in their order."""
    return tuple(dict.fromkeys(label[2:] for label in labels if label != "O"))


LABELS = labels_of(ENTITY_TYPES)


def is_type(name: str) -> bool:
    """Return whether this can be the name of a type: a letter, then letters with their marks, digits, `_`, `.`, `/`, `-`.

    `O` is the tag of words outside entities. Marks are the vowel signs of Devanagari as well as decomposed accents.
    """
    unmarked = name[:1] + "".join(sign for sign in name[1:] if not unicodedata.category(sign).startswith("M"))
    return name != "O" and _TYPE.fullmatch(unmarked) is not None


def valid_type(name: str) -> str:
    """Return the nearest name that a type can have: `Work-of-Art` for `Work of Art`."""
    kept = (sign if is_type(f"T{sign}") else " " for sign in name)
    parts = "".join(kept).split()
    while parts and not is_type(parts[0]):
        parts[0] = parts[0][1:]
        parts = parts if parts[0] else parts[1:]
    return "-".join(parts) or "NAME"


@dataclass(frozen=True)
class Schema:
    """The names behind the numbers in the files of a data set; the defaults are those of the paper's data."""

    languages: tuple[str, ...] = LANGUAGES
    labels: tuple[str, ...] = LABELS
    sources: tuple[str, ...] = SOURCES

    @classmethod
    def of(cls, languages: Iterable[str], types: Iterable[str] = ()) -> Schema:
        """The schema of a data set with these languages and exactly these types (`ENTITY_TYPES` if empty)."""
        return cls(languages_of(languages), labels_of(tuple(types) or ENTITY_TYPES))

    @classmethod
    def stored(cls, stored: Features) -> Schema:
        """The names that a file stores, or the default ones where it stores none."""
        columns = {"languages": "lang", "labels": "ner_tags", "sources": "source"}
        found = {name: stored.get(column) for name, column in columns.items()}
        found = {name: getattr(column, "feature", column) for name, column in found.items()}
        return cls(**{name: tuple(column.names) for name, column in found.items() if hasattr(column, "names")})

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types, in the order of their labels."""
        return types_in(self.labels)


PAPER_SCHEMA = Schema()


def features(schema: Schema = PAPER_SCHEMA) -> Features:
    """Return the column types of every configuration and split, in the order of `COLUMNS`."""
    from datasets import ClassLabel, Features, Image, List, Value

    return Features(
        {
            "id": Value("string"),
            "tokens": List(Value("string")),
            "ner_tags": List(ClassLabel(names=list(schema.labels))),
            "image": Image(),
            "image_id": Value("string"),
            "image_status": Value("string"),
            "lang": ClassLabel(names=list(schema.languages)),
            "source": ClassLabel(names=list(schema.sources)),
            "url": Value("string"),
            "sha256": Value("string"),
            "tw2017_split": Value("string"),
            "quality": List(Value("string")),
        }
    )


def available_configs(languages: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the configurations of a data set with these languages: all, each language, and each pair."""
    languages = sort_languages(languages)
    ordered = (*(lang for lang in PAIR_ORDER if lang in languages), *(x for x in languages if x not in PAIR_ORDER))
    pairs = {f"{first}_{second}": (first, second) for first, second in combinations(ordered, 2)}
    return {DEFAULT_CONFIG: languages, **{lang: (lang,) for lang in languages}, **pairs}


CONFIGS = available_configs(LANGUAGES)
