"""Take the annotators' answers back: from files, or from a Label Studio server.

    python -m dataset_scripts.construct collect WORK --answers answers/ana.jsonl answers/ben.conll export.json
    LABEL_STUDIO_TOKEN=... python -m dataset_scripts.construct collect WORK --server http://127.0.0.1:8080

Files end with .jsonl, .conll or .json (an export of Label Studio of the type JSON); a folder stands for all of them in
it, and its name for the round of annotation. An answer that does not fit its sentence is kept as `refused`, with the
reason; of several answers of one person to one sentence the last counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.forms import SUFFIXES, read_annotations
from dataset_scripts.annotations.jsonl import write_jsonl
from dataset_scripts.annotations.label_studio_server import Server
from dataset_scripts.annotations.sentence import OPEN, Sentence, collected_faults
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.answers import annotation_of, count_annotations
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tasks import asked, hash_of, project_title
from dataset_scripts.parquet import file_sha256
from reports_2mner.command_line import option

Answers = dict[str, dict[str, Sentence]]  # of each sentence, by the name of the person


@dataclass(frozen=True)
class Settings:
    """Where the answers are."""

    answers: tuple[Path, ...] = option((), "files or folders with answers", metavar="PATH")
    users: Path | None = option(None, 'names of the users in exports, JSON such as {"7": "ana"}')
    server: str | None = option(None, "address of a Label Studio server; its token is in LABEL_STUDIO_TOKEN")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write all records, those that were answered with `annotations`."""
    types = asked(work).types
    fetched = fetch_answers(work, "collect", settings.server, project_title(work, asked(work)))
    source = find_answers((*settings.answers, *fetched), settings.users)
    check_known(source.read(), work, "collect")
    function = partial(collect_part, source=source, types=types)
    return work.map_records("collect", function, {"types": types, "answers": source.key()}, engine=engine)


def waits(work: Work, settings: Settings) -> str | None:
    """Return what annotators have to do first."""
    if settings.answers or settings.server:
        return None
    return (
        f"People annotate the tasks in {work.place('tasks')}; then name their files with `--answers`, or `--server`."
    )


@dataclass(frozen=True)
class Source:
    """Files with answers, by path and SHA-256, and the names of users."""

    files: tuple[tuple[Path, str], ...]
    users: tuple[tuple[int, str], ...] = ()

    def key(self) -> str:
        """Return a hash of what decides on the answers."""
        return hash_of([[(path.parent.name, path.suffix, sha256) for path, sha256 in self.files], self.users])

    def read(self) -> Answers:
        """Return all answers; read once in each process."""
        return _read(self)


def find_answers(paths: Sequence[Path], users: Path | None) -> Source:
    """Return the files that paths stand for; ValueError for paths without answers."""
    try:
        names = json.loads(users.read_text("utf-8")) if users else {}
        numbers = tuple(sorted((int(number), str(name)) for number, name in names.items()))
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f'`users` {users} is no JSON such as {{"7": "ana"}} ({error}); correct it.') from error
    return Source(tuple((path, file_sha256(path)) for path in answer_files(paths)), numbers)


def fetch_answers(work: Work, stage: str, server: str | None, title: str) -> list[Path]:
    """Save the answers that a server has in a project as WORK/answers/STAGE.jsonl; return that path, or none."""
    if server is None:
        return []
    path = work.folder / "answers" / f"{stage}.jsonl"
    with collected_faults() as faults:
        answers = list(Server(server).sentences(title, faults))
    write_jsonl(path, sorted(answers, key=lambda answer: (answer.uid, answer.annotator)))
    return [path]


def answer_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that paths stand for, those of a folder in the order of their names."""
    for path in paths:
        found = sorted(entry for entry in path.rglob("*") if entry.suffix in SUFFIXES) if path.is_dir() else [path]
        if not found or not all(file.is_file() and file.suffix in SUFFIXES for file in found):
            raise ValueError(
                f"`answers` {path} is no file that ends with {', '.join(SUFFIXES)}, and no folder of them."
            )
        yield from found


def check_known(answers: Iterable[str], work: Work, stage: str) -> None:
    """Raise ValueError if the records that a stage reads lack some of these `uid`s."""
    if unknown := sorted(set(answers).difference(record.uid for record in work.records(stage))):
        raise ValueError(
            f"`answers` has {len(unknown)} sentences that {work.folder} does not have, the first is {unknown[0]}; they "
            "belong to another work folder, or to records before they were made anew. Leave them out."
        )


def collect_part(records: Iterator[Record], counts: Counts, source: Source, types: Sequence[str]) -> Iterator[Record]:
    """Yield all records with their answers, in the order of the names."""
    answers = source.read()
    for record in records:
        given = sorted(answers.get(record.uid, {}).items())
        said = tuple(annotation_of(answer, record, types) for _, answer in given)
        count_annotations(said, counts.notes)
        if said:
            counts.notes[f"sentences with {len(said)} answers"] += 1
            record = replace(record, annotations=(*record.annotations, *said)).step("collect", answers=len(said))
        yield record


@lru_cache(maxsize=2)
def _read(source: Source) -> Answers:
    answers: Answers = {}
    with collected_faults() as faults:
        for path, _ in source.files:
            for answer in read_annotations(path, faults, users=dict(source.users)):
                if not (answer.uid and answer.annotator):
                    if answer.status != OPEN:
                        faults.add(answer.place, "an answer without `uid` or `annotator`", "add who answered what")
                    continue
                said = answers.setdefault(answer.uid, {})
                if answer.status != OPEN or answer.annotator not in said:
                    said[answer.annotator] = answer
    return answers
