"""Files for Label Studio (1.23): tasks to import, the settings of their project, and exports of the type JSON.

A task is known by the `uid` in its data. The words are joined by blanks, so that every entity can be traced back to
words; sentences of other projects, which have only text, are split by whoever reads them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataset_scripts.annotations.jsonl import KeyNames, renamed_keys
from dataset_scripts.annotations.sentence import (
    DONE,
    FLAGS,
    OPEN,
    SKIPPED,
    Faults,
    Mention,
    Offsets,
    Sentence,
    Splitter,
    Task,
    joined,
    mentions_of,
    parse_json,
)
from reports_2mner.files import write_json
from reports_2mner.html import render
from reports_2mner.label_studio_format import code_points, prediction

TASKS_PER_FILE = 500
NO_PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
MOST_TITLE = 50  # characters
PROJECT = "project.json"
UNREAD_SPANS = ("hypertextlabels", "paragraphlabels")  # of HTML and of dialogues


def read_label_studio(
    path: Path,
    faults: Faults,
    split: Splitter | None = None,
    users: Mapping[int, str] | None = None,
    columns: KeyNames | None = None,
) -> Iterator[Sentence]:
    """Yield a sentence for each annotation of an export, and an open one for each task without any.

    Args:
        path: the export, of the type JSON.
        faults: takes the tasks that cannot be read.
        split: splits the `text` of tasks without `tokens` into words; without it these are faults.
        users: names of users by their number; others are called user-7.
        columns: names of keys in the data of a task by ours, such as text and image.
    """
    try:
        tasks = parse_json(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        faults.add(str(path), error, "export it again, as JSON")
        return
    except ValueError as error:
        faults.add(str(path), f"no JSON ({error})", "export it again, as JSON")
        return
    yield from sentences_of(tasks, str(path), path.parent.name, faults, split, users, columns)


def sentences_of(
    tasks: Any,
    origin: str,
    round: str,
    faults: Faults,
    split: Splitter | None = None,
    users: Mapping[int, str] | None = None,
    columns: KeyNames | None = None,
) -> Iterator[Sentence]:
    """Yield the sentences of exported tasks, as `read_label_studio` does; the annotations in the order of their making.

    Args:
        tasks: the export.
        origin: the file or project, for messages.
        round: of the annotations.
        faults: takes the tasks that cannot be read.
        split: splits texts into words.
        users: names of users by their number.
        columns: names of keys in the data of a task by ours.
    """
    if not isinstance(tasks, list):
        faults.add(origin, "no list of tasks", "export it again, as JSON and not as JSON_MIN")
        return
    for number, task in enumerate(tasks, start=1):
        place = f"{origin}, task {number}"
        try:
            sentences = list(_sentences(task, place, round, split, users or {}, columns))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            faults.add(place, error, "export it again, as JSON, or remove the task")
        else:
            yield from sentences


def write_label_studio_tasks(folder: Path, name: str, tasks: Iterable[Task]) -> None:
    """Write files `NAME-00000.json` of `TASKS_PER_FILE` tasks each."""
    remaining, number = map(_task, tasks), 0
    while chunk := list(islice(remaining, TASKS_PER_FILE)):
        write_json(folder / f"{name}-{number:05d}.json", chunk, ensure_ascii=False)
        number += 1


def project_settings(
    title: str, types: Sequence[str], guideline: str, answers: int = 2, flags: Sequence[str] = FLAGS
) -> dict[str, Any]:
    """Return what Label Studio needs to make a project.

    Args:
        title: its name; 3 to 50 characters.
        types: of entities.
        guideline: Markdown with headings, paragraphs and lists, shown as instructions.
        answers: how many people should answer each task.
        flags: remarks to choose from.
    """
    if not 3 <= len(title) <= MOST_TITLE:
        raise ValueError(f"`project` must have 3 to {MOST_TITLE} characters in Label Studio, got {title!r}.")
    return {
        "title": title,
        "label_config": render("label_studio.xml.jinja", types=types, flags=flags),
        "expert_instruction": render("guideline.html.jinja", blocks=_blocks(guideline)),
        "show_instruction": True,
        "maximum_annotations": answers,
        "show_collab_predictions": True,
        "sampling": "Sequential sampling",  # the tasks are in the order in which they should be answered
    }


def local_address(picture: Path, root: Path) -> str:
    """Return the address under which Label Studio serves a picture.

    Args:
        picture: its file.
        root: the server's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT.
    """
    return f"/data/local-files/?d={quote(Path(os.path.relpath(picture, root)).as_posix())}"


def _task(task: Task) -> dict[str, Any]:
    told = task.sentence
    text, offsets = joined(told.words)
    data = {"uid": told.uid, "lang": told.lang, "text": text, "tokens": list(told.words)}
    data |= {"image": told.image or NO_PICTURE, "note": task.note or " "}
    others = {name: mentions_of(entities, offsets) for name, entities in task.others.items()}
    found = others or {"proposed": tuple(_in_words(told, offsets))}
    return {"data": data, "predictions": [prediction(text, mentions, name) for name, mentions in found.items()]}


def _in_words(told: Sentence, offsets: Offsets) -> Iterator[Mention]:
    """Yield the mentions, with their scores, at the places of the joined words."""
    for mention in told.mentions:
        (place,) = mentions_of([(*told.words_of(mention), mention.type)], offsets)
        yield place._replace(score=mention.score)


def _sentences(
    task: Mapping[str, Any],
    place: str,
    round: str,
    split: Splitter | None,
    users: Mapping[int, str],
    columns: KeyNames | None,
) -> Iterator[Sentence]:
    """Yield a sentence for each annotation of a task, or an open one."""
    if not isinstance(task, Mapping) or not isinstance(task.get("data"), Mapping):
        raise ValueError(
            "no task of Label Studio, which has `data` (sentences of JSON belong into lines of a file .jsonl)"
        )
    data = renamed_keys(task["data"], columns)
    lang = str(data.get("lang") or "")
    words, text, offsets = _words(data, lang, split)
    image = str(data.get("image") or "")
    told = Sentence(
        words,
        text,
        offsets,
        uid=str(data.get("uid") or task.get("id") or ""),
        lang=lang,
        image="" if image == NO_PICTURE else image,
        status=OPEN,
        round=round,
        place=place,
        part=str(data.get("split") or ""),
    )
    annotations = task.get("annotations") or []  # files to import have none
    for said in sorted(annotations, key=lambda said: said["id"]):
        user = said["completed_by"]
        number = user["id"] if isinstance(user, Mapping) else user
        yield _answer(replace(told, annotator=users.get(number, f"user-{number}")), said)
    if not annotations:
        yield told


def _words(data: Mapping[str, Any], lang: str, split: Splitter | None) -> tuple[tuple[str, ...], str, Offsets]:
    if "tokens" in data:
        words = tuple(data["tokens"])
        return words, *joined(words)
    if split is None:
        raise ValueError("the task has no `tokens`, and was not written by `tasks`")
    if not isinstance(data["text"], str):
        raise ValueError(f"`text` must be text, got {data['text']!r}")
    data["text"].encode()  # raises UnicodeEncodeError, a ValueError, for half of a surrogate pair
    found, places = split(data["text"], lang)
    return tuple(found), data["text"], tuple((start, end) for start, end in places)


def _answer(told: Sentence, said: Mapping[str, Any]) -> Sentence:
    """Return one annotation of a task."""
    if said["was_cancelled"]:
        return replace(told, status=SKIPPED)
    flags: set[str] = set()
    mentions: set[Mention] = set()
    for result in said["result"]:
        if result["type"] in UNREAD_SPANS:
            raise ValueError(
                f"the spans of the type {result['type']!r} are not counted in a text; annotate a `Text` tag"
            )
        value = result.get("value", {})  # a relation has none
        if result["type"] == "choices":
            flags |= set(value["choices"])
        elif result["type"] == "labels":
            found = code_points(told.text, value)
            if found is None:
                fault = f"{value.get('text')!r} is not at {value['start']} to {value['end']}"
                return replace(told, status=DONE, fault=fault)
            mentions |= {Mention(*found, label) for label in value["labels"]}
    return replace(
        told,
        status=DONE,
        mentions=tuple(sorted(mentions)),
        flags=tuple(sorted(flags)),
        settled=bool(said.get("ground_truth")),
    ).checked()


def _blocks(text: str) -> list[tuple[str, list[str]]]:
    """Return the blocks of a Markdown text: its headings, lists and paragraphs, with the lines of each."""
    blocks: list[tuple[str, list[str]]] = []
    for block in filter(None, map(str.strip, text.split("\n\n"))):
        lines = [line.strip() for line in block.splitlines()]
        if block.startswith("#"):
            blocks.append(("heading", [block.lstrip("#").strip()]))
        elif block.startswith("- "):
            items = "\n".join(["", *lines]).split("\n- ")[1:]
            blocks.append(("list", [" ".join(item.split()) for item in items]))
        else:
            blocks.append(("text", lines))
    return blocks
