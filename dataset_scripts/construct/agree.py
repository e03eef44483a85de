"""Say how far the annotators agree, and hand the conflicts to the inspector.

    python -m dataset_scripts.construct agree WORK --minimum_f1 0.9
    python -m dataset_scripts.construct agree WORK --gold training/gold.jsonl

Writes agreement.html, agreement.md and agreement.json, and in `inspector/` the tasks of an inspector in the form of the
annotators': only the sentences on which these differ, with all answers beside. With `--gold`, answers in any of the
forms that `collect` reads, annotators are also scored against it: one round of training is `tasks --no_proposals
--limit 100`, `collect` and this. Below `--minimum_f1` the exit status is 1.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.agreement import OUTSIDE, Agreement
from dataset_scripts.annotations.sentence import DONE, Entity, Task
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct import tasks
from dataset_scripts.construct.answers import (
    CONFLICT,
    Annotation,
    Answers,
    answers_of,
    entities_of,
    find_answers,
    verdict,
)
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from reports_2mner.command_line import at_least, between, option
from reports_2mner.files import write_file, write_json
from reports_2mner.html import render
from reports_2mner.tables import Table

STRINGS = 20  # most disputed ones
THUMBNAIL = 160  # longer side in pixels
GROUPS = ("people", "language", "source", "type")
OF_A_PERSON = (DONE, "skipped", "refused", "open", "flagged")


@dataclass(frozen=True)
class Settings:
    """What to compare with, and what to show."""

    minimum_f1: float | None = option(None, "exit with 1 if span F1 is lower", type=between(0.0, 1.0))
    gold: tuple[Path, ...] = option((), "files with the right answers to some sentences", metavar="PATH")
    users: Path | None = option(None, "names of the users in `gold`, as for `collect`")
    shown: int = option(100, "disputed sentences on the page", type=at_least(0))
    server: str | None = option(None, "address of a Label Studio server that gets the inspector's tasks")


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the report and the inspector's tasks; ValueError if agreement is below `minimum_f1`."""
    tasks.refuse_edited(work, "agree")
    given, gold = tasks.asked(work), find_answers(settings.gold, settings.users)

    def write(folder: Path, counts: Counts) -> None:
        found = _count(work, counts, gold.read(), given.answers).content()
        tables = _tables(found)
        write_json(folder / "agreement.json", found, indent=1, ensure_ascii=False)
        public = ("Everybody", "By language", "By source", "By type")  # goes into cards, so it has no names of people
        write_file(folder / "agreement.md", "\n".join(f"{name}:\n\n{tables[name].markdown()}\n" for name in public))
        cards = list(_cards(work, found["overall"]["conflicts"], settings.shown, given.images))
        values = {"overall": found["overall"], "matrix": _matrix(found), "tables": tables, "cards": cards}
        name = work.folder.resolve().name
        write_file(folder / "agreement.html", render("agreement.html.jinja", name=name, **values))
        inspected = _inspections(work, given)
        tasks.write_tasks(folder / tasks.INSPECTOR, work, given, tasks.INSPECTOR, inspected)

    plain = {"shown": settings.shown, "gold": gold.key(), "tasks": tasks.hash_of(vars(given))}
    manifest = work.perform("agree", write, plain, work.inputs("agree"))
    tasks.push_tasks(work.place("agree") / tasks.INSPECTOR, tasks.INSPECTOR, given, settings.server)
    _check(work.place("agree"), settings.minimum_f1)
    return manifest


def _check(folder: Path, minimum: float | None) -> None:
    f1 = json.loads((folder / "agreement.json").read_text("utf-8"))["overall"]["span F1"]
    if minimum is not None and (f1 is None or f1 < minimum):
        raise ValueError(
            f"span F1 between annotators is {_figure(f1)}, below `minimum_f1` {minimum:g}; see "
            f"{folder / 'agreement.html'} for what is disputed, and settle it in the guideline."
        )


