"""What people said about a record, as it stands in its `annotations`, and what follows when all are taken together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dataset_scripts.annotations.sentence import DONE, REFUSED, SKIPPED, Entity, Sentence, one_word
from dataset_scripts.construct.records import Record

AGREED, CONFLICT, TOO_FEW = "agreed", "conflict", "too few answers"
Annotation = Mapping[str, Any]  # one of `Record.annotations`


def annotation_of(said: Sentence, record: Record, types: Sequence[str]) -> Annotation:
    """Return an answer as it stands in the record; `refused`, with a reason, if it does not fit or has other types."""
    reason = said.fault or (_misfit(said, record, types) if said.status == DONE else "")
    entities = () if reason or said.status != DONE else said.entities
    values: dict[str, Any] = {"annotator": said.annotator, "status": REFUSED if reason else said.status}
    values |= {"round": said.round, "flags": list(said.flags)}
    values |= {"spans": [{"start": start, "end": end, "type": kind} for start, end, kind in entities]}
    return values | ({"reason": reason} if reason else {}) | ({"widened": n} if (n := len(said.misfits)) else {})


def count_annotations(said: Sequence[Annotation], notes: Counter[str]) -> None:
    """Count answers by status, and by the reason why they are refused."""
    for answer in said:
        notes[f"answers {answer['status']}" + (f": {answer['reason']}" if "reason" in answer else "")] += 1
        if "widened" in answer:
            notes["entities widened to whole words"] += answer["widened"]


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


def _misfit(said: Sentence, record: Record, types: Sequence[str]) -> str:
    """Return why an answer cannot be used; "" if it can."""
    if [*map(one_word, said.words)] != [*map(one_word, record.tokens)]:
        return "the words are not those of the sentence"
    unknown = sorted({kind for *_, kind in said.entities} - set(types))
    return f"unknown type {unknown[0]!r}" if unknown else ""
