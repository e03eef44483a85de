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
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.sentence import DONE, SKIPPED
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct.agree import INSPECTOR
from dataset_scripts.construct.answers import (
    AGREED,
    CONFLICT,
    TOO_FEW,
    Annotation,
    annotation_of,
    answers_of,
    count_annotations,
    entities_of,
    verdict,
)
from dataset_scripts.construct.collect import Source, check_known, fetch_answers, find_answers
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from dataset_scripts.construct.tasks import asked, project_title
from reports_2mner.command_line import option

HUMAN = "human"  # the status of an entity that people have settled


@dataclass(frozen=True)
class Settings:
    """Where the inspector's answers are."""

    answers: tuple[Path, ...] = option((), "files or folders with the inspector's answers", metavar="PATH")
    leave_open: bool = option(False, "go on without an inspector, and leave conflicts open")
    users: Path | None = option(None, "names of the users in exports, as for `collect`")
    server: str | None = option(None, "address of a Label Studio server; its token is in LABEL_STUDIO_TOKEN")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write all records, those that are settled with `gold`."""
    given = asked(work)
    fetched = fetch_answers(work, "adjudicate", settings.server, project_title(work, given, inspector=True))
    source = find_answers((*settings.answers, *fetched), settings.users)
    check_known(source.read(), work, "adjudicate")
    function = partial(adjudicate_part, source=source, types=given.types, least=given.answers)
    plain = {"types": given.types, "least": given.answers, "answers": source.key()}
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
    records: Iterator[Record], counts: Counts, source: Source, types: tuple[str, ...], least: int
) -> Iterator[Record]:
    """Yield all records, and count how each was settled."""
    answers = source.read()
    for record in records:
        said = [annotation_of(answer, record, types) for answer in answers.get(record.uid, {}).values()]
        count_annotations(said, counts.notes)
        record, state = settle(record, said, least)
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
    flags = {flag for entry in (*record.annotations, *given) for flag in entry["flags"]}
    record = replace(
        record,
        annotations=(*record.annotations, *({**answer, "role": INSPECTOR} for answer in said)),
        flags=(*record.flags, *sorted(flags - set(record.flags))),
    )
    if state == CONFLICT and given:
        state = "settled by the inspector" if given[-1]["status"] == DONE else SKIPPED
    if state == SKIPPED:
        return replace(record, flags=(*record.flags, SKIPPED)).step("adjudicate", state=state), "skipped"
    if state in (CONFLICT, TOO_FEW):
        return record.step("adjudicate", state=state) if record.annotations else record, f"left open: {state}"
    if state == AGREED:
        answers = answers_of(record)
        entities, by = next(iter(answers.values())), "+".join(answers)
    else:
        entities, by = entities_of(given[-1]), given[-1]["annotator"]
    gold = tuple(Span(*entity, by=by, status=HUMAN) for entity in sorted(entities))
    return replace(record, gold=gold).step("adjudicate", state=state), state
