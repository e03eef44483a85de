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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.label_studio_server import Server
from dataset_scripts.annotations.sentence import DONE, Entity, Task
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct import tasks
from dataset_scripts.construct.agreement import OUTSIDE, Agreement
from dataset_scripts.construct.answers import CONFLICT, answers_of, entities_of, verdict
from dataset_scripts.construct.collect import Answers, find_answers
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from reports_2mner.command_line import at_least, between, option
from reports_2mner.files import write_file, write_json
from reports_2mner.html import render
from reports_2mner.tables import Table

INSPECTOR = "inspector"
STRINGS = 20  # most disputed ones
THUMBNAIL = 160  # longer side in pixels
FIGURES = ("sentences", "conflicts", "entities of both", "span F1", "alpha", "kappa, marked words", "kappa, all words")
PUBLIC = ("Everybody", "By language", "By source", "By type")
OF_A_PERSON = (DONE, "skipped", "refused", "open", "flagged")


@dataclass(frozen=True)
class Settings:
    """What to compare with, and what to show."""

    minimum_f1: float | None = option(None, "exit with 1 if span F1 is lower", type=between(0.0, 1.0))
    gold: tuple[Path, ...] = option((), "files with the right answers to some sentences", metavar="PATH")
    users: Path | None = option(None, "names of the users in `gold`, as for `collect`")
    shown: int = option(100, "disputed sentences on the page", type=at_least(0))
    server: str | None = option(None, "address of a Label Studio server that gets the inspector's tasks")


@dataclass
class Found:
    """All counts: of everybody, of groups, of single people and rounds, and of strings."""

    overall: Agreement = field(default_factory=Agreement)
    groups: dict[str, dict[str, Agreement]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Agreement))
    )
    people: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    strings: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, record: Record, gold: set[Entity] | None) -> None:
        """Count the answers to a sentence."""
        for said in record.annotations:
            _count_person(self.people[said["annotator"], said["round"]], said, record, gold)
        answers = answers_of(record)
        if len(answers) < 2:
            return
        agreement = Agreement.of_sentence(list(answers.values()), len(record.tokens))
        groups = {"people": " and ".join(answers), "language": record.lang, "source": record.source}
        for total in (self.overall, *(self.groups[name][value] for name, value in groups.items())):
            total.add(agreement)
        shared = set.intersection(*answers.values())
        for start, end, kind in sorted(entity for answer in answers.values() for entity in answer - shared):
            self.types[record.words(Span(start, end, kind))][kind] += 1
        self.strings.update({record.words(Span(*entity)) for entity in set.union(*answers.values()) - shared})


def run(work: Work, settings: Settings, engine: Engine = map) -> dict[str, Any]:
    """Write the report and the inspector's tasks; ValueError if agreement is below `minimum_f1`."""
    tasks.refuse_edited(work, "agree")
    given = tasks.asked(work)
    gold = find_answers(settings.gold, settings.users)

    def write(folder: Path, counts: Counts) -> None:
        found = _count(work, counts, gold.read(), given.answers)
        content, tables = _content(found), _tables(found)
        write_json(folder / "agreement.json", content, indent=1, ensure_ascii=False)
        shown = {title: table for title, table in tables.items() if title in PUBLIC}  # goes into cards: no names
        parts = (f"{title}:\n\n{Table(header, rows).markdown()}\n" for title, (header, rows) in shown.items())
        write_file(folder / "agreement.md", "\n".join(parts))
        cards = list(_cards(work, found.overall.conflicts, settings.shown, given.images))
        write_file(folder / "agreement.html", _page(work, found.overall, tables, cards))
        tasks.write_tasks(folder / INSPECTOR, work, given, INSPECTOR, _inspections(work, given))

    plain = {"shown": settings.shown, "gold": gold.key(), "tasks": tasks.hash_of(vars(given))}
    manifest = work.perform("agree", write, plain, work.inputs("agree"))
    if settings.server:
        new = Server(settings.server).push(work.place("agree") / INSPECTOR, INSPECTOR, given.images)
        print(f"{new:,} tasks imported for the inspector on {settings.server}")
    _check(work.place("agree"), settings.minimum_f1)
    return manifest


def _check(folder: Path, minimum: float | None) -> None:
    f1 = json.loads((folder / "agreement.json").read_text("utf-8"))["overall"]["span F1"]
    if minimum is not None and (f1 is None or f1 < minimum):
        raise ValueError(
            f"span F1 between annotators is {_figure(f1)}, below `minimum_f1` {minimum:g}; see "
            f"{folder / 'agreement.html'} for what is disputed, and settle it in the guideline."
        )


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


def _count_person(person: Counter[str], said: Mapping[str, Any], record: Record, gold: set[Entity] | None) -> None:
    """Count an answer: what was left of the proposal, and what is right."""
    person[said["status"]] += 1
    if said["status"] != DONE:
        return
    entities, proposed = (
        entities_of(said),
        {(span.start, span.end, span.type) for span in record.spans if span.is_label},
    )
    person.update({"found": len(entities), "proposed": len(proposed), "left": len(entities & proposed)})
    person.update({"unchanged": entities == proposed, "flagged": bool(said["flags"])})
    if gold is not None:
        person.update({"gold": len(gold), "right": len(entities & gold), "scored": len(entities)})


def _inspections(work: Work, given: tasks.Settings) -> Iterator[Task]:
    """Yield the sentences in conflict, with the entities that all have found as proposal."""
    for record in work.records("agree"):
        if verdict(record, given.answers) == CONFLICT:
            answers = answers_of(record)
            others = {name: sorted(found) for name, found in answers.items()}
            common = [Span(*entity) for entity in sorted(set.intersection(*answers.values()))]
            remarks = {said["annotator"]: said["flags"] or said["status"] for said in record.annotations}
            said = [f"{name}: {remark}" for name, remark in remarks.items() if remark != DONE]
            yield tasks.task_of(record, common, given, INSPECTOR, said, others)


