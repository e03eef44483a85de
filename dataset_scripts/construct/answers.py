"""What people answered: taken from files or a Label Studio server, kept in records, and taken together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.answers import AnswerFiles, Answers, find_answers
from dataset_scripts.annotations.jsonl import write_jsonl
from dataset_scripts.annotations.label_studio_server import Server
from dataset_scripts.annotations.sentence import (
    DONE,
    REFUSED,
    SKIPPED,
    Entity,
    Sentence,
    collected_faults,
    one_word,
)
from dataset_scripts.construct.records import Record
from dataset_scripts.construct.stages import Work
from reports_2mner.command_line import option

AGREED, CONFLICT, TOO_FEW = "agreed", "conflict", "too few answers"
Annotation = Mapping[str, Any]  # one of `Record.annotations`


@dataclass(frozen=True)
class AnswerSettings:
    """Where the answers are."""

    answers: tuple[Path, ...] = option((), "files or folders with answers", metavar="PATH")
    users: Path | None = option(None, 'names of the users in exports, JSON such as {"7": "ana"}')
    server: str | None = option(None, "address of a Label Studio server; its token is in LABEL_STUDIO_TOKEN")


def take_answers(work: Work, stage: str, settings: AnswerSettings, title: str) -> AnswerFiles:
    """Return the answers for a stage; those of a server are first saved as WORK/answers/STAGE.jsonl.

    Args:
        work: the work folder.
        stage: its name.
        settings: names files or a server.
        title: of the project on the server.

    Raises:
        ValueError: if answers belong to sentences that the stage does not read.
    """
    paths = settings.answers
    if settings.server is not None:
        path = work.folder / "answers" / f"{stage}.jsonl"
        with collected_faults() as faults:
            answers = list(Server(settings.server).sentences(title, faults))
        write_jsonl(path, sorted(answers, key=lambda answer: (answer.uid, answer.annotator)))
        paths = (*paths, path)
    found = find_answers(paths, settings.users)
    if unknown := sorted(set(found.read()).difference(record.uid for record in work.records(stage))):
        raise ValueError(
            f"`answers` has {len(unknown)} sentences that {work.folder} does not have, the first is {unknown[0]}; they "
            "belong to another work folder, or to records before they were made anew. Leave them out."
        )
    return found


def annotations_for(record: Record, answers: Answers, types: Sequence[str], notes: Counter[str]) -> list[Annotation]:
    """Return the answers to a record in the order of the names, and count them by status and reason of refusal."""
    said = [_annotation(answer, record, types) for _, answer in sorted(answers.get(record.uid, {}).items())]
    for answer in said:
        notes[f"answers {answer['status']}" + (f": {answer['reason']}" if "reason" in answer else "")] += 1
        if "widened" in answer:
            notes["entities widened to whole words"] += answer["widened"]
    return said


def entities_of(said: Annotation) -> set[Entity]:
    """Return the entities of an answer."""
    return {(span["start"], span["end"], span["type"]) for span in said["spans"]}


def answers_of(record: Record) -> dict[str, set[Entity]]:
    """Return the entities that each person found, by name, without those who skipped the sentence."""
    return {said["annotator"]: entities_of(said) for said in record.annotations if said["status"] == DONE}


def verdict(record: Record, least: int) -> str:
    """Return what `least` or more people say together: `agreed`, `skipped`, `conflict`, or `too few answers`."""
    said = [entry for entry in record.annotations if entry["status"] in (DONE, SKIPPED)]
    if len(said) < least:
        return TOO_FEW
    opinions = {frozenset(entities_of(entry)) if entry["status"] == DONE else None for entry in said}
    if len(opinions) > 1:
        return CONFLICT
    return SKIPPED if None in opinions else AGREED


def _annotation(said: Sentence, record: Record, types: Sequence[str]) -> Annotation:
    """Return an answer as it stands in the record; `refused`, with a reason, if it does not fit or has other types."""
    reason = said.fault or (_misfit(said, record, types) if said.status == DONE else "")
    spans = [] if reason else [{"start": start, "end": end, "type": kind} for start, end, kind in said.entities]
    values: dict[str, Any] = {"annotator": said.annotator, "status": REFUSED if reason else said.status}
    values |= {"round": said.round, "flags": list(said.flags), "spans": spans}
    return values | ({"reason": reason} if reason else {}) | ({"widened": n} if (n := len(said.misfits)) else {})


def _misfit(said: Sentence, record: Record, types: Sequence[str]) -> str:
    """Return why an answer cannot be used; "" if it can."""
    if [*map(one_word, said.words)] != [*map(one_word, record.tokens)]:
        return "the words are not those of the sentence"
    unknown = sorted({kind for *_, kind in said.entities} - set(types))
    return f"unknown type {unknown[0]!r}" if unknown else ""
