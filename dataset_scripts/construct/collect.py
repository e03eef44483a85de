"""Take the annotators' answers back: from files, or from a Label Studio server.

    python -m dataset_scripts.construct collect WORK --answers answers/ana.jsonl answers/ben.conll export.json
    LABEL_STUDIO_TOKEN=... python -m dataset_scripts.construct collect WORK --server http://127.0.0.1:8080

Files end with .jsonl, .conll or .json (an export of Label Studio of the type JSON); a folder stands for all of them in
it, and its name for the round of annotation. An answer that does not fit its sentence is kept as `refused`, with the
reason; of several answers of one person to one sentence the last counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dataset_scripts.annotations.answers import AnswerFiles
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.answers import AnswerSettings, annotations_for, take_answers
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tasks import asked, project_title


@dataclass(frozen=True)
class Settings(AnswerSettings):
    """Where the annotators' answers are."""


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write all records, those that were answered with `annotations`."""
    given = asked(work)
    answers = take_answers(work, "collect", settings, project_title(work, given))
    function = partial(collect_part, source=answers, types=given.types)
    return work.map_records("collect", function, {"types": given.types, "answers": answers.key()}, engine=engine)


def waits(work: Work, settings: Settings) -> str | None:
    """Return what annotators have to do first."""
    if settings.answers or settings.server:
        return None
    return (
        f"People annotate the tasks in {work.place('tasks')}; then name their files with `--answers`, or `--server`."
    )


def collect_part(
    records: Iterator[Record], counts: Counts, source: AnswerFiles, types: Sequence[str]
) -> Iterator[Record]:
    """Yield all records with their answers."""
    for record in records:
        said = annotations_for(record, source.read(), types, counts.notes)
        if said:
            counts.notes[f"sentences with {len(said)} answers"] += 1
            record = replace(record, annotations=(*record.annotations, *said)).step("collect", answers=len(said))
        yield record
