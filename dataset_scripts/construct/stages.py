"""Run a stage: read the records of earlier ones, write part files and a manifest, or find that nothing has changed.

A work folder holds one folder a stage, `NN-name/`, with `part-NNNNN.jsonl` and `manifest.json`. A stage's folder appears
only when it is complete. While it is made, its parts stand in `.NN-name.partial/`, each with a small manifest of its own,
so that a stage that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import datetime, timezone
from itertools import chain, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.records import Record, read_records, write_records
from dataset_scripts.parquet import move_folder
from reports_2mner.files import file_sha256, write_json
from reports_2mner.locks import only_writer

FORMAT = 1  # to be raised when the same settings give other files
RECORDS_PER_PART = 5_000
MANIFEST = "manifest.json"

# In the order of the work; the position is the number of the folder.
SOURCES = ("captions", "tweets")
BY_PEOPLE = ("tasks", "collect", "agree", "adjudicate")
ORDER = (*SOURCES, "recognise", "translate", "project", "fetch", *BY_PEOPLE, "errors", "release")
REPORTS = ("tasks", "agree", "errors", "release")  # these write no records: later stages read those of an earlier one


@dataclass
class Counts:
    """How many records came and went, with the reasons: `read - removed + added == written`.

    Args:
        read: records read.
        written: records written.
        removed: records that were left out, by reason.
        added: records that were made, by reason.
        notes: anything else that is worth counting, such as entities by status.
    """

    read: int = 0
    written: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    added: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Add the counts of a part."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def check(self, stage: str) -> None:
        """Raise RuntimeError if a record went without a reason: a mistake of the stage."""
        if self.read - self.removed.total() + self.added.total() != self.written:
            raise RuntimeError(f"Stage {stage} does not account for all records: {self}")

    def to_json(self) -> dict[str, Any]:
        """Return plain values, reasons sorted by name."""
        return {name: dict(sorted(v.items())) if isinstance(v, Counter) else v for name, v in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Counts:
        """Read what `to_json` returned."""
        counts: dict[str, Any] = {name: Counter(v) if isinstance(v, dict) else v for name, v in values.items()}
        return cls(**counts)


# What a stage does to the records of one part. It runs in any process, so it must be picklable: a function of a module,
# or a `functools.partial` of one.
PartFunction = Callable[[Iterator[Record], Counts], Iterable[Record]]


@dataclass(frozen=True)
class PartTask:
    """One part file to write."""

    source: Path
    output: Path
    key: str  # stands for the stage, its settings and its tools
    function: PartFunction


def write_part(task: PartTask) -> dict[str, Any]:
    """Write the part unless it is there already; return its manifest: `key`, `sha256` and `counts`."""
    key = _hash([task.key, file_sha256(task.source)])
    done = task.output.with_suffix(".done")
    if done.exists() and task.output.exists() and (manifest := json.loads(done.read_text("utf-8")))["key"] == key:
        return manifest
    done.unlink(missing_ok=True)
    counts = Counts()
    records = task.function(_counted(read_records(task.source), counts, "read"), counts)
    write_records(task.output, _counted(records, counts, "written"))
    counts.check(task.output.parent.name)
    manifest = {"key": key, "sha256": file_sha256(task.output), "counts": counts.to_json()}
    write_json(done, manifest)
    return manifest


@dataclass(frozen=True)
class Work:
    """A work folder: where each stage finds the records of earlier ones, and leaves its own.

    Args:
        folder: the work folder.
        redo: whether a stage is run even if its manifest fits.
        quiet: whether no progress is shown.
        records_per_part: records in a part file, fixed by the first stages.
    """

    folder: Path
    redo: bool = False
    quiet: bool = False
    records_per_part: int = RECORDS_PER_PART

    def place(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.folder / f"{ORDER.index(stage) + 1:02d}-{stage}"

    def manifest(self, stage: str) -> dict[str, Any] | None:
        """Return the manifest of a stage, or None if it has not been completed."""
        path = self.place(stage) / MANIFEST
        try:
            return json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); remove {path.parent} and run `{stage}` again.") from error

    def givers(self, stage: str) -> tuple[str, ...]:
        """Return the stages whose records this one reads: the nearest earlier one, or else the sources that were run.

        Raises:
            ValueError: if there are none, or they were made from other records than there are now.
        """
        earlier = [name for name in ORDER[: ORDER.index(stage)] if name not in REPORTS and self.manifest(name)]
        givers = tuple(earlier[-1:] if earlier and earlier[-1] not in SOURCES else earlier)
        if not givers:
            raise ValueError(
                f"`{stage}` needs records, and {self.folder} holds none; run one of {', '.join(SOURCES)} first."
            )
        for giver in givers:
            self.check_fresh(giver)
        return givers

    def parts(self, *stages: str) -> list[Path]:
        """Return the part files of some stages, in order."""
        return [path for stage in stages for path in sorted(self.place(stage).glob("part-*.jsonl"))]

    def records(self, stage: str) -> Iterator[Record]:
        """Yield all records that `stage` reads, one at a time."""
        return chain.from_iterable(map(read_records, self.parts(*self.givers(stage))))

    def write_records(
        self, stage: str, records: Callable[[Counts], Iterable[Record]], settings: Any, inputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Write the records of a source and return its manifest.

        `records` returns them, and counts `read`, `removed` and `added`; the other arguments are those of `perform`.
        """

        def write(folder: Path, counts: Counts) -> None:
            stream = _counted(self._bar(records(counts), stage, "records"), counts, "written")
            for number, first in enumerate(stream):
                write_records(_part(folder, number), chain([first], islice(stream, self.records_per_part - 1)))

        return self.perform(stage, write, settings, {**inputs, "records per part": str(self.records_per_part)})

    def map_records(
        self, stage: str, function: PartFunction, settings: Any, tool: str = "", engine: Engine = map
    ) -> dict[str, Any]:
        """Write one part for each part that `stage` reads; return its manifest.

        `function` makes the records of the new part; `engine` runs it on the parts: `map`, or the `map` of a process
        pool or a cluster. The other arguments are those of `perform`.
        """
        sources = self.parts(*self.givers(stage))

        def write(folder: Path, counts: Counts) -> None:
            key = _key(stage, settings, tool, {})
            tasks = [PartTask(path, _part(folder, n), key, function) for n, path in enumerate(sources)]
            for done in self._bar(engine(write_part, tasks), stage, "parts", len(tasks)):
                counts.add(Counts.from_json(done["counts"]))
            for path in {*folder.iterdir()} - {task.output for task in tasks}:
                path.unlink()  # also what a stopped run left: drafts, and parts of other records

        return self.perform(stage, write, settings, self.inputs(stage), tool, keep_partial=True)

    def inputs(self, stage: str) -> dict[str, str]:
        """Return the SHA-256 of every part that `stage` reads."""
        return {f"{path.parent.name}/{path.name}": file_sha256(path) for path in self.parts(*self.givers(stage))}

    def perform(
        self,
        stage: str,
        write: Callable[[Path, Counts], None],
        settings: Any,
        inputs: Mapping[str, str],
        tool: str = "",
        keep_partial: bool = False,
    ) -> dict[str, Any]:
        """Have `write` fill the folder of a stage, unless its manifest fits; return the manifest.

        Args:
            stage: its name.
            write: writes files into a new folder and counts; whatever it leaves there is hashed.
            settings: a dataclass, or plain values, of all that decides on the files.
            inputs: SHA-256, or another sure name, of each file that is read.
            tool: the program and version that does the work.
            keep_partial: whether `write` goes on with what it left when it was stopped.
        """
        with only_writer(self.folder, "WORK"):
            key = _key(stage, settings, tool, inputs)
            manifest = None if self.redo else self.manifest(stage)
            if manifest and manifest["key"] == key and manifest["files"] == _hashes(self.place(stage)):
                return {**manifest, "skipped": True}
            started, begin = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.perf_counter()
            counts = Counts()
            folder = self.folder / f".{self.place(stage).name}.partial"
            if folder.exists() and (self.redo or not keep_partial):
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, counts)
            if stage not in REPORTS:
                counts.check(stage)
            manifest = {"stage": stage, "key": key, "tool": tool, "settings": _plain(settings)}
            manifest |= {"inputs": dict(inputs), "counts": counts.to_json(), "files": _hashes(folder)}
            manifest |= {"started": started, "seconds": round(time.perf_counter() - begin, 3)}
            write_json(folder / MANIFEST, manifest, indent=1, ensure_ascii=False)
            move_folder(folder, self.place(stage))
            return manifest

    def check_fresh(self, stage: str) -> None:
        """Raise ValueError if a stage's records were made from others than there are now."""
        if stage in SOURCES:
            return
        now = {
            f"{self.place(giver).name}/{name}": sha256
            for giver in self.givers(stage)
            for name, sha256 in (self.manifest(giver) or {})["files"].items()
        }
        if _parts_in(now) != _parts_in((self.manifest(stage) or {})["inputs"]):
            raise ValueError(
                f"The records of {self.place(stage)} were made from others than there are now; run `{stage}` again."
            )

    def _bar(self, items: Iterable[Any], stage: str, unit: str, total: int | None = None) -> Iterable[Any]:
        return tqdm(items, desc=stage, unit=f" {unit}", total=total, disable=self.quiet or None)