@dataclass
class Found:
    """All counts: of everybody, of pairs, languages and sources, of single people and rounds, and of strings."""

    overall: Agreement = field(default_factory=Agreement)
    groups: dict[tuple[str, str], Agreement] = field(default_factory=lambda: defaultdict(Agreement))
    people: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    strings: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, record: Record, gold: set[Entity] | None) -> None:
        """Count the answers to a sentence."""
        for said in record.annotations:
            self.people[said["annotator"], said["round"]].update(_count_answer(said, record, gold))
        answers = answers_of(record)
        if len(answers) < 2:
            return
        for total in (self.overall, self.groups["language", record.lang], self.groups["source", record.source]):
            total.add(list(answers.values()), len(record.tokens))
        for one, other in combinations(answers, 2):
            self.groups["people", f"{one} and {other}"].add([answers[one], answers[other]], len(record.tokens))
        shared = set.intersection(*answers.values())
        disputed = [(record.words(Span(*e)), e[2]) for found in answers.values() for e in sorted(found - shared)]
        self.strings.update({words for words, _ in disputed})
        for words, kind in disputed:
            self.types[words][kind] += 1

    def content(self) -> dict[str, Any]:
        """Return all figures as plain values."""
        found: dict[str, Any] = {"overall": self.overall.figures(), **{name: {} for name in GROUPS}}
        for (group, name), agreement in sorted(self.groups.items()):
            found[group][name] = agreement.figures()
        found["type"] = {kind: self.overall.figures_of(kind) for kind in sorted(self.overall.found)}
        found["annotators"] = [{"annotator": name, "round": r, **n} for (name, r), n in sorted(self.people.items())]
        found["confusion"] = [[*pair, number] for pair, number in sorted(self.overall.confusion().items())]
        strings = sorted(self.strings.items(), key=lambda entry: (-entry[1], entry[0]))[:STRINGS]
        found["strings"] = [{"text": text, "sentences": n, "types": dict(self.types[text])} for text, n in strings]
        return found


def _count(work: Work, counts: Counts, gold: Answers, least: int) -> Found:
    found = Found()
    for record in work.records("agree"):
        counts.read += 1
        right = [set(answer.entities) for answer in gold.get(record.uid, {}).values() if answer.status == DONE]
        found.add(record, right[-1] if right else None)
        counts.notes[f"sentences: {verdict(record, least)}"] += 1
    counts.written = found.overall.sentences
    if alone := counts.read - counts.written:
        counts.removed["fewer than two finished answers"] = alone
    return found


def _count_answer(said: Annotation, record: Record, gold: set[Entity] | None) -> dict[str, int]:
    """Return the counts of an answer: what was left of the proposal, and what is right."""
    if said["status"] != DONE:
        return {said["status"]: 1}
    entities, proposed = entities_of(said), {(e.start, e.end, e.type) for e in record.spans if e.is_label}
    counts = {DONE: 1, "found": len(entities), "proposed": len(proposed), "left": len(entities & proposed)}
    counts |= {"unchanged": int(entities == proposed), "flagged": int(bool(said["flags"]))}
    if gold is not None:
        counts |= {"gold": len(gold), "right": len(entities & gold), "scored": len(entities)}
    return counts


def _inspections(work: Work, given: tasks.Settings) -> Iterator[Task]:
    """Yield the sentences in conflict, with the entities that all have found as proposal."""
    for record in work.records("agree"):
        if verdict(record, given.answers) == CONFLICT:
            answers = answers_of(record)
            common = [Span(*entity) for entity in sorted(set.intersection(*answers.values()))]
            task = tasks.task_of(record, common, given, tasks.INSPECTOR)
            remarks = {said["annotator"]: said["flags"] or said["status"] for said in record.annotations}
            notes = [task.note, *(f"{name}: {remark}" for name, remark in remarks.items() if remark != DONE)]
            others = {name: sorted(found) for name, found in answers.items()}
            yield replace(task, note=" | ".join(filter(None, notes)), others=others)


