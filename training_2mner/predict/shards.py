"""Parts of a prediction for several processes, and what each of them leaves so that all can be put together.

A shard consists of whole windows of batches (`modeling_2mner/length_windows.py`), so its batches and with them all digits of
its scores are those of a single process. Beside each finished shard is its manifest: what it holds, of which input, made
with which settings, and the hash of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import copy
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from reports_2mner.command_line import read_part
from reports_2mner.files import file_sha256, write_json
from training_2mner.predict.text import InputRecord, InputRecords

MAX_NAMED = 20  # missing shards that an error names


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, numbered from 1 on."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "i/n"; ValueError for anything else."""
        return cls(*read_part(text, "shard"))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def bounds(self, sentences: int, window: int) -> tuple[int, int]:
        """The first of its sentences and the one after its last; it may have none. `window` is a number of sentences."""
        windows = -(-sentences // window)
        first, end = (windows * place // self.count * window for place in (self.number - 1, self.number))
        return min(first, sentences), min(end, sentences)

    def path(self, output: Path) -> Path:
        """Its file, beside the output of all."""
        return output.with_name(f"{output.stem}.shard-{self.number}-of-{self.count}{output.suffix}")


class RecordRange(InputRecords):
    """The sentences from `first` to before `end`."""

    def __init__(self, records: InputRecords, first: int, end: int):
        self._records, self._first, self._end = records, first, end

    def __copy__(self) -> RecordRange:
        return RecordRange(copy(self._records), self._first, self._end)  # with a position of its own

    def __len__(self) -> int:
        return self._end - self._first

    def __getitem__(self, index: int) -> InputRecord:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._records[self._first + index]


@dataclass(frozen=True)
class Manifest:
    """What a finished shard is.

    Args:
        shard, count: its number and that of all shards.
        first, end: its sentences.
        sentences: the number of sentences of the whole input.
        source: names the input's content, see `source_digest`.
        settings: what predictions depend on.
        sha256: of the shard's file.
    """

    shard: int
    count: int
    first: int
    end: int
    sentences: int
    source: str
    settings: dict[str, Any]
    sha256: str

    def write(self, path: Path) -> None:
        """Write it beside the file `path` of its shard."""
        write_json(manifest_path(path), asdict(self), indent=2)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read the manifest of the shard in the file `path`; ValueError if there is none."""
        try:
            manifest = cls(**json.loads(manifest_path(path).read_text(encoding="utf-8")))
            manifest._check()
            return manifest
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(
                f"{manifest_path(path)}, which says what {path.name} holds, cannot be read ({error}); copy it with its shard, or "
                "predict the shard again."
            ) from error

    def _check(self) -> None:
        """Raise ValueError for fields that no manifest has."""
        kinds = {"source": str, "settings": dict, "sha256": str}
        for name, value in vars(self).items():
            kind = kinds.get(name, int)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"`{name}` is {value!r}")
        if not 1 <= self.shard <= self.count or not 0 <= self.first <= self.end <= self.sentences:
            raise ValueError(f"shard {self.shard}/{self.count} with the sentences {self.first} to {self.end}")


def manifest_path(path: Path) -> Path:
    """The manifest of a shard's file."""
    return path.with_name(f"{path.name}.manifest.json")


def source_digest(path: Path) -> str:
    """Name the content of an input: the bytes of a text file; of parquet files, which may be large, names, sizes and ends.

    The end of a parquet file says where each column lies, how long it is and, as a rule, its least and greatest value.
    """
    if path.is_file() and path.suffix != ".parquet":
        return file_sha256(path)
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    found = [(str(file.relative_to(path)) if path.is_dir() else "", *_size_and_end(file)) for file in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _size_and_end(file: Path) -> tuple[int, str]:
    """The bytes of a parquet file, and the hash of its footer."""
    size = file.stat().st_size
    with open(file, "rb") as opened:
        opened.seek(max(size - 8, 0))
        length = int.from_bytes(opened.read(4), "little")  # of the footer, which 4 bytes of the format's name follow
        opened.seek(max(size - 8 - length, 0))
        return size, hashlib.sha256(opened.read()).hexdigest()


def check_shards(found: Sequence[tuple[Path, Manifest]]) -> list[Path]:
    """The files of all shards of one prediction, in order.

    Raises:
        ValueError: for shards that are missing, doubled, damaged, or of different inputs, settings or numbers of shards;
            it names them.
    """
    first_path, first = found[0]
    for path, manifest in found:
        for name in ("count", "sentences", "source", "settings"):
            if getattr(manifest, name) != getattr(first, name):
                raise ValueError(
                    f"{path} and {first_path} are parts of different predictions: they differ in `{name}`; name the shards of "
                    "one prediction."
                )
    files: dict[int, list[Path]] = {}
    for path, manifest in found:
        files.setdefault(manifest.shard, []).append(path)
    doubled = {number: paths for number, paths in files.items() if len(paths) > 1}
    if doubled:
        shown = "; ".join(f"{n}/{first.count}: {', '.join(map(str, paths))}" for n, paths in sorted(doubled.items()))
        raise ValueError(f"there are doubled shards ({shown}); name each of them once.")
    if missing := first.count - len(files):
        absent = (str(Shard(n, first.count)) for n in range(1, first.count + 1) if n not in files)
        more = f" and {missing - MAX_NAMED:,} others" if missing > MAX_NAMED else ""
        raise ValueError(
            f"the shards {', '.join(islice(absent, MAX_NAMED))}{more} are missing; predict them, or copy them here, with "
            "manifests."
        )
    end = 0
    for path, manifest in sorted(found, key=lambda each: each[1].shard):
        if manifest.first != end or file_sha256(path) != manifest.sha256:
            raise ValueError(f"{path} is not the file that its manifest describes; copy or predict it again.")
        end = manifest.end
    if end != first.sentences:
        raise ValueError(f"{len(files)} shards hold {end:,} of {first.sentences:,} sentences; predict them again.")
    return [files[number][0] for number in range(1, first.count + 1)]


__all__ = ["Manifest", "RecordRange", "Shard", "check_shards", "manifest_path", "source_digest"]
