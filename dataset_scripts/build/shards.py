"""The unit of work of a build: rows without pictures in, one parquet file with pictures out.

`write_shard` needs nothing but its task and the files that it names, so any engine can run it: `map`, the `map` of a
process pool, or a cluster that shares a file system. Spark: `context.parallelize(tasks, len(tasks)).map(write_shard)
.collect()`; Ray: `ray.get([ray.remote(write_shard).remote(task) for task in tasks])`.

A complete shard has a manifest. A shard whose manifest matches its task is not written again, so an interrupted build
continues where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

from dataset_scripts.build.pictures import (
    DEFAULT_IMAGE_ID,
    PreparedPicture,
    find_unsafe_part,
    read_picture_of,
    stand_in_picture,
)
from dataset_scripts.parquet import write_parquet
from dataset_scripts.rows import SplitCounts, encode_row
from dataset_scripts.schema import COLUMNS, Schema
from reports_2mner.files import file_sha256, write_json

DECIDING_PACKAGES = ("datasets", "pillow", "pyarrow")
NOT_LOOKED_FOR = PreparedPicture(None, "missing", "no picture folder was given")
REMEMBERED_PICTURES = 64


@dataclass(frozen=True)
class ShardTask:
    """One file to write: from `rows`, JSON lines without pictures, to `output`, with pictures from `images`."""

    rows: Path
    output: Path
    images: Path | None
    embed: bool  # store the bytes of the pictures; otherwise only their status and hash
    use_default: bool  # replace unusable pictures by the stand-in
    max_side: int | None  # in pixels; None keeps pictures unchanged
    schema: Schema = field(default_factory=Schema)


@dataclass(frozen=True)
class Problem:
    """A row whose picture could not be used, and why."""

    row_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class ShardResult:
    """The result of a task: the file's size and hash, its counts, and the problems with its pictures."""

    bytes: int
    sha256: str
    counts: SplitCounts
    problems: list[Problem]


def write_shard(task: ShardTask) -> ShardResult:
    """Write the file of a task unless it already exists; can be stopped at any moment and run again."""
    key = _task_key(task)
    if (done := _read_manifest(task, key)) is not None:
        return done
    counts = SplitCounts()
    problems: list[Problem] = []
    # If stopped between file and manifest, the new file must not keep the manifest of an earlier one.
    _manifest_path(task).unlink(missing_ok=True)
    write_parquet(_encoded_rows(task, counts, problems), task.output, task.schema)
    result = ShardResult(task.output.stat().st_size, file_sha256(task.output), counts, problems)
    _write_manifest(task, key, result)
    return result


def versions() -> dict[str, str]:
    """Return the versions of everything that affects the bytes of a data set."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in DECIDING_PACKAGES}}


def _encoded_rows(task: ShardTask, counts: SplitCounts, problems: list[Problem]) -> Iterator[dict[str, Any]]:
    find = lru_cache(REMEMBERED_PICTURES)(partial(_find_picture, task))
    for row in _read_rows(task.rows):
        picture = find(row["image_id"], row.pop("picture", ""))
        if picture.reason and task.images:
            problems.append(Problem(row["id"], picture.status, picture.reason))
        encoded = encode_row({**row, **_image_columns(picture, task.embed)}, task.schema)
        counts.add(encoded, task.schema)
        yield encoded


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        yield from map(json.loads, file)


def _find_picture(task: ShardTask, image_id: str, name: str | None) -> PreparedPicture:
    picture = read_picture_of(task.images, image_id, name, task.max_side) if task.images else NOT_LOOKED_FOR
    if picture.image is None and task.use_default:
        return replace(stand_in_picture(task.images, task.max_side), reason=f"{picture.status}, {picture.reason}")
    return picture


def _image_columns(picture: PreparedPicture, embed: bool) -> dict[str, Any]:
    if embed or picture.image is None:
        return {"image": picture.image, "image_status": picture.status}
    sha256 = hashlib.sha256(picture.image["bytes"]).hexdigest()
    return {"image": None, "image_status": picture.status, "sha256": sha256}


def _task_key(task: ShardTask) -> str:
    """Return a hash of all that affects the file: rows, settings, versions, and size and time of every picture."""
    digest = hashlib.sha256(file_sha256(task.rows).encode())
    settings = [task.images is not None, task.embed, task.use_default, task.max_side]
    digest.update(json.dumps([settings, versions(), list(COLUMNS), asdict(task.schema)]).encode())
    if task.images:
        named = ((row["image_id"], row.get("picture", "")) for row in _read_rows(task.rows))
        for image_id, name in [(DEFAULT_IMAGE_ID, ""), *named]:
            digest.update(repr(_fingerprint(task.images, image_id, name)).encode())
    return digest.hexdigest()


def _fingerprint(folder: Path, image_id: str, name: str | None) -> tuple[int, int] | None:
    if name is None or (not name and find_unsafe_part(image_id)):
        return None
    try:
        status = os.stat(os.path.join(folder, name or f"{image_id}.jpg"))
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


def _manifest_path(task: ShardTask) -> Path:
    return task.rows.with_suffix(".done")


def _read_manifest(task: ShardTask, key: str) -> ShardResult | None:
    try:
        manifest = json.loads(_manifest_path(task).read_text(encoding="utf-8"))
        written = task.output.stat().st_size
    except FileNotFoundError:
        return None
    if manifest.pop("key") != key or manifest["bytes"] != written:
        return None
    counts: dict[str, Any] = {
        name: Counter(value) if isinstance(value, dict) else value for name, value in manifest["counts"].items()
    }
    problems = [Problem(**problem) for problem in manifest["problems"]]
    return ShardResult(manifest["bytes"], manifest["sha256"], SplitCounts(**counts), problems)


def _write_manifest(task: ShardTask, key: str, result: ShardResult) -> None:
    problems = [asdict(problem) for problem in result.problems]
    manifest = {**vars(result), "key": key, "counts": vars(result.counts), "problems": problems}
    write_json(_manifest_path(task), manifest)