def _figures(found: Agreement) -> dict[str, Any]:
    figures = (found.f1(), found.alpha(), found.kappa(marked=True), found.kappa())
    return dict(zip(FIGURES, (found.sentences, found.conflicts, found.found.total(), *figures), strict=True))


def _content(found: Found) -> dict[str, Any]:
    """Return all figures as plain values."""
    groups = {
        name: {key: _figures(group[key]) for key in sorted(group)} for name, group in sorted(found.groups.items())
    }
    types = {
        kind: {"entities of both": n, "span F1": found.overall.f1(kind)} for kind, n in found.overall.found.items()
    }
    people = [{"annotator": name, "round": round, **counts} for (name, round), counts in sorted(found.people.items())]
    strings = [{"text": text, "sentences": n, "types": dict(found.types[text])} for text, n in _disputed(found)]
    return {
        "overall": _figures(found.overall),
        "type": dict(sorted(types.items())),
        **groups,
        "annotators": people,
        "confusion": [[*pair, number] for pair, number in sorted(found.overall.confusion().items())],
        "strings": strings,
    }


def _disputed(found: Found) -> list[tuple[str, int]]:
    return sorted(found.strings.items(), key=lambda entry: (-entry[1], entry[0]))[:STRINGS]


def _tables(found: Found) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return all tables by title, each with its header and rows."""
    groups = {"Everybody": {"all": found.overall}, **{f"By {name}": g for name, g in sorted(found.groups.items())}}
    tables: dict[str, tuple[list[str], list[list[Any]]]] = {
        title: (["", *FIGURES], [[name, *map(_figure, _figures(group[name]).values())] for name in sorted(group)])
        for title, group in groups.items()
    }
    types = [[kind, _figure(n), _figure(found.overall.f1(kind))] for kind, n in sorted(found.overall.found.items())]
    tables["By type"] = (["", "entities of both", "span F1"], types)
    header = ["", "round", *OF_A_PERSON, "left as proposed", "unchanged sentences", "F1 with proposal"]
    people = [[*key, *_person(counts)] for key, counts in sorted(found.people.items())]
    tables["Annotators"] = ([*header, "gold entities", "P", "R", "F1"], people)
    strings = [
        [text, n, ", ".join(f"{kind} {times}" for kind, times in sorted(found.types[text].items()))]
        for text, n in _disputed(found)
    ]
    tables["Most disputed strings"] = (["", "sentences", "types given"], strings)
    return tables


def _person(n: Counter[str]) -> list[Any]:
    """Return the row of an annotator."""
    left = [(n["left"], n["proposed"]), (n["unchanged"], n[DONE]), (2 * n["left"], n["found"] + n["proposed"])]
    right = [(n["right"], n["scored"]), (n["right"], n["gold"]), (2 * n["right"], n["scored"] + n["gold"])]
    shares = [[_figure(part / whole if whole else None) for part, whole in pairs] for pairs in (left, right)]
    return [*(_figure(n[name]) for name in OF_A_PERSON), *shares[0], _figure(n["gold"]), *shares[1]]


def _figure(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _page(work: Work, overall: Agreement, tables: Mapping[str, Any], cards: list[dict[str, Any]]) -> str:
    confusion = overall.confusion()
    kinds = [*sorted({kind for pair in confusion for kind in pair} - {OUTSIDE}), OUTSIDE]
    counts = {row: [confusion.get((row, column), 0) for column in kinds] for row in kinds}
    matrix = [[row, *((count, count / max(1, sum(cells))) for count in cells)] for row, cells in counts.items()]
    values = {"tables": tables, "kinds": kinds, "matrix": matrix, "cards": cards}
    return render("agreement.html.jinja", name=work.folder.resolve().name, overall=overall, **values)


def _cards(work: Work, conflicts: int, shown: int, images: Path | None) -> Iterator[dict[str, Any]]:
    """Yield disputed sentences, evenly spaced: each person's answer in pieces, and a picture if there is one."""
    chosen = {number * conflicts // shown for number in range(shown)}
    disputed = (
        record for record in work.records("agree") if len(set(map(frozenset, answers_of(record).values()))) > 1
    )
    for number, record in enumerate(disputed):
        if number in chosen:
            answers = answers_of(record)
            shared = set.intersection(*answers.values())
            lines = [(name, _pieces(record, found, shared)) for name, found in answers.items()]
            picture = _thumbnail(record, images)
            yield {"uid": record.uid, "lines": lines, "picture": picture, "note": tasks.note_of(record)}


def _pieces(record: Record, found: set[Entity], shared: set[Entity]) -> Any:
    from dataset_scripts.marked_sentences import cut_into_pieces  # loads torch, as does the next one
    from modeling_2mner.spans import Span as TypedSpan

    styles = {TypedSpan(e[2], e[0], e[1]): "right" if e in shared else "wrong" for e in sorted(found)}
    return cut_into_pieces(record.tokens, styles)[0]


def _thumbnail(record: Record, images: Path | None) -> Any:
    if images is None or tasks.find_picture(record, images) is None:
        return None
    from dataset_scripts.build.pictures import read_picture_file
    from dataset_scripts.thumbnails import make_thumbnail

    picture = read_picture_file(images, record.image_id)
    return make_thumbnail(picture.image, picture.status, THUMBNAIL)
