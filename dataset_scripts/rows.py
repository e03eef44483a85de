"""One row of the data set: its rules, how it is stored, and what is counted.

A row is a dict with the columns of `schema.COLUMNS`:

- `id`, `image_id`: strings; `tokens`: strings, at least one, none of them empty
- `ner_tags`: one per token, names (`"B-PER"`) or positions in the labels of its `Schema`
- `image`: None, or `{"bytes": b"...", "path": "name.jpg"}`, where the path is a bare file name
- `image_status`, `lang`, `source`: names from `schema`
- `url`, `tw2017_split`, `quality`: optional; the defaults are null, null and no flag
- `sha256`: optional, since it follows from `image`; needed where a text-only build left the picture out
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dataset_scripts.schema import (
    COLUMNS,
    IMAGE_STATUSES,
    LABELS,
    PAPER_SCHEMA,
    QUALITY_FLAGS,
    SPLITS,
    STATUSES_WITH_IMAGE,
    Schema,
    find_iob2_violation,
)

if TYPE_CHECKING:
    from modeling_2mner.spans import Span

DatasetRow = Mapping[str, Any]

COLUMN_DEFAULTS: dict[str, Any] = {"url": None, "sha256": None, "tw2017_split": None, "quality": []}


@dataclass
class SplitCounts:
    """The counts of one split of one language.

    `mentions` are entity spans by type; in `distinct`, a string that a sentence has twice with one type counts once.
    """

    sentences: int = 0
    tokens: int = 0
    mentions: Counter[str] = field(default_factory=Counter)
    distinct: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, row: DatasetRow, schema: Schema = PAPER_SCHEMA) -> None:
        """Count one encoded row."""
        self.sentences += 1
        self.tokens += len(row["tokens"])
        marked = [(tuple(row["tokens"][start:end]), kind) for kind, start, end in row_spans(row, schema.labels)]
        self.mentions.update(kind for _, kind in marked)
        self.distinct.update(kind for _, kind in set(marked))
        self.sources[schema.sources[row["source"]]] += 1
        self.statuses[row["image_status"]] += 1

    def __add__(self, other: SplitCounts) -> SplitCounts:
        """Return the sum of both."""
        return SplitCounts(
            self.sentences + other.sentences,
            self.tokens + other.tokens,
            self.mentions + other.mentions,
            self.distinct + other.distinct,
            self.sources + other.sources,
            self.statuses + other.statuses,
        )


DatasetCounts = dict[tuple[str, str], SplitCounts]


def row_spans(row: DatasetRow, labels: Sequence[str] = LABELS) -> list[Span]:
    """List the entities of a row whose tags are names or positions in `labels`."""
    # The package of the models takes seconds to load; only callers that count entities should wait for it.
    from modeling_2mner.spans import entity_spans

    return entity_spans([labels[tag] if isinstance(tag, int) else tag for tag in row["ner_tags"]], strict=True)


def encode_row(row: DatasetRow, schema: Schema = PAPER_SCHEMA) -> dict[str, Any]:
    """Return the row with tags, language and source as numbers, in column order; ValueError if it breaks a rule."""
    if {*COLUMN_DEFAULTS, *row} != set(COLUMNS) or not set(COLUMNS) - set(COLUMN_DEFAULTS) <= set(row):
        raise ValueError(
            f"A row must have the columns {list(COLUMNS)}, of which {list(COLUMN_DEFAULTS)} may be left out, "
            f"got {sorted(row)}."
        )
    row = {**COLUMN_DEFAULTS, **row}
    if not row["id"] or not isinstance(row["id"], str):
        raise ValueError(f"`id` must be a non-empty string, got {row['id']!r}.")
    tags = _tag_names(row, schema.labels)
    _check_words(row, tags)
    _check_image(row)
    for column, known in (("lang", schema.languages), ("source", schema.sources)):
        if row[column] not in known:
            raise ValueError(f"Row {row['id']!r}: `{column}` must be one of {list(known)}, got {row[column]!r}.")
    _check_provenance(row)
    encoded = {
        "sha256": hashlib.sha256(row["image"]["bytes"]).hexdigest() if row["image"] else row["sha256"],
        "ner_tags": [schema.labels.index(tag) for tag in tags],
        "lang": schema.languages.index(row["lang"]),
        "source": schema.sources.index(row["source"]),
    }
    return {column: encoded.get(column, row[column]) for column in COLUMNS}


def _tag_names(row: DatasetRow, labels: Sequence[str]) -> list[str]:
    names = []
    for tag in row["ner_tags"]:
        name = labels[tag] if isinstance(tag, int) and 0 <= tag < len(labels) else tag
        if name not in labels:
            raise ValueError(f"Row {row['id']!r}: unknown tag {tag!r} in `ner_tags`; known are {list(labels)}.")
        names.append(name)
    return names


def _check_words(row: DatasetRow, tags: list[str]) -> None:
    tokens = row["tokens"]
    if not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise ValueError(f"Row {row['id']!r}: `tokens` must be one or more non-empty strings, got {tokens!r}.")
    if len(tokens) != len(tags):
        raise ValueError(
            f"Row {row['id']!r}: `tokens` and `ner_tags` must have the same length, got {len(tokens)} and {len(tags)}."
        )
    position = find_iob2_violation(tags)
    if position is not None:
        raise ValueError(
            f"Row {row['id']!r}: tag {tags[position]!r} of token {position} ({tokens[position]!r}) continues no "
            f"entity; start the entity with 'B{tags[position][1:]}'."
        )


def _check_provenance(row: DatasetRow) -> None:
    if row["tw2017_split"] not in (None, *SPLITS):
        raise ValueError(
            f"Row {row['id']!r}: `tw2017_split` must be None or one of {list(SPLITS)}, got {row['tw2017_split']!r}."
        )
    if unknown := set(row["quality"]) - set(QUALITY_FLAGS):
        raise ValueError(
            f"Row {row['id']!r}: unknown flags {sorted(unknown)} in `quality`; known are {list(QUALITY_FLAGS)}."
        )


def _check_image(row: DatasetRow) -> None:
    image, status = row["image"], row["image_status"]
    if status not in IMAGE_STATUSES:
        raise ValueError(f"Row {row['id']!r}: `image_status` must be one of {list(IMAGE_STATUSES)}, got {status!r}.")
    if image is None:
        # The hash identifies the picture that a text-only build examined and left out.
        if status in STATUSES_WITH_IMAGE and not row["sha256"]:
            raise ValueError(
                f"Row {row['id']!r}: `image` is None but `image_status` is {status!r}; "
                f"without picture and `sha256` the status must not be one of {list(STATUSES_WITH_IMAGE)}."
            )
        return
    if status not in STATUSES_WITH_IMAGE:
        raise ValueError(
            f"Row {row['id']!r}: there is a picture but `image_status` is {status!r}; "
            f"a row with a picture must have one of the statuses {list(STATUSES_WITH_IMAGE)}."
        )
    if set(image) != {"bytes", "path"} or not isinstance(image["bytes"], bytes) or not image["bytes"]:
        raise ValueError(f"Row {row['id']!r}: `image` must be a dict with `bytes` (not empty) and `path`.")
    if not image["path"] or re.search(r"[/\\:\0]", image["path"]):
        raise ValueError(f"Row {row['id']!r}: `path` of `image` must be a bare file name, got {image['path']!r}.")
