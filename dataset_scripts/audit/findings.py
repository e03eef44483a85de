"""What an audit can find, how bad each of it is, and how a finding is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dataset_scripts.splits import DEFAULT_GROUP_KEYS, GROUP_KEYS

# error:   a score measured on the data would be wrong, or programs will fail on it
# warning: it costs quality, or it will surprise somebody
# info:    worth knowing
SEVERITIES = ("error", "warning", "info")
SHOWN_EXAMPLES = 5


@dataclass(frozen=True)
class Check:
    """One thing that an audit looks for: how bad it is, what is counted, what a finding says, what to do about it."""

    severity: str
    unit: str
    title: str
    advice: str


def _split_advice(key: str) -> str:
    keys = GROUP_KEYS[: GROUP_KEYS.index(key) + 1] if key not in DEFAULT_GROUP_KEYS else (key,)
    which = "by default and " if key in DEFAULT_GROUP_KEYS else ""
    similarity = "" if key in DEFAULT_GROUP_KEYS else " (and the `--similarity` of this audit)"
    return (
        f"Build with `--split grouped`, which keeps them together {which}with `--group_by {' '.join(keys)}`{similarity}, or report scores "
        "without these rows."
    )


_REPAIR_ADVICE = "Repair these rows where the data set is made; `dataset_scripts.build` refuses them."

# In the order of a report, within one severity.
CHECKS = {
    "missing_ids": Check("error", "rows", "have no `id` or no `image_id`", _REPAIR_ADVICE),
    "repeated_row_ids": Check("error", "rows", "have an `id` that an earlier row has", _REPAIR_ADVICE),
    "rows_without_words": Check("error", "rows", "have no words", _REPAIR_ADVICE),
    "tag_counts": Check("error", "rows", "have another number of tags than words", _REPAIR_ADVICE),
    "unknown_tags": Check("error", "rows", "have tags that are none of the labels", _REPAIR_ADVICE),
    "iob2_faults": Check("error", "rows", "have an I- tag that continues no entity", _REPAIR_ADVICE),
    "empty_words": Check("error", "words", "are empty", _REPAIR_ADVICE),
    "leaked_picture_ids": Check(
        "error", "held-out rows", "have their picture id in train", _split_advice("picture_id")
    ),
    "leaked_picture_bytes": Check(
        "error", "held-out rows", "have the very file of their picture in train", _split_advice("picture_bytes")
    ),
    "leaked_texts": Check("error", "held-out rows", "have their very words in train", _split_advice("text")),
    "ids_in_several_splits": Check("error", "picture ids", "are in more than one split", _split_advice("picture_id")),
    "held_out_in_their_train": Check(
        "error",
        "held-out rows",
        "are in the train part of the other data set",
        "Do not measure on them a model that was trained on the other data set, or leave them out.",
    ),
    "their_held_out_in_train": Check(
        "error",
        "held-out rows of the other data set",
        "are in the train part of this one",
        "Do not measure on them a model that was trained on this data set, or leave them out.",
    ),
    "unsafe_ids": Check(
        "error",
        "picture ids",
        "cannot be the name of a file in a folder",
        "Rename them; a program that joins them to a path would leave its folder or fail.",
    ),
    "status_contradictions": Check(
        "error",
        "rows",
        "have an `image_status` that does not fit their picture",
        "Build the data set again from its pictures.",
    ),
    "undecodable_pictures": Check(
        "error", "pictures", "do not decode", "Set `image` to null and say so in `image_status`, or fetch them again."
    ),
    "sha256_mismatches": Check(
        "error", "pictures", "are not the ones that `sha256` names", "Build the data set again from its pictures."
    ),
    "same_id_other_bytes": Check(
        "error",
        "picture ids",
        "stand for pictures with different contents",
        "Find out which picture belongs to the sentence; two names may have fallen together.",
    ),
    "leaked_similar_pictures": Check(
        "warning", "held-out rows", "have a picture that looks like one in train", _split_advice("similar_picture")
    ),
    "leaked_similar_texts": Check(
        "warning", "held-out rows", "have nearly their words in train", _split_advice("similar_text")
    ),
    "translation_twins": Check(
        "warning", "held-out rows with a translation", "have a translation in train", _split_advice("translation")
    ),
    "label_conflicts": Check(
        "warning",
        "entity strings",
        "have more than one type within one language and source",
        "Some are ambiguous by nature; where they are not, the labels limit every score.",
    ),
    "placeholders": Check(
        "warning",
        "rows",
        "hold wreckage of a placeholder where an entity was",
        "Leave them out of training and evaluation: the column `quality` marks them with `placeholder`.",
    ),
    "invisible_words": Check(
        "warning",
        "words",
        "consist of invisible characters only",
        "Many tokenizers delete them; a model must give such a word a position all the same.",
    ),
    "words_without_pieces": Check(
        "warning",
        "words",
        "get no piece from the tokenizer",
        "A model must put its unknown token in their place, or words and tags come apart.",
    ),
    "blank_words": Check(
        "warning",
        "words",
        "hold white space",
        "Programs that split lines at blanks will cut them; keep columns apart by TAB.",
    ),
    "same_bytes_other_id": Check(
        "warning",
        "pictures",
        "stand under several ids",
        "A split by picture id alone parts them; `--split grouped --group_by picture_bytes` does not.",
    ),
    "ids_equal_but_for_case": Check(
        "warning",
        "picture ids",
        "differ from another one by upper and lower case only",
        "On Windows and macOS they are one file; rename them before pictures are written to files.",
    ),
    "ids_equal_but_for_form": Check(
        "warning",
        "picture ids",
        "differ from another one by the Unicode form only",
        "On macOS they are one file; rename them before pictures are written to files.",
    ),
    "repeated_texts": Check(
        "info",
        "rows",
        "have the very words of an earlier row of their split",
        "They count twice in scores and in training.",
    ),
    "similar_pictures": Check(
        "info",
        "pictures",
        "look like another one",
        "A split by picture id or bytes parts them; `--split grouped --group_by similar_picture` does not.",
    ),
    "picture_status": Check("info", "rows", "have no picture of their own", "The column `image_status` tells why."),
    "odd_ids": Check(
        "info",
        "picture ids",
        "are odd as names of files",
        "Pass them to no glob, URL join or shell, never percent-decode them, and keep to parquet on Windows.",
    ),
    "long_rows": Check("info", "rows", "have very many words", "Short text encoders cut them or need windows."),
    "overlap": Check("info", "rows", "are in the other data set, too", "See which splits before models are compared."),
}


@dataclass(frozen=True)
class Example:
    """Rows by their ids, the one that is wrong first, and a few words on what is wrong."""

    rows: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """What one check of `CHECKS` found: `count` of `total` units, examples, and numbers by kind, split or configuration."""

    name: str
    count: int
    total: int
    examples: tuple[Example, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """How bad it is, of `SEVERITIES`."""
        return CHECKS[self.name].severity

    @property
    def title(self) -> str:
        """Say in one sentence what was found."""
        check = CHECKS[self.name]
        return f"{self.count:,} of {self.total:,} {check.unit} {check.title}."

    @property
    def advice(self) -> str:
        """Say in one sentence what to do about it."""
        return CHECKS[self.name].advice


def first_examples(examples: Iterable[Example]) -> tuple[Example, ...]:
    """Return as many as a report shows."""
    return tuple(islice(examples, SHOWN_EXAMPLES))


def in_order(counts: Counter[str]) -> dict[str, int]:
    """Return the counts with the largest first and equal ones by name, the same on every run."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, then in the order of `CHECKS`."""
    order = list(CHECKS)
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), order.index(finding.name)))
