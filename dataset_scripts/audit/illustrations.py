"""The pictures beside the examples of an audit that concern how pictures look."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_scripts.audit.findings import Finding
from dataset_scripts.reading import find_parquet_files
from dataset_scripts.thumbnails import Thumbnail, make_thumbnail

SIDE = 120  # of a thumbnail, in pixels
ILLUSTRATED = (
    "leaked_picture_bytes",
    "leaked_similar_pictures",
    "same_bytes_other_id",
    "same_id_other_bytes",
    "similar_pictures",
)


def draw_examples(folder: Path | str, findings: Iterable[Finding]) -> dict[str, Thumbnail]:
    """Return a thumbnail for each row of an example of `ILLUSTRATED` that has a picture in the folder, by its id."""
    return draw_rows(
        folder, {row for f in findings if f.name in ILLUSTRATED for example in f.examples for row in example.rows}
    )


def draw_rows(folder: Path | str, wanted: set[str]) -> dict[str, Thumbnail]:
    """Return a thumbnail for each row with one of these ids that has a picture in the folder."""
    found: dict[str, Thumbnail] = {}
    paths = [path for paths in find_parquet_files(folder).values() for path in paths]
    for path in paths if wanted else ():
        found |= _draw_file(path, wanted)
    return found


def _draw_file(path: Path, wanted: set[str]) -> dict[str, Thumbnail]:
    """Read only the row groups that contain a wanted row."""
    found: dict[str, Thumbnail] = {}
    with pq.ParquetFile(path) as file:
        if "image" not in file.schema_arrow.names:
            return {}
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["id"])["id"].to_pylist()
            places = [place for place, row in enumerate(ids) if row in wanted]
            if places:
                cells = pc.take(file.read_row_group(group, columns=["image"])["image"], places).to_pylist()
                drawn = {
                    ids[place]: make_thumbnail(cell, None, SIDE) for place, cell in zip(places, cells, strict=True)
                }
                found |= {row: thumbnail for row, thumbnail in drawn.items() if thumbnail.uri}
    return found
