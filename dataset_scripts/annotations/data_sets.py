"""Data sets that `datasets` loads: a folder, saved or of files, or an id on the Hub, with columns of any name.

The rows are those of `jsonl`: `tokens` and `ner_tags`, or `text` and `entities`. Tags may be numbers with names. Pictures
are copied as they are, not decoded, to files named after their contents.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import ClassLabel, Dataset, Image

from dataset_scripts.annotations.jsonl import sentence_of
from dataset_scripts.annotations.sentence import Faults, Sentence, Splitter
from dataset_scripts.any_data_set import load_rows
from reports_2mner.files import write_file

logger = logging.getLogger(__name__)

LISTS = ("tokens", "ner_tags", "entities")


def read_data_set(
    source: str, config: str | None, columns: Mapping[str, str], faults: Faults, split: Splitter, pictures: Path
) -> Iterator[Sentence]:
    """Yield the sentence of each row; `part` is its split.

    Args:
        source: folder or id.
        config: configuration, if there are several.
        columns: names in the data set by our names.
        faults: takes the rows that hold no sentence.
        split: splits texts into words.
        pictures: takes the pictures that the data set holds; `image` is then their name in it.
    """
    with TemporaryDirectory() as cache:
        for name, rows in load_rows(source, config, Path(cache)).items():
            rows = _renamed(source, rows, columns)
            names = getattr(getattr(rows.features.get("ner_tags"), "feature", None), "names", None)
            if isinstance(rows.features.get("image"), Image):
                rows = rows.cast_column("image", Image(decode=False))
            for number, row in enumerate(rows):
                place = f"{source}/{name}, row {number}"
                try:
                    values = _values(row, rows, names, pictures)
                    yield sentence_of({"split": name, **values}, split, "", place)
                except (ValueError, KeyError, TypeError) as error:
                    faults.add(place, error)


def _renamed(source: str, rows: Dataset, columns: Mapping[str, str]) -> Dataset:
    """Give the columns our names, and keep no others."""
    if absent := [theirs for theirs in columns.values() if theirs not in rows.column_names]:
        raise ValueError(
            f"`columns` names {absent[0]!r}, but `source` {source} has the columns {', '.join(rows.column_names)}."
        )
    hidden = [ours for ours in columns if ours in rows.column_names and ours not in columns.values()]
    rows = rows.remove_columns(hidden).rename_columns(
        {theirs: ours for ours, theirs in columns.items() if theirs != ours}
    )
    if not {"tokens", "text"} & set(rows.column_names) or not {"ner_tags", "entities"} & set(rows.column_names):
        raise ValueError(
            f"`source` {source} has the columns {', '.join(rows.column_names)}; say which hold the words and tags with "
            "`--columns tokens=NAME ner_tags=NAME`, or the texts and entities with `--columns text=NAME entities=NAME`."
        )
    known = [name for name in rows.column_names if name in (*LISTS, "text", "image", "lang", "split")]
    return rows.select_columns(known)


def _values(row: dict[str, Any], rows: Dataset, names: list[str] | None, pictures: Path) -> dict[str, Any]:
    """Return a row as a line of `jsonl` has it."""
    values = {name: value for name, value in row.items() if value is not None}
    if names is not None and "ner_tags" in values:
        values["ner_tags"] = [_tag(number, names) for number in values["ner_tags"]]
    if isinstance(found := values.get("entities"), Mapping):  # a list of structures as a structure of lists
        values["entities"] = [dict(zip(found, cells, strict=True)) for cells in zip(*found.values(), strict=True)]
    for column in ("lang", "split"):
        feature = rows.features.get(column)
        if isinstance(feature, ClassLabel) and column in values:
            values[column] = feature.int2str(values[column])
    if isinstance(rows.features.get("image"), Image):
        values["image"] = _saved(values.get("image"), pictures)
    if "tokens" in values and "entities" not in values:
        values.pop("text", None)
    return values


def _tag(number: int | None, names: list[str]) -> str:
    if number is None or not 0 <= number < len(names):
        raise ValueError(f"`ner_tags` holds {number}, not one of the {len(names)} labels")
    return names[number]


def _saved(cell: Mapping[str, Any] | None, pictures: Path) -> str:
    """Copy a picture to the folder, and return its name there; "" for none."""
    if not cell or not (cell.get("bytes") or cell.get("path")):
        return ""
    path = str(cell.get("path") or "")
    if not (data := cell.get("bytes")):
        if not os.path.isfile(path):
            return Path(path).name
        data = Path(path).read_bytes()
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.jpg"
    if not (pictures / name).is_file():
        pictures.mkdir(parents=True, exist_ok=True)
        write_file(pictures / name, data)
    return name
