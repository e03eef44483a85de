"""Read a data set folder written by a builder of this package, row by row and file by file.

Every tool here reads this way: a streaming `load_dataset` that is not read to the end can hang Python at exit
(`docs/dataset.md`), while these batches hold one row group and leave nothing running.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_scripts.schema import SPLITS, Schema, sort_languages
from reports_2mner.language_table import CODE
from reports_2mner.tags import check_sentence, tag_name

ROWS_PER_BATCH = 100
STORED_ON_DISK = ("dataset_dict.json", "state.json")  # written by `save_to_disk` of datasets


def find_parquet_files(folder: Path | str) -> dict[tuple[str, str], list[Path]]:
    """Return `{(lang, split): files in order}` of a data set folder; ValueError if it has none."""
    data = Path(folder) / "data"
    languages = sort_languages(place.name for place in data.glob("*") if CODE.fullmatch(place.name))
    found = {(lang, split): sorted((data / lang).glob(f"{split}-*.parquet")) for lang in languages for split in SPLITS}
    present = {key: paths for key, paths in found.items() if paths}
    if not present:
        raise ValueError(
            f"{folder} holds no data set: it has no data/<language>/<split>-*.parquet; "
            "name a folder written by `python -m dataset_scripts.build`."
        )
    return present


def read_schema(path: Path | str) -> Schema:
    """Return the names behind the numbers in a parquet file."""
    from datasets import Features

    return Schema.stored(Features.from_arrow_schema(pq.read_schema(path)))


def count_rows(folder: Path | str) -> int:
    """Return the number of rows of all languages and splits, without reading them."""
    return sum(pq.read_metadata(path).num_rows for paths in find_parquet_files(folder).values() for path in paths)


def read_rows(
    folder: Path | str,
    columns: Sequence[str] | None = None,
    languages: Collection[str] | None = None,
    splits: Collection[str] = SPLITS,
) -> Iterator[dict[str, Any]]:
    """Yield the rows in the order of their files, with names for numbers, and `split` as an additional key.

    `languages` defaults to all. `columns` (default: all) limits what is read; without `image` no picture is read.
    `image` is None or a dict of `bytes` and `path`, not decoded. ValueError for a folder that is not a data set, and
    for tags that are not IOB2.
    """
    for (lang, split), paths in find_parquet_files(folder).items():
        if (languages is None or lang in languages) and split in splits:
            for path in paths:
                yield from _rows_of_file(path, columns, split)


def _rows_of_file(path: Path, columns: Sequence[str] | None, split: str) -> Iterator[dict[str, Any]]:
    schema = read_schema(path)
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=columns):
            for row in batch.to_pylist():
                yield {**_with_names(row, schema, f"{path}, row {number}"), "split": split}
                number += 1


def _with_names(row: dict[str, Any], schema: Schema, place: str) -> dict[str, Any]:
    names = {"lang": schema.languages, "source": schema.sources}
    named = {column: known[row[column]] for column, known in names.items() if column in row}
    if "ner_tags" in row and "tokens" in row:
        named["ner_tags"] = check_sentence(row["tokens"], row["ner_tags"], schema.labels, place)
    elif "ner_tags" in row:
        named["ner_tags"] = [tag_name(tag, schema.labels, place) for tag in row["ner_tags"] or ()]
    return {**row, **named}
