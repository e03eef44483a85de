"""Write rows as the parquet folder that `load_dataset` opens.

    counts = write_dataset(output, rows, card, overwrite=False)

    output: folder to make; refused when it holds something, unless `overwrite`
    rows:   {(lang, split): iterable of row dicts}, e.g. {("en", "train"): ...}; `rows.py` says what a row is
    card:   the text of README.md, or a function from the counts to that text, such as
            functools.partial(dataset_card, name=..., title=..., summary=..., body=...) from `card.py`
    counts: {(lang, split): SplitCounts}

Files are `data/<lang>/<split>-00000-of-0000N.parquet`. Rows are taken one at a time, so a generator that reads
pictures as it goes needs memory for one row group only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_scripts.rows import Counts, Row, SplitCounts, encode_row
from dataset_scripts.schema import LANGUAGES, SPLITS, features

# The Hub's viewer reads row groups up to 300 MB; with 100 rows a training job can also jump to a row cheaply.
ROWS_PER_GROUP = 100
GROUP_BYTES = 100_000_000
SHARD_BYTES = 300_000_000
# Pictures are compressed already and seldom repeat, so they get no dictionary.
DICTIONARY_COLUMNS = ["tokens.list.element", "ner_tags.list.element", "image_status", "lang", "source"]


def write_dataset(
    output: Path | str,
    rows: Mapping[tuple[str, str], Iterable[Row]],
    card: str | Callable[[Counts], str],
    overwrite: bool = False,
) -> Counts:
    """Check the rows, write them with their card, move the folder to `output` when all is done and count.

    Raises ValueError for a row that breaks a rule of `rows.py`, an id that occurs twice, or an `output` in use.
    """
    output = Path(output).resolve()
    check_output(output, overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as workplace:
        fresh = Path(workplace, "fresh")
        fresh.mkdir()
        counts = _write_splits(fresh / "data", rows)
        text = card if isinstance(card, str) else card(counts)
        (fresh / "README.md").write_text(text, encoding="utf-8", newline="\n")
        _move(fresh, output, Path(workplace, "replaced"))
    return counts


def check_output(output: Path, overwrite: bool) -> None:
    """Raise ValueError when a data set must not be written to `output`; long jobs ask this before they start."""
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"`output` must be a folder, but {output} is a file; give another name.")
    names = {entry.name for entry in output.iterdir()}
    if names and not overwrite:
        raise ValueError(f"`output` {output} is not empty; give another name, or replace it with `overwrite`.")
    if foreign := names - {"README.md", "data"}:
        raise ValueError(
            f"`output` {output} holds files that no builder wrote ({sorted(foreign)[0]!r}, {len(foreign)} in all), "
            "so it is not replaced; move them away or give another name."
        )


def write_split(
    rows: Iterable[Row], prefix: Path | str, rows_per_group: int = ROWS_PER_GROUP, shard_bytes: int = SHARD_BYTES
) -> list[Path]:
    """Write encoded rows to `<prefix>-00000-of-0000N.parquet`, at least one file, and return the paths.

    A shard ends before `shard_bytes` (uncompressed) are passed; a single row group larger than that has its own.
    """
    prefix = Path(prefix)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=prefix.parent, prefix=".") as workplace:
        parts = _write_parts(_row_groups(rows, rows_per_group), Path(workplace), shard_bytes)
        paths = [
            prefix.with_name(f"{prefix.name}-{index:05d}-of-{len(parts):05d}.parquet") for index in range(len(parts))
        ]
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    return paths


def _write_splits(folder: Path, rows: Mapping[tuple[str, str], Iterable[Row]]) -> Counts:
    counts: Counts = {}
    seen: set[str] = set()
    for (lang, split), split_rows in rows.items():
        if lang not in LANGUAGES or split not in SPLITS:
            raise ValueError(
                f"`rows` has the key {(lang, split)!r}; languages are {list(LANGUAGES)}, splits {list(SPLITS)}."
            )
        counts[lang, split] = SplitCounts()
        write_split(_checked(split_rows, lang, seen, counts[lang, split]), folder / lang / split)
    return counts


def _checked(rows: Iterable[Row], lang: str, seen: set[str], counts: SplitCounts) -> Iterator[dict[str, Any]]:
    for row in rows:
        encoded = encode_row(row)
        if row["lang"] != lang:
            raise ValueError(f"Row {row['id']!r} has `lang` {row['lang']!r} but was given as {lang!r}.")
        if row["id"] in seen:
            raise ValueError(f"Row {row['id']!r}: `id` occurs twice; every row of the data set needs its own.")
        seen.add(row["id"])
        counts.add(encoded)
        yield encoded


def _row_groups(rows: Iterable[Row], rows_per_group: int) -> Iterator[pa.Table]:
    schema = features().arrow_schema
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row["image"]["bytes"]) if row["image"] else 0
        if len(group) == rows_per_group or size >= GROUP_BYTES:
            yield pa.Table.from_pylist(group, schema=schema)
            group, size = [], 0
    if group:
        yield pa.Table.from_pylist(group, schema=schema)


def _write_parts(groups: Iterable[pa.Table], folder: Path, shard_bytes: int) -> list[Path]:
    parts = [folder / "0"]
    writer, size = _open_part(parts[0]), 0
    try:
        for group in groups:
            if size and size + group.nbytes > shard_bytes:
                writer.close()
                parts.append(folder / str(len(parts)))
                writer, size = _open_part(parts[-1]), 0
            writer.write_table(group)
            size += group.nbytes
    finally:
        writer.close()
    return parts


def _open_part(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        features().arrow_schema,
        use_dictionary=DICTIONARY_COLUMNS,
        use_content_defined_chunking=True,
        write_page_index=True,
    )


def _move(fresh: Path, output: Path, replaced: Path) -> None:
    if not output.exists():
        os.replace(fresh, output)
        return
    os.replace(output, replaced)
    try:
        os.replace(fresh, output)
    except OSError:
        os.replace(replaced, output)
        raise