def _tables(found: Mapping[str, Any]) -> dict[str, Table]:
    """Return all tables by title."""
    groups = {"Everybody": {"all": found["overall"]}, **{f"By {name}": found[name] for name in GROUPS}}
    tables = {
        title: Table(
            ["", *next(iter(group.values()), {})],
            [[name, *map(_figure, figures.values())] for name, figures in group.items()],
        )
        for title, group in groups.items()
    }
    header = ["", "round", *OF_A_PERSON, "left as proposed", "unchanged sentences", "F1 with proposal"]
    header += ["gold entities", "P", "R", "F1"]
    tables["Annotators"] = Table(header, [_person(Counter(counts)) for counts in found["annotators"]])
    strings = [
        [entry["text"], entry["sentences"], ", ".join(f"{kind} {n}" for kind, n in sorted(entry["types"].items()))]
        for entry in found["strings"]
    ]
    return tables | {"Most disputed strings": Table(["", "sentences", "types given"], strings)}


def _person(n: Mapping[str, Any]) -> list[Any]:
    """Return the row of an annotator."""
    left = [(n["left"], n["proposed"]), (n["unchanged"], n[DONE]), (2 * n["left"], n["found"] + n["proposed"])]
    right = [(n["right"], n["scored"]), (n["right"], n["gold"]), (2 * n["right"], n["scored"] + n["gold"])]
    shares = [[_figure(part / whole if whole else None) for part, whole in pairs] for pairs in (left, right)]
    counts = [_figure(n[name]) for name in OF_A_PERSON]
    return [n["annotator"], n["round"], *counts, *shares[0], _figure(n["gold"]), *shares[1]]


def _figure(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _matrix(found: Mapping[str, Any]) -> dict[str, dict[str, tuple[int, float]]]:
    """Return for each type and each other one the number of words and its share of the row; O comes last."""
    confusion = {(row, column): n for row, column, n in found["confusion"]}
    kinds = sorted({kind for kind, _ in confusion}, key=lambda kind: (kind == OUTSIDE, kind))
    rows = {row: [confusion.get((row, column), 0) for column in kinds] for row in kinds}
    return {
        row: {kind: (n, n / sum(cells)) for kind, n in zip(kinds, cells, strict=True)} for row, cells in rows.items()
    }


def _cards(work: Work, conflicts: int, shown: int, images: Path | None) -> Iterator[dict[str, Any]]:
    """Yield disputed sentences, evenly spaced: each person's answer in pieces, and a picture if there is one."""
    from dataset_scripts.marked_sentences import cut_into_pieces  # loads torch
    from modeling_2mner.spans import Span as TypedSpan

    chosen, number = {number * conflicts // shown for number in range(shown)}, -1
    for record in work.records("agree"):
        answers = answers_of(record)
        if all(found == next(iter(answers.values())) for found in answers.values()):
            continue
        number += 1
        if number in chosen:
            shared = set.intersection(*answers.values())
            styles = {
                name: {TypedSpan(e[2], e[0], e[1]): "right" if e in shared else "wrong" for e in sorted(found)}
                for name, found in answers.items()
            }
            lines = [(name, cut_into_pieces(record.tokens, marks)[0]) for name, marks in styles.items()]
            picture = _thumbnail(record, images)
            yield {"uid": record.uid, "lines": lines, "picture": picture, "note": tasks.note_of(record)}


def _thumbnail(record: Record, images: Path | None) -> Any:
    if images is None or tasks.find_picture(record, images) is None:
        return None
    from dataset_scripts.build.pictures import read_picture_file
    from dataset_scripts.thumbnails import make_thumbnail

    picture = read_picture_file(images, record.image_id)
    return make_thumbnail(picture.image, picture.status, THUMBNAIL)
