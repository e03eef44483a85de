"""Read a data set of any origin, a folder or Hub id with `tokens` and `ner_tags`, as if this project had built it.

Its rows are copied to files in the builder's format, in a temporary folder. Columns that the data set lacks are left
empty, so checks that need them have nothing to check.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Image, Value, load_dataset, load_from_disk

from dataset_scripts.parquet import parquet_path
from dataset_scripts.reading import STORED_ON_DISK, find_parquet_files
from dataset_scripts.schema import COLUMNS, Schema, features, sort_languages
from dataset_scripts.splits import SPLIT_WORDS
from reports_2mner.language_table import CODE

logger = logging.getLogger(__name__)

NEEDED = ("tokens", "ner_tags")
UNKNOWN_LANGUAGE = "und"  # ISO 639: undetermined
OTHER = "other"  # the source of rows without one


@contextmanager
def open_data_set(dataset: Path | str, config: str | None = None) -> Iterator[Path]:
    """Provide the rows of a data set in the builder's format: its own folder if it was built here, else a temporary copy.

    `dataset` is a folder or the id of a data set on the Hub, `config` one of its configurations. Raises ValueError for
    anything that `datasets` cannot load, and for a data set without words and tags.
    """
    if config is None and _is_ours(dataset):
        yield Path(dataset)
        return
    with TemporaryDirectory() as place:
        # Reports show the name of the folder, so the copy has the data set's name.
        name = Path(dataset).resolve().name
        folder = Path(place) / name
        _copy(dataset, load_rows(dataset, config, Path(place) / "cache"), folder)
        try:
            yield folder
        except ValueError as error:
            # Messages must not name files of the copy, which no longer exist.
            copy = re.compile(rf"{re.escape(str(folder))}/data/([^/]+)/([a-z]+)-[^/ ]+\.parquet")
            raise ValueError(copy.sub(rf"`dataset` {name}, \1 \2", str(error))) from error


def missing_columns(dataset: Path | str) -> list[str]:
    """List the columns of the builder's format that a folder's files lack, or that are empty in every row."""
    tables = [pq.ParquetFile(path) for paths in find_parquet_files(dataset).values() for path in paths]
    filled = {name for file in tables for name in file.schema_arrow.names if _has_values(file, name)}
    return [column for column in COLUMNS if column not in filled]


def _has_values(file: pq.ParquetFile, name: str) -> bool:
    places = [place for place in range(len(file.schema)) if file.schema.column(place).path.split(".")[0] == name]
    groups = (file.metadata.row_group(group) for group in range(file.metadata.num_row_groups))
    statistics = [group.column(place).statistics for group in groups for place in places]
    return any(found is None or found.num_values for found in statistics)


def _is_ours(dataset: Path | str) -> bool:
    try:
        files = find_parquet_files(dataset)
    except ValueError:
        return False
    needed = {*NEEDED, "id", "image_id", "lang", "source"}
    return all(needed <= set(pq.read_schema(path).names) for paths in files.values() for path in paths)


def load_rows(dataset: Path | str, config: str | None, cache: Path) -> Mapping[str, Dataset]:
    """Load the splits of a folder or Hub id; ValueError for anything that `datasets` cannot load. `cache` is for folders."""
    folder = Path(dataset)
    try:
        if any((folder / name).is_file() for name in STORED_ON_DISK):
            loaded = load_from_disk(str(dataset))
        else:
            # A separate cache: the shared one may hold the rows of earlier files at this path.
            loaded = load_dataset(str(dataset), config, **({"cache_dir": str(cache)} if folder.is_dir() else {}))
    except Exception as error:  # the library raises whatever its readers raise
        raise ValueError(
            f"`dataset` {dataset} holds no data set that `datasets` can load ({type(error).__name__}: {error}); name a folder "
            "or Hub id with the columns tokens and ner_tags, and its configuration if there are several."
        ) from error
    return {"train": loaded} if isinstance(loaded, Dataset) else loaded


def _known_split(name: str) -> str:
    words = re.findall("[a-z]+", name.lower())
    found = next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), None)
    if found is None:
        logger.warning("The split %r is taken as train; rename it to train, validation or test.", name)
    return found or "train"


def _copy(dataset: Path | str, splits: Mapping[str, Dataset], folder: Path) -> None:
    for rows in splits.values():
        _check_columns(dataset, rows)
    schema = _schema(dataset, list(splits.values()))
    paths: Counter[tuple[str, str]] = Counter()
    for name, rows in splits.items():
        split = _known_split(name)
        with ExitStack() as stack:
            writers: dict[str, pq.ParquetWriter] = {}
            for row in _rows(rows, name, schema):
                lang = schema.languages[row["lang"]]
                if lang not in writers:
                    path = parquet_path(folder / "data", lang, split, paths[lang, split], len(splits))
                    paths[lang, split] += 1
                    writers[lang] = stack.enter_context(_open(path, schema))
                writers[lang].write(pa.RecordBatch.from_pylist([row], schema=features(schema).arrow_schema))


def _check_columns(dataset: Path | str, rows: Dataset) -> None:
    if absent := [column for column in NEEDED if column not in rows.column_names]:
        raise ValueError(
            f"`dataset` {dataset} has no column {absent[0]!r}, only {', '.join(rows.column_names)}; rename the columns of words "
            "and tags to tokens and ner_tags (`rename_columns` of datasets)."
        )


def _schema(dataset: Path | str, splits: Sequence[Dataset]) -> Schema:
    """Return the names that occur; tags may be text or numbers with names."""
    labels = dict.fromkeys(name for rows in splits for name in _tag_names(dataset, rows))
    languages = {lang for rows in splits for lang in _languages(rows)}
    sources = {name for rows in splits for name in _names_in(rows, "source")}
    return Schema(sort_languages(languages), tuple(labels), (*sorted(sources - {OTHER}), OTHER))


def _tag_names(dataset: Path | str, rows: Dataset) -> list[str]:
    tag = getattr(rows.features["ner_tags"], "feature", None)
    if isinstance(tag, ClassLabel):
        return list(tag.names)
    if getattr(tag, "dtype", "") not in ("string", "large_string"):
        raise ValueError(
            f"`dataset` {dataset}: `ner_tags` holds {rows.features['ner_tags']}; make it a list of `ClassLabel`, which names "
            "the tags, or of strings such as B-PER."
        )
    found = {name for tags in rows["ner_tags"] for name in tags or () if name is not None}
    return sorted(found, key=lambda name: (name != "O", name[2:], name))


def _names_in(rows: Dataset, column: str) -> list[str]:
    """Return the distinct names in a column of text or of numbers with names; none if there is no such column."""
    feature = rows.features.get(column)
    if isinstance(feature, ClassLabel):
        return list(feature.names)
    return sorted({str(name) for name in rows[column] if name}) if isinstance(feature, Value) else []


def _languages(rows: Dataset) -> list[str]:
    found = [name for name in _names_in(rows, "lang") if CODE.fullmatch(name)]
    return [*found, UNKNOWN_LANGUAGE]


def _rows(rows: Dataset, name: str, schema: Schema) -> Iterator[dict[str, Any]]:
    if isinstance(rows.features.get("image"), Image):
        rows = rows.cast_column("image", Image(decode=False))
    elif "image" in rows.column_names:
        logger.warning("The column `image` of split %r holds no pictures of `datasets` and is left out.", name)
        rows = rows.remove_columns("image")
    own = getattr(rows.features["ner_tags"].feature, "names", None)
    for place, row in enumerate(rows):
        image = _embed(row.get("image"))
        yield {
            **{column: _text(row.get(column)) for column in ("image_id", "url", "sha256", "tw2017_split")},
            "id": _text(row.get("id")) or f"{name}/{place}",
            "tokens": row["tokens"],
            "ner_tags": row["ner_tags"] and [_number(tag, own, schema.labels) for tag in row["ner_tags"]],
            "image": image,
            "image_status": _text(row.get("image_status")) or ("ok" if image else "missing"),
            "lang": _place(_name(row, rows, "lang"), schema.languages, UNKNOWN_LANGUAGE),
            "source": _place(_name(row, rows, "source"), schema.sources, OTHER),
            "quality": row.get("quality") if isinstance(row.get("quality"), list) else [],
        }


def _name(row: dict[str, Any], rows: Dataset, column: str) -> str | None:
    value, feature = row.get(column), rows.features.get(column)
    known = isinstance(feature, ClassLabel) and value is not None and 0 <= value < feature.num_classes
    return feature.names[value] if known else value


def _place(name: Any, names: Sequence[str], default: str) -> int:
    return names.index(name if name in names else default)


def _number(tag: int | str | None, own: Sequence[str] | None, labels: Sequence[str]) -> int | None:
    """Return the tag as a number in `labels`; a number without a name is kept, because an audit reports it."""
    if tag is None or own is None:
        return None if tag is None else labels.index(str(tag))
    if 0 <= int(tag) < len(own):
        return labels.index(own[int(tag)])
    return int(tag) if int(tag) < 0 else max(len(labels), int(tag))


def _text(cell: Any) -> str | None:
    return None if cell is None else str(cell)


def _embed(cell: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a picture with its bytes, without its path on this machine."""
    if not cell or not (cell["bytes"] or cell["path"]):
        return None
    path = Path(cell["path"] or "picture")
    data = cell["bytes"] or (path.read_bytes() if path.is_file() else b"")
    return {"bytes": data, "path": path.name}


def _open(path: Path, schema: Schema) -> pq.ParquetWriter:
    path.parent.mkdir(parents=True, exist_ok=True)
    return pq.ParquetWriter(path, features(schema).arrow_schema)
