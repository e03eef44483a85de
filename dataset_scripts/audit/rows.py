"""The rows of a data set as an audit reads them: words and names, no pictures, nothing assumed to be valid.

`reading.read_rows` turns numbers into names and fails on a number without one; an audit must report it and continue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

import pyarrow.parquet as pq

from dataset_scripts.reading import ROWS_PER_BATCH, find_parquet_files, read_schema
from dataset_scripts.schema import Schema
from modeling_2mner.spans import entity_spans

REQUIRED_COLUMNS = ("id", "tokens", "ner_tags", "image_id")
OPTIONAL_COLUMNS = ("image_status", "source", "sha256")


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row; a tag that is not a label is kept as `<9>`, a missing name as "".

    `split` and `lang` are those of the file. `sha256` comes from the column or, once the picture has been examined,
    from its bytes; `look` is then its perceptual hash, None for a picture that does not decode or is `flat`.
    """

    id: str
    image_id: str
    lang: str
    split: str
    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    source: str = ""
    status: str = ""
    sha256: str | None = None
    look: int | None = None
    flat: bool = False

    @property
    def held_out(self) -> bool:
        """Whether it is for evaluation, not for training."""
        return self.split != "train"

    @property
    def text(self) -> str:
        """The words, separated by blanks."""
        return " ".join(self.tokens)

    @property
    def picture(self) -> str | None:
        """The hash of the row's own picture, None for the stand-in "image not found"."""
        return self.sha256 if self.status != "default" else None


AuditRows = Sequence[AuditRow]


def read_audit_rows(folder: Path | str) -> list[AuditRow]:
    """Read all rows of a data set folder in the order of its files; ValueError if it or a column is missing."""
    return [
        row
        for (lang, split), paths in find_parquet_files(folder).items()
        for path in paths
        for row in _rows_of_file(path, lang, split)
    ]


def entity_strings(row: AuditRow) -> list[tuple[str, str]]:
    """List the entity strings of a row, in lower case, with their types."""
    return [
        (" ".join(row.tokens[start:end]).lower(), kind) for kind, start, end in entity_spans(row.tags, strict=True)
    ]


def count_by_split(rows: AuditRows) -> dict[str, dict[str, dict[str, int]]]:
    """Count rows, words and entities by language and split."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for row in rows:
        count = counts.setdefault(row.lang, {}).setdefault(row.split, {"rows": 0, "words": 0, "entities": 0})
        count["rows"] += 1
        count["words"] += len(row.tokens)
        count["entities"] += sum(tag.startswith("B-") for tag in row.tags)
    return counts


def _rows_of_file(path: Path, lang: str, split: str) -> Iterator[AuditRow]:
    schema = read_schema(path)
    with pq.ParquetFile(path) as file:
        if absent := [column for column in REQUIRED_COLUMNS if column not in file.schema_arrow.names]:
            raise ValueError(
                f"{path} has no column {absent[0]!r}; an audit needs {', '.join(REQUIRED_COLUMNS)}; "
                "build the data set again."
            )
        columns = [*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS]  # missing ones are skipped
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=columns):
            for cells in batch.to_pylist():
                yield _audit_row(cells, lang, split, schema)


def _audit_row(cells: dict[str, Any], lang: str, split: str, schema: Schema) -> AuditRow:
    return AuditRow(
        id=_name(cells["id"]),
        image_id=_name(cells["image_id"]),
        lang=lang,
        split=split,
        tokens=tuple(intern(_name(token)) for token in cells["tokens"] or ()),
        tags=tuple(_tag_name(tag, schema.labels) for tag in cells["ner_tags"] or ()),
        source=_source_name(cells.get("source"), schema.sources),
        status=_name(cells.get("image_status")),
        sha256=cells.get("sha256"),
    )


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell)


def _tag_name(tag: int | str | None, labels: Sequence[str]) -> str:
    if isinstance(tag, int) and 0 <= tag < len(labels):
        return labels[tag]
    return intern(str(tag) if tag in labels else f"<{tag}>")


def _source_name(source: int | str | None, sources: Sequence[str]) -> str:
    if isinstance(source, int) and 0 <= source < len(sources):
        return sources[source]
    return intern(_name(source))
