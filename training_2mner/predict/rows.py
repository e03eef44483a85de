"""Sentences to predict from a data set in parquet files, one row group at a time."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports_2mner.tags import check_words
from training_2mner.predict.text import (
    PICTURE_FIELDS,
    RESULT_FIELDS,
    STATUS_FIELD,
    WORD_FIELDS,
    InputRecord,
    InputRecords,
    find_picture,
)

try:
    import pyarrow.parquet as pq
    from datasets import ClassLabel, Features, List
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"{error}, which is needed to read a data set; run `pip install datasets`") from error

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Group:
    """A row group: its file, its number in it, and the number of rows before it."""

    path: Path
    number: int
    first: int


class ParquetRecords(InputRecords):
    """The rows of a data set.

    The output does not repeat their pictures and gives numbered classes, such as tags, by name.

    Args:
        source (`Path`): a parquet file, or a folder: all parquet files in and below it, in the order of their names.
        images (`Path`, *optional*): the folder of pictures `<image id>.jpg` for rows without pictures.

    Raises:
        ValueError: if there are no rows, a file does not have exactly one column of words, or words are null.
    """

    def __init__(self, source: Path, images: Path | None = None):
        self._images = images
        self._groups: list[_Group] = []
        self._ends: list[int] = []  # number of rows up to and including each group
        self._held: tuple[int, list[InputRecord]] = (-1, [])
        for path in sorted(source.rglob("*.parquet")) if source.is_dir() else [source]:
            self._add(path)
        if not self._ends:
            raise ValueError(
                f"`input` {source} holds no data set; name a file, or a folder written by "
                "python -m dataset_scripts.build."
            )

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> InputRecord:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = bisect_right(self._ends, index)
        if self._held[0] != place:
            self._held = place, list(self._load(self._groups[place]))
        return self._held[1][index - self._ends[place]]

    def _add(self, path: Path) -> None:
        with pq.ParquetFile(path) as file:
            columns = file.schema_arrow.names
            if sum(field in columns for field in WORD_FIELDS) != 1:
                raise ValueError(
                    f"{path} must have exactly one of the columns {', '.join(WORD_FIELDS)}, but has {columns}; "
                    "rename or drop columns."
                )
            if taken := [field for field in RESULT_FIELDS if field in columns]:
                raise ValueError(f"{path}: the prediction would replace the column {taken[0]!r}; rename it.")
            _check_sentences(file, next(field for field in WORD_FIELDS if field in columns), path)
            _warn_of_unknown_tags(file, path)
            first = 0
            for number in range(file.num_row_groups):
                self._groups.append(_Group(path, number, first))
                rows = file.metadata.row_group(number).num_rows
                first += rows
                self._ends.append(rows + (self._ends[-1] if self._ends else 0))

    def _load(self, group: _Group) -> Iterator[InputRecord]:
        with pq.ParquetFile(group.path) as file:
            features = Features.from_arrow_schema(file.schema_arrow)
            rows = file.read_row_group(group.number).to_pylist()
        for number, row in enumerate(rows, start=group.first + 1):
            place = f"{group.path}: row {number}"
            named = {
                column: _with_names(value, features[column], f"{place}, `{column}`") for column, value in row.items()
            }
            yield self._record(named, place)

    def _record(self, row: dict[str, Any], place: str) -> InputRecord:
        field = next(field for field in WORD_FIELDS if field in row)
        image = next((row[field] for field in PICTURE_FIELDS if row.get(field)), None)
        if image is None and row.get("image_id"):
            image = find_picture(row["image_id"], self._images)
        left_out = {*PICTURE_FIELDS, STATUS_FIELD}
        fields = {column: value for column, value in row.items() if column not in left_out}
        return InputRecord({"text" if field == "text" else "words": row[field], "image": image}, fields, place)


def _check_sentences(file: pq.ParquetFile, field: str, path: Path) -> None:
    sentences = (sentence for batch in file.iter_batches(columns=[field]) for sentence in batch.column(0).to_pylist())
    for row, sentence in enumerate(sentences, start=1):
        if field != "text":
            check_words(sentence, f"{path}: row {row}", field)
        elif not isinstance(sentence, str):
            raise ValueError(f"{path}: row {row}: `text` is {sentence!r}; give a string, or leave the row out.")


def _warn_of_unknown_tags(file: pq.ParquetFile, path: Path) -> None:
    """Gold tags are not needed here, but those without a name are null in the output, which nobody should learn late."""
    if "ner_tags" not in file.schema_arrow.names:
        return
    batches = file.iter_batches(columns=["ner_tags"])
    cells = (tag for batch in batches for tags in batch.column(0).to_pylist() for tag in tags or [])
    if unknown := sum(isinstance(tag, int) and tag < 0 for tag in cells):
        logger.warning("%s: %s gold tags are not known (-1); they are null in the output.", path, f"{unknown:,}")


def _with_names(value: Any, feature: Any, place: str) -> Any:
    """Replace class numbers by names, also in lists; a negative one, "not known" in a data set, becomes null."""
    if isinstance(feature, List) and value is not None:
        return [_with_names(item, feature.feature, place) for item in value]
    if not isinstance(feature, ClassLabel) or value is None or value < 0:
        return None if isinstance(feature, ClassLabel) else value
    if value >= len(feature.names):
        raise ValueError(f"{place} holds {value}, but has {len(feature.names)} names; number the classes from 0 on.")
    return feature.names[value]
