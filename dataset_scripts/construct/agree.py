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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.agreement_report import PUBLIC, AgreementReport, matrix_of, shown, tables_of
from dataset_scripts.annotations.answers import Answers, find_answers
from dataset_scripts.annotations.sentence import DONE, Task
from dataset_scripts.build.engine import Engine
from dataset_scripts.construct import tasks
from dataset_scripts.construct.answers import CONFLICT, answers_of, entities_of, verdict
from dataset_scripts.construct.records import Record, Span
from dataset_scripts.construct.stages import Counts, Work
from reports_2mner.command_line import at_least, between, option
from reports_2mner.files import write_file, write_json
from reports_2mner.html import render

THUMBNAIL = 160  # longer side in pixels


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
        figures = _report(work, counts, gold.read(), given.answers).figures()
        tables = tables_of(figures)
        write_json(folder / "agreement.json", figures, indent=1, ensure_ascii=False)
        # This one goes into cards, so it has no names of people.
        write_file(folder / "agreement.md", "\n".join(f"{name}:\n\n{tables[name].markdown()}\n" for name in PUBLIC))
        values = {"overall": figures["overall"], "matrix": matrix_of(figures), "tables": tables}
        cards = list(_cards(work, figures["overall"]["conflicts"], settings.shown, given.images))
        page = render("agreement.html.jinja", name=work.folder.resolve().name, cards=cards, **values)
        write_file(folder / "agreement.html", page)
        tasks.write_tasks(folder / tasks.INSPECTOR, work, given, tasks.INSPECTOR, _inspections(work, given))

    plain = {"shown": settings.shown, "gold": gold.key(), "tasks": tasks.hash_of(vars(given))}
    manifest = work.perform("agree", write, plain, work.inputs("agree"))
    tasks.push_tasks(work.place("agree") / tasks.INSPECTOR, tasks.INSPECTOR, given, settings.server)
    _check(work.place("agree"), settings.minimum_f1)
    return manifest


def _check(folder: Path, minimum: float | None) -> None:
    f1 = json.loads((folder / "agreement.json").read_text("utf-8"))["overall"]["span F1"]
    if minimum is not None and (f1 is None or f1 < minimum):
        raise ValueError(
            f"span F1 between annotators is {shown(f1)}, below `minimum_f1` {minimum:g}; see "
            f"{folder / 'agreement.html'} for what is disputed, and settle it in the guideline."
        )


def _report(work: Work, counts: Counts, gold: Answers, least: int) -> AgreementReport:
    report = AgreementReport()
    for record in work.records("agree"):
        counts.read += 1
        right = [set(answer.entities) for answer in gold.get(record.uid, {}).values() if answer.status == DONE]
        proposed = {(span.start, span.end, span.type) for span in record.spans if span.is_label}
        for said in record.annotations:
            report.add_answer(said, entities_of(said), proposed, right[-1] if right else None)
        report.add_sentence(tasks.sentence_of(record), record.source, answers_of(record))
        counts.notes[f"sentences: {verdict(record, least)}"] += 1
    counts.written = report.overall.sentences
    if alone := counts.read - counts.written:
        counts.removed["fewer than two finished answers"] = alone
    return report


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
