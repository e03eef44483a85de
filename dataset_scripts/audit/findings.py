"""What an audit can find, how severe each finding is, and how it is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

# error:   scores measured on the data would be wrong, or programs will fail on it
# warning: it costs quality, or it will surprise users
# info:    worth knowing
SEVERITIES = ("error", "warning", "info")
MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Check:
    """One thing that an audit looks for: its severity, what is counted, the text of a finding, and the remedy."""

    severity: str
    unit: str
    title: str
    advice: str


_SPLIT_ADVICE = "Split by picture (`dataset_scripts.build`, the grouped split), or report scores without these rows."
_REPAIR_ADVICE = "Repair these rows where the data set is made; `dataset_scripts.build` refuses them."

# In the order of a report, within one severity.
CHECKS = {
    "missing_ids": Check("error", "rows", "have no `id` or no `image_id`", _REPAIR_ADVICE),
    "repeated_row_ids": Check("error", "rows", "repeat the `id` of an earlier row", _REPAIR_ADVICE),
    "rows_without_words": Check("error", "rows", "have no words", _REPAIR_ADVICE),
    "tag_counts": Check("error", "rows", "have different numbers of tags and words", _REPAIR_ADVICE),
    "unknown_tags": Check("error", "rows", "have tags that are not labels", _REPAIR_ADVICE),
    "iob2_faults": Check("error", "rows", "have an I- tag that continues no entity", _REPAIR_ADVICE),
    "empty_words": Check("error", "words", "are empty", _REPAIR_ADVICE),
    "leaked_picture_ids": Check("error", "held-out rows", "have their picture id in train", _SPLIT_ADVICE),
    "leaked_picture_bytes": Check(
        "error", "held-out rows", "have exactly the file of their picture in train", _SPLIT_ADVICE
    ),
    "leaked_texts": Check("error", "held-out rows", "have exactly their words in train", _SPLIT_ADVICE),
    "ids_in_several_splits": Check("error", "picture ids", "are in more than one split", _SPLIT_ADVICE),
    "held_out_in_their_train": Check(
        "error",
        "held-out rows",
        "are in the train part of the other data set",
        "Do not test a model trained on the other data set on them, or leave them out.",
    ),
    "their_held_out_in_train": Check(
        "error",
        "held-out rows of the other data set",
        "are in the train part of this one",
        "Do not test a model trained on this data set on them, or leave them out.",
    ),
    "unsafe_ids": Check(
        "error",
        "picture ids",
        "cannot be the name of a file in a folder",
        "Rename them; a program that appends them to a path would leave its folder or fail.",
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
        "error", "pictures", "do not match their `sha256`", "Build the data set again from its pictures."
    ),
    "same_id_other_bytes": Check(
        "error",
        "picture ids",
        "belong to pictures with different contents",
        "Find out which picture belongs to the sentence; two names may have been merged.",
    ),
    "leaked_similar_pictures": Check(
        "warning", "held-out rows", "have a picture that looks like one in train", _SPLIT_ADVICE
    ),
    "leaked_similar_texts": Check("warning", "held-out rows", "have similar words in train", _SPLIT_ADVICE),
    "translation_twins": Check(
        "warning", "held-out rows with a translation", "have that translation in train", _SPLIT_ADVICE
    ),
    "label_conflicts": Check(
        "warning",
        "entity strings",
        "have more than one type within one language and source",
        "Some are truly ambiguous; where they are not, the labels limit every score.",
    ),
    "placeholders": Check(
        "warning",
        "rows",
        "contain remnants of a placeholder in place of an entity",
        "Leave them out of training and evaluation: the column `quality` marks them with `placeholder`.",
    ),
    "invisible_words": Check(
        "warning",
        "words",
        "consist only of invisible characters",
        "Many tokenizers delete them; a model must still give such a word a position.",
    ),
    "words_without_pieces": Check(
        "warning",
        "words",
        "get no piece from the tokenizer",
        "A model must replace them with its unknown token, or words and tags are misaligned.",
    ),
    "blank_words": Check(
        "warning",
        "words",
        "contain white space",
        "Programs that split lines at blanks will cut them; separate columns by TAB.",
    ),
    "same_bytes_other_id": Check(
        "warning", "pictures", "have several ids", "A split by picture id will not keep them together."
    ),
    "ids_equal_but_for_case": Check(
        "warning",
        "picture ids",
        "differ from another one only in upper and lower case",
        "On Windows and macOS they are the same file; rename them before pictures are written to files.",
    ),
    "ids_equal_but_for_form": Check(
        "warning",
        "picture ids",
        "differ from another one only in Unicode form",
        "On macOS they are the same file; rename them before pictures are written to files.",
    ),
    "repeated_texts": Check(
        "info",
        "rows",
        "have exactly the words of an earlier row of their split",
        "They count twice in scores and in training.",
    ),
    "similar_pictures": Check(
        "info", "pictures", "look like another one", "A split by picture id or by bytes will not keep them together."
    ),
    "picture_status": Check("info", "rows", "have no picture of their own", "The column `image_status` shows why."),
    "odd_ids": Check(
        "info",
        "picture ids",
        "are unusual file names",
        "Do not pass them to a glob, URL join or shell, never percent-decode them, and use parquet on Windows.",
    ),
    "long_rows": Check("info", "rows", "have very many words", "Short text encoders truncate them or need windows."),
    "overlap": Check(
        "info", "rows", "are also in the other data set", "Check in which splits before comparing models."
    ),
}


@dataclass(frozen=True)
class FindingExample:
    """Rows by their ids, the faulty one first, and a short explanation."""

    rows: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """What one check of `CHECKS` found: `count` of `total` units, examples, and details such as counts by split."""

    name: str
    count: int
    total: int
    examples: tuple[FindingExample, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def severity(self) -> str:
        """One of `SEVERITIES`."""
        return CHECKS[self.name].severity

    @property
    def title(self) -> str:
        """What was found, in one sentence."""
        check = CHECKS[self.name]
        return f"{self.count:,} of {self.total:,} {check.unit} {check.title}."

    @property
    def advice(self) -> str:
        """What to do about it, in one sentence."""
        return CHECKS[self.name].advice


def first_examples(examples: Iterable[FindingExample]) -> tuple[FindingExample, ...]:
    """Return as many examples as a report shows."""
    return tuple(islice(examples, MAX_EXAMPLES))


def in_order(counts: Counter[str]) -> dict[str, int]:
    """Return the counts, largest first and equal ones by name, in the same order on every run."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, then in the order of `CHECKS`."""
    order = list(CHECKS)
    return sorted(findings, key=lambda finding: (SEVERITIES.index(finding.severity), order.index(finding.name)))
