"""Settle the entities: where the annotators agree, what they say, and elsewhere what the inspector says.

    python -m dataset_scripts.construct adjudicate WORK --answers inspector.jsonl
    LABEL_STUDIO_TOKEN=... python -m dataset_scripts.construct adjudicate WORK --server http://127.0.0.1:8080

The inspector's tasks are in the folder of `agree`. A sentence that nobody has settled keeps `gold: null`: one that the
inspector has not answered, that has too few answers, or that was skipped, which is also a flag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dataset_scripts.annotations.answers import AnswerFiles
from dataset_scripts.annotations.sentence import DONE, SKIPPED
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.answers import (
    AGREED,
    CONFLICT,
    TOO_FEW,
    Annotation,
    AnswerSettings,
    annotations_for,
    answers_of,
    entities_of,
    take_answers,
    verdict,
)
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tasks import INSPECTOR, asked, project_title
from reports_2mner.command_line import option

HUMAN = "human"  # the status of an entity that people have settled


@dataclass(frozen=True)
class Settings(AnswerSettings):
    """Where the inspector's answers are."""

    leave_open: bool = option(False, "go on without an inspector, and leave conflicts open")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write all records, those that are settled with `gold`."""
    given = asked(work)
    answers = take_answers(work, "adjudicate", settings, project_title(work, given, inspector=True))
    function = partial(adjudicate_part, source=answers, types=given.types, least=given.answers)
    plain = {"types": given.types, "least": given.answers, "answers": answers.key()}
    return work.map_records("adjudicate", function, plain, engine=engine)


def waits(work: Work, settings: Settings) -> str | None:
    """Return what the inspector has to do first."""
    if settings.answers or settings.server or settings.leave_open:
        return None
    manifest = work.manifest("agree")
    if manifest is None:
        return "Run `agree` first: it hands the conflicts to the inspector."
    conflicts = manifest["counts"]["notes"].get(f"sentences: {CONFLICT}", 0)
    if not conflicts:
        return None
    return (
        f"An inspector settles the {conflicts:,} conflicts in {work.place('agree') / INSPECTOR}; then name the file with "
        "`--answers`, or `--server`; `--leave_open` goes on without."
    )


def adjudicate_part(
    records: Iterator[Record], counts: Counts, source: AnswerFiles, types: tuple[str, ...], least: int
) -> Iterator[Record]:
    """Yield all records, and count how each was settled."""
    for record in records:
        record, state = settle(record, annotations_for(record, source.read(), types, counts.notes), least)
        counts.notes[state] += 1
        yield record


def settle(record: Record, said: list[Annotation], least: int) -> tuple[Record, str]:
    """Return a record with `gold`, if it can be settled, and how it was or why not.

    Args:
        record: with its annotations.
        said: the inspector's answers; the last counts.
        least: how many annotators a sentence needs.
    """
    state = verdict(record, least)
    given = [answer for answer in said if answer["status"] in (DONE, SKIPPED)]
    flags = {flag for answer in (*record.annotations, *given) for flag in answer["flags"]}
    if state == CONFLICT and given:
        state = "settled by the inspector" if given[-1]["status"] == DONE else SKIPPED
    if state == SKIPPED:
        flags.add(SKIPPED)
    answered = bool(record.annotations or said)
    record = replace(
        record,
        annotations=(*record.annotations, *({**answer, "role": INSPECTOR} for answer in said)),
        flags=(*record.flags, *sorted(flags.difference(record.flags))),
        gold=_gold(record, state, given),
    )
    record = record.step("adjudicate", state=state) if answered else record
    return record, f"left open: {state}" if state in (CONFLICT, TOO_FEW) else state


def _gold(record: Record, state: str, given: list[Annotation]) -> tuple[Span, ...] | None:
    """Return the entities that people have settled on; None if they have not."""
    if state in (CONFLICT, TOO_FEW, SKIPPED):
        return None
    answers = answers_of(record)
    if state == AGREED:
        entities, by = next(iter(answers.values())), "+".join(answers)
    else:
        entities, by = entities_of(given[-1]), given[-1]["annotator"]
    return tuple(Span(*entity, by=by, status=HUMAN) for entity in sorted(entities))
