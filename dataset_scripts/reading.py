"""Read a data set folder that a builder of this package wrote, row by row and file by file.

Every tool here reads so: a streaming `load_dataset` that is left before its end can hang Python at exit
(`docs/dataset.md`), while these batches hold one row group and leave nothing running.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dataset_scripts.language_table import CODE
from dataset_scripts.schema import SPLITS, Schema, sort_languages

ROWS_PER_BATCH = 100


def find_parquet_files(folder: Path | str) -> dict[tuple[str, str], list[Path]]:
    """Return `{(lang, split): files in order}` of a data set folder; ValueError when it holds none."""
    data = Path(folder) / "data"
    languages = sort_languages(place.name for place in data.glob("*") if CODE.fullmatch(place.name))
    found = {(lang, split): sorted((data / lang).glob(f"{split}-*.parquet")) for lang in languages for split in SPLITS}
    present = {key: paths for key, paths in found.items() if paths}
    if not present:
        raise ValueError(
            f"{folder} holds no data set: there is no data/<language>/<split>-*.parquet in it; "
            "name a folder that `python -m dataset_scripts.build` wrote."
        )
    return present


def read_schema(path: Path | str) -> Schema:
    """Return the names that the numbers in a parquet file stand for."""
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
    """Yield the rows in the order of their files, with names for numbers, and `split` as one more key.

    `languages` are all by default. `columns` (default: all) limits what is read; without `image` no picture is touched. `image` is None or a dict of
    `bytes` and `path`, not decoded. Raises ValueError for a folder that is no data set.
    """
    for (lang, split), paths in find_parquet_files(folder).items():
        if (languages is None or lang in languages) and split in splits:
            for path in paths:
                yield from _rows_of_file(path, columns, split)


def _rows_of_file(path: Path, columns: Sequence[str] | None, split: str) -> Iterator[dict[str, Any]]:
    schema = read_schema(path)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_PER_BATCH, columns=columns):
            for row in batch.to_pylist():
                yield {**_with_names(row, schema), "split": split}


def _with_names(row: dict[str, Any], schema: Schema) -> dict[str, Any]:
    names = {"lang": schema.languages, "source": schema.sources}
    named = {column: known[row[column]] for column, known in names.items() if column in row}
    if "ner_tags" in row:
        named["ner_tags"] = [_tag_name(tag, schema.labels) for tag in row["ner_tags"] or ()]
    return {**row, **named}


def _tag_name(tag: int | None, labels: Sequence[str]) -> str:
    """A number that stands for no tag would name one from the end of the list, or none."""
    if tag is None or not 0 <= tag < len(labels):
        raise ValueError(
            f"`ner_tags` holds {tag}, which is none of the {len(labels)} tags {', '.join(labels)}; give every word a tag. "
            "`python -m dataset_scripts.audit` lists all such rows."
        )
    return labels[tag]