def describe(manifest: Mapping[str, Any]) -> str:
    """Return what a stage did, a line for each count."""
    counts = manifest["counts"]
    state = "nothing has changed" if manifest.get("skipped") else f"{manifest['seconds']:.1f} s"
    lines = [f"{manifest['stage']}: {counts['read']:,} read, {counts['written']:,} written ({state})"]
    for name in ("removed", "added", "notes"):
        lines += [f"  {name if name != 'notes' else 'count'}: {n:,} {reason}" for reason, n in counts[name].items()]
    return "\n".join(lines)


def _counted(records: Iterable[Record], counts: Counts, name: str) -> Iterator[Record]:
    for record in records:
        setattr(counts, name, getattr(counts, name) + 1)
        yield record


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.jsonl"


def _parts_in(hashes: Mapping[str, str]) -> dict[str, str]:
    return {name: sha256 for name, sha256 in hashes.items() if name.rpartition("/")[2].startswith("part-")}


def _key(stage: str, settings: Any, tool: str, inputs: Mapping[str, str]) -> str:
    return _hash([FORMAT, stage, _plain(settings), tool, sorted(inputs.items())])


def _hash(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _plain(settings: Any) -> Any:
    """Return settings as plain JSON values; paths become text."""
    values = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else settings
    return json.loads(json.dumps(values, default=str))


def _hashes(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in paths}
