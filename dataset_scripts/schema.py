"""The one source of the data set's labels, languages, configurations and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Features

ENTITY_TYPES = ("PER", "LOC", "ORG", "MISC")
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")
LABEL_IDS = {label: index for index, label in enumerate(LABELS)}
LANGUAGES = ("en", "fr", "es", "de")
LANGUAGE_NAMES = {"en": "English", "fr": "French", "es": "Spanish", "de": "German"}
SOURCES = ("twitter2017", "cc12m", "synthetic", "twitter2015", "other")
SPLITS = ("train", "validation", "test")

# With "ok" and "default" there is a picture (its bytes may be left out of a text-only build), with the others `image` is None.
IMAGE_STATUSES = ("ok", "missing", "unreadable", "degenerate", "default")
STATUSES_WITH_IMAGE = ("ok", "default")

DEFAULT_CONFIG = "all"
CONFIGS = {
    DEFAULT_CONFIG: LANGUAGES,
    **{language: (language,) for language in LANGUAGES},
    "en_de": ("en", "de"),
    "en_fr": ("en", "fr"),
    "en_es": ("en", "es"),
    "de_fr": ("de", "fr"),
    "de_es": ("de", "es"),
    "fr_es": ("fr", "es"),
}

QUALITY_FLAGS = {
    "placeholder": "a word is wreckage of the authors' tokeniser (`replacestrstr0`), and an entity was lost there",
    "invisible_word": "a word consists of invisible or private characters only, which many tokenizers delete",
    "repaired_tags": "an `I-` tag that continued no entity was made `B-` on request",
    "inferred_language": "the files did not tell the language; it was told from the words",
}

COLUMNS = {
    "id": "Name of the row, unique in the whole data set: language, a slash, the image id; "
    "a second sentence of the same picture in the same language ends in `#2`, and so on.",
    "tokens": "The words of the sentence, as the annotators saw them.",
    "ner_tags": "One IOB2 tag per word.",
    "image": "The picture as an embedded file, or null; `image_status` says why it is null.",
    "image_id": "Name of the picture in the source, without `.jpg`; the same in every language. Not safe as a file name.",
    "image_status": "`ok`; `missing`: no such file; `unreadable`: not a picture that decodes fully; `degenerate`: too "
    'small or too narrow to show anything; `default`: replaced by a picture that says "image not found".',
    "lang": "Language of the sentence.",
    "source": "Where sentence and picture come from.",
    "url": "Where the picture was found on the web, or null where that is not known.",
    "sha256": "SHA-256 of the picture as embedded, in hexadecimal, or null without picture; equal for equal pictures.",
    "tw2017_split": "The split of Twitter-2017 that holds the sentence, or null: not from there, or not known.",
    "quality": "What is wrong with the row, as a list. "
    + "; ".join(f"`{flag}`: {meaning}" for flag, meaning in QUALITY_FLAGS.items())
    + ".",
}


def features() -> Features:
    """Return the column types of every configuration and split, in the order of `COLUMNS`."""
    from datasets import ClassLabel, Features, Image, List, Value

    return Features(
        {
            "id": Value("string"),
            "tokens": List(Value("string")),
            "ner_tags": List(ClassLabel(names=list(LABELS))),
            "image": Image(),
            "image_id": Value("string"),
            "image_status": Value("string"),
            "lang": ClassLabel(names=list(LANGUAGES)),
            "source": ClassLabel(names=list(SOURCES)),
            "url": Value("string"),
            "sha256": Value("string"),
            "tw2017_split": Value("string"),
            "quality": List(Value("string")),
        }
    )


def find_iob2_violation(tags: Sequence[str]) -> int | None:
    """Return the position of the first I- tag that continues no entity of its type, or None when the tags are IOB2."""
    previous = "O"
    for position, tag in enumerate(tags):
        if tag.startswith("I-") and previous[2:] != tag[2:]:
            return position
        previous = tag
    return None


def available_configs(languages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the configurations that a data set with these languages can offer: all of it, and complete pairs."""
    present = {name: group for name, group in CONFIGS.items() if set(group) <= set(languages)}
    return {DEFAULT_CONFIG: tuple(lang for lang in LANGUAGES if lang in languages), **present}
