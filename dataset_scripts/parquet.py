"""Write rows as the parquet folder that `load_dataset` opens.

    counts = write_dataset(output, rows, card, overwrite=False)

    output: folder to make; refused if it is not empty, unless `overwrite`
    rows:   {(lang, split): iterable of row dicts}, e.g. {("en", "train"): ...}; `rows.py` says what a row is
    card:   the text of README.md, or a function from the counts and the files' fingerprint to that text, such as
            functools.partial(dataset_card, name=..., title=..., summary=..., body=...) from `card.py`
    example: a function that may add files to the folder and returns Markdown, which `card` gets as `example`
    counts: {(lang, split): SplitCounts}

It writes one file for each language and split, `data/<lang>/<split>-00000-of-00001.parquet`; `build/` writes larger
data sets shard by shard. Rows are taken one at a time, so a generator that reads pictures as it goes needs memory for
only one row group.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.rows import DatasetCounts, DatasetRow, SplitCounts, encode_row
from dataset_scripts.schema import PAPER_SCHEMA, SPLITS, Schema, features
from reports_2mner.files import file_sha256, whole_file, write_file
from reports_2mner.locks import only_writer

# The Hub's viewer reads row groups of up to 300 MB; with 100 rows a training job can also reach a single row cheaply.
ROWS_PER_GROUP = 100
GROUP_BYTES = 100_000_000
# A dictionary stores repeated values of a row group once: words, tags, and a picture that several sentences share.
DICTIONARY_COLUMNS = ["tokens.list.element", "ner_tags.list.element", "image.bytes", "image_status", "lang", "source"]
LISTS = ("tokens", "ner_tags", "quality")
TEXT_COLUMNS = ("id", "image_id", "image_status", "image.path", "lang", "source", "url", "sha256", "tw2017_split")
# Pictures are already compressed, and the Hub recognises equal ones only if they are stored unchanged.
COMPRESSION = dict.fromkeys([*TEXT_COLUMNS, *(f"{name}.list.element" for name in LISTS)], "snappy")
COMPRESSION["image.bytes"] = "none"
BUILT_NAMES = {"README.md", "LICENSE.md", "build.json", "figures", "data"}


def write_dataset(
    output: Path | str,
    rows: Mapping[tuple[str, str], Iterable[DatasetRow]],
    card: str | Callable[..., str],
    overwrite: bool = False,
    example: Callable[[Path], str] | None = None,
    schema: Schema = PAPER_SCHEMA,
) -> DatasetCounts:
    """Check the rows, write them with their card, move the folder to `output` when it is complete, and return counts.

    `schema` names tags and languages. Raises ValueError for a row that breaks a rule of `rows.py`, an id that occurs
    twice, or an `output` in use.
    """
    output = Path(output).resolve()
    with only_writer(output, "output"):
        check_output_folder(output, overwrite)
        with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as workplace:
            fresh = Path(workplace, "fresh")
            fresh.mkdir()
            counts = _write_splits(fresh / "data", rows, schema)
            hashes = {
                path.relative_to(fresh).as_posix(): file_sha256(path) for path in (fresh / "data").rglob("*.parquet")
            }
            extra = {"example": example(fresh)} if example else {}
            text = card if isinstance(card, str) else card(counts, fingerprint(hashes), **extra)
            write_file(fresh / "README.md", text)
            move_folder(fresh, output)
    return counts


def check_output_folder(output: Path, overwrite: bool) -> None:
    """Raise ValueError if a data set must not be written to `output`; long jobs check this before they start."""
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"`output` must be a folder, but {output} is a file; give another name.")
    names = {entry.name for entry in output.iterdir()}
    if names and not overwrite:
        raise ValueError(f"`output` {output} is not empty; give another name, or replace it with `overwrite`.")
    if foreign := names - BUILT_NAMES:
        raise ValueError(
            f"`output` {output} holds files that no builder wrote ({sorted(foreign)[0]!r}, {len(foreign)} in all), "
            "so it is not replaced; move them away or give another name."
        )


def parquet_path(folder: Path, lang: str, split: str, index: int = 0, number: int = 1) -> Path:
    """Return the path of a file of the data set in its `data` folder."""
    return folder / lang / f"{split}-{index:05d}-of-{number:05d}.parquet"


def write_parquet(rows: Iterable[DatasetRow], path: Path, schema: Schema = PAPER_SCHEMA) -> None:
    """Write encoded rows to one file, which appears under its name only when it is complete."""
    columns = features(schema).arrow_schema
    with whole_file(path) as draft, _open(draft, columns) as writer:
        for group in _row_groups(rows, columns):
            writer.write_table(group)


def fingerprint(hashes: Mapping[str, str]) -> str:
    """Return a short name for the contents of files, given their hashes by name."""
    return hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()[:16]


def move_folder(fresh: Path, output: Path) -> None:
    """Replace `output` by a complete folder; the old one is removed only when the new one is in place."""
    if not output.exists():
        os.replace(fresh, output)
        return
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-replaced-") as workplace:
        replaced = Path(workplace, "replaced")
        os.replace(output, replaced)
        try:
            os.replace(fresh, output)
        except OSError:
            os.replace(replaced, output)
            raise


def _write_splits(folder: Path, rows: Mapping[tuple[str, str], Iterable[DatasetRow]], schema: Schema) -> DatasetCounts:
    counts: DatasetCounts = {}
    seen: set[str] = set()
    for (lang, split), split_rows in rows.items():
        if lang not in schema.languages or split not in SPLITS:
            raise ValueError(
                f"`rows` has the key {(lang, split)!r}; languages are {list(schema.languages)}, splits {list(SPLITS)}."
            )
        counts[lang, split] = SplitCounts()
        checked = _checked(split_rows, lang, seen, counts[lang, split], schema)
        write_parquet(checked, parquet_path(folder, lang, split), schema)
    return counts


def _checked(
    rows: Iterable[DatasetRow], lang: str, seen: set[str], counts: SplitCounts, schema: Schema
) -> Iterator[dict[str, Any]]:
    for row in rows:
        encoded = encode_row(row, schema)
        if row["lang"] != lang:
            raise ValueError(f"Row {row['id']!r} has `lang` {row['lang']!r} but was given as {lang!r}.")
        if row["id"] in seen:
            raise ValueError(f"Row {row['id']!r}: `id` occurs twice; every row of the data set needs its own.")
        seen.add(row["id"])
        counts.add(encoded, schema)
        yield encoded


def _row_groups(rows: Iterable[DatasetRow], schema: pa.Schema) -> Iterator[pa.Table]:
    group: list[DatasetRow] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row["image"]["bytes"]) if row["image"] else 0
        if len(group) == ROWS_PER_GROUP or size >= GROUP_BYTES:
            yield pa.Table.from_pylist(group, schema=schema)
            group, size = [], 0
    if group:
        yield pa.Table.from_pylist(group, schema=schema)


def _open(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        use_dictionary=DICTIONARY_COLUMNS,
        dictionary_pagesize_limit=2 * GROUP_BYTES,  # beyond it, pictures would be stored once per row
        compression=COMPRESSION,
        use_content_defined_chunking=True,
        write_page_index=True,
    )
