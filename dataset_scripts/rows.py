"""One row of the data set: what it must look like, how it is stored, what is counted about it.

A row is a dict with exactly the columns of `schema.COLUMNS`:

- `id`, `image_id`: strings; `tokens`: strings, at least one, none of them empty
- `ner_tags`: one per token, names (`"B-PER"`) or positions in `schema.LABELS`
- `image`: None, or `{"bytes": b"...", "path": "name.jpg"}`, the path a bare file name
- `image_status`, `lang`, `source`: names from `schema`
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataset_scripts.schema import (
    COLUMNS,
    IMAGE_STATUSES,
    LABEL_IDS,
    LABELS,
    LANGUAGES,
    SOURCES,
    STATUSES_WITH_IMAGE,
    find_iob2_violation,
)

Row = Mapping[str, Any]


@dataclass
class SplitCounts:
    """What one split of one language holds; `mentions` are entity spans by type."""

    sentences: int = 0
    tokens: int = 0
    mentions: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count one encoded row."""
        self.sentences += 1
        self.tokens += len(row["tokens"])
        tags = (LABELS[tag] for tag in row["ner_tags"])
        self.mentions.update(tag[2:] for tag in tags if tag.startswith("B-"))
        self.sources[SOURCES[row["source"]]] += 1
        self.statuses[row["image_status"]] += 1


Counts = dict[tuple[str, str], SplitCounts]


def encode_row(row: Row) -> dict[str, Any]:
    """Return the row with tags, language and source as numbers, in column order; ValueError when it breaks a rule."""
    if set(row) != set(COLUMNS):
        raise ValueError(f"A row must have exactly the columns {list(COLUMNS)}, got {sorted(row)}.")
    if not row["id"] or not isinstance(row["id"], str):
        raise ValueError(f"`id` must be a string that is not empty, got {row['id']!r}.")
    tags = _tag_names(row)
    _check_words(row, tags)
    _check_image(row)
    for column, known in (("lang", LANGUAGES), ("source", SOURCES)):
        if row[column] not in known:
            raise ValueError(f"Row {row['id']!r}: `{column}` must be one of {list(known)}, got {row[column]!r}.")
    encoded = {
        "ner_tags": [LABEL_IDS[tag] for tag in tags],
        "lang": LANGUAGES.index(row["lang"]),
        "source": SOURCES.index(row["source"]),
    }
    return {column: encoded.get(column, row[column]) for column in COLUMNS}


def _tag_names(row: Row) -> list[str]:
    names = []
    for tag in row["ner_tags"]:
        name = LABELS[tag] if isinstance(tag, int) and 0 <= tag < len(LABELS) else tag
        if name not in LABEL_IDS:
            raise ValueError(f"Row {row['id']!r}: unknown tag {tag!r} in `ner_tags`; known are {list(LABELS)}.")
        names.append(name)
    return names


def _check_words(row: Row, tags: list[str]) -> None:
    tokens = row["tokens"]
    if not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise ValueError(f"Row {row['id']!r}: `tokens` must be strings, at least one, none empty, got {tokens!r}.")
    if len(tokens) != len(tags):
        raise ValueError(
            f"Row {row['id']!r}: `tokens` and `ner_tags` must have the same length, got {len(tokens)} and {len(tags)}."
        )
    position = find_iob2_violation(tags)
    if position is not None:
        raise ValueError(
            f"Row {row['id']!r}: tag {tags[position]!r} of token {position} ({tokens[position]!r}) continues no entity; "
            f"start the entity with 'B{tags[position][1:]}'."
        )


def _check_image(row: Row) -> None:
    image, status = row["image"], row["image_status"]
    if status not in IMAGE_STATUSES:
        raise ValueError(f"Row {row['id']!r}: `image_status` must be one of {list(IMAGE_STATUSES)}, got {status!r}.")
    if (image is not None) != (status in STATUSES_WITH_IMAGE):
        found = "None" if image is None else "a picture"
        raise ValueError(
            f"Row {row['id']!r}: `image` is {found} but `image_status` is {status!r}; "
            f"a row has a picture when its status is one of {list(STATUSES_WITH_IMAGE)}, and None otherwise."
        )
    if image is None:
        return
    if set(image) != {"bytes", "path"} or not isinstance(image["bytes"], bytes) or not image["bytes"]:
        raise ValueError(f"Row {row['id']!r}: `image` must be a dict with `bytes` (not empty) and `path`.")
    if not image["path"] or re.search(r"[/\\:\0]", image["path"]):
        raise ValueError(f"Row {row['id']!r}: `path` of `image` must be a bare file name, got {image['path']!r}.")
