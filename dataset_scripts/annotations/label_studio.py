"""Label Studio (1.23): its files of tasks and its exports, and the same through its HTTP interface.

A project is known by its title, a task by the `uid` in its data, and pictures are served from a folder on the server's
disk. The words are joined by blanks, so that every entity can be traced back to words. Label Studio counts code points;
some of its older editors counted UTF-16 units, which is noticed by the text of the entity.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dataset_scripts.annotations.jsonl import DONE, FLAGS, REFUSED, SKIPPED, Answer, Task
from dataset_scripts.construct.records import Span, joined
from reports_2mner.files import write_json
from reports_2mner.html import render

TOKEN = "LABEL_STUDIO_TOKEN"
TASKS_PER_FILE = 500
NO_PICTURE = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
TIMEOUT = 120  # seconds, for each request
MOST_TITLE = 50  # characters
PROJECT = "project.json"


class LabelStudio:
    """Files of tasks to import, and exports of the type JSON; see `annotation.AnnotationFormat`.

    Args:
        users: names of users by their number; others are called user-7.
    """

    def __init__(self, users: Mapping[int, str] | None = None) -> None:
        self._users = users or {}

    def write(self, folder: Path, name: str, tasks: Iterable[Task]) -> None:
        """Write files `NAME-00000.json` of `TASKS_PER_FILE` tasks each."""
        remaining, number = map(_task, tasks), 0
        while chunk := list(islice(remaining, TASKS_PER_FILE)):
            write_json(folder / f"{name}-{number:05d}.json", chunk, ensure_ascii=False)
            number += 1

    def read(self, path: Path) -> Iterator[Answer]:
        """Yield the answers of an export, the last one of each person for each task."""
        try:
            tasks = json.loads(path.read_text("utf-8"))
            yield from self.answers(tasks, path.parent.name)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no export of Label Studio of the type JSON ({type(error).__name__}: {error}); export it again."
            ) from error

    def answers(self, tasks: Iterable[Mapping[str, Any]], round: str) -> Iterator[Answer]:
        """Yield the answers in exported tasks."""
        for task in tasks:
            for said in sorted(task["annotations"], key=lambda said: said["id"]):
                user = said["completed_by"]
                number = user["id"] if isinstance(user, Mapping) else user
                yield _answer(task["data"], said, self._users.get(number, f"user-{number}"), round)


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


class Server:
    """A Label Studio server.

    Args:
        url: its address.
        token: the access token of its owner (by default the environment variable LABEL_STUDIO_TOKEN).
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        import httpx

        token = token or os.environ.get(TOKEN, "")
        if not token:
            raise ValueError(f"`server` needs the access token of its owner in the environment variable {TOKEN}.")
        headers = {"Authorization": f"Token {token}"}
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT)

    def push(self, folder: Path, name: str, pictures: Path | None = None) -> int:
        """Make the project of a folder if needed, and import the tasks that it does not have; return how many these are.

        Args:
            folder: with `project.json` and files of tasks.
            name: with which these begin.
            pictures: the folder of the pictures, as the server sees it.
        """
        settings = json.loads((folder / PROJECT).read_text("utf-8"))
        project = self.project(settings["title"]) or self._ask("POST", "/api/projects", json=settings)["id"]
        if pictures is not None:
            self._serve(project, os.path.abspath(pictures))
        known = {task["data"].get("uid") for task in self._tasks(project)}
        imported = 0
        for path in sorted(folder.glob(f"{name}-*.json")):
            new = [task for task in json.loads(path.read_text("utf-8")) if task["data"]["uid"] not in known]
            if new:
                self._ask("POST", f"/api/projects/{project}/import", json=new)
            imported += len(new)
        return imported

    def answers(self, title: str) -> Iterator[Answer]:
        """Yield the answers in the project of this title."""
        project = self.project(title)
        if project is None:
            raise ValueError(f"`project` {title!r} is not on the server; run `tasks --server` first, or name another.")
        users = {user["id"]: _name(user) for user in self._ask("GET", "/api/users/")}
        asked = {"exportType": "JSON", "download_all_tasks": "true"}
        exported = self._ask("GET", f"/api/projects/{project}/export", params=asked)
        try:
            yield from LabelStudio(users).answers(exported, title)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"`project` {title!r} has a task that `tasks` did not write ({error}); remove it."
            ) from error

    def project(self, title: str) -> int | None:
        """Return the number of the project with this title."""
        return next((found["id"] for found in self._pages("/api/projects", {}) if found["title"] == title), None)

    def _serve(self, project: int, folder: str) -> None:
        """Let the server show the pictures of a folder."""
        present = self._ask("GET", "/api/storages/localfiles", params={"project": project})
        if all(storage["path"] != folder for storage in present):
            storage = {"project": project, "title": "pictures", "path": folder, "use_blob_urls": True}
            self._ask("POST", "/api/storages/localfiles", json=storage)

    def _tasks(self, project: int) -> Iterator[dict[str, Any]]:
        return self._pages("/api/tasks", {"project": project, "fields": "all"})

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the entries of all pages of a listing."""
        page, seen = 1, 0
        while True:
            found = self._ask("GET", path, params={**params, "page": page, "page_size": TASKS_PER_FILE})
            entries = found.get("results", found.get("tasks"))
            yield from entries
            page, seen = page + 1, seen + len(entries)
            if not entries or seen >= found.get("count", found.get("total", 0)):
                return

    def _ask(self, method: str, path: str, **keywords: Any) -> Any:
        """Send a request; ValueError tells what the server answered."""
        import httpx

        try:
            answer = self._http.request(method, path, **keywords)
        except httpx.HTTPError as error:
            raise ValueError(f"`server` {self._http.base_url} cannot be reached ({error}); start it first.") from error
        if answer.is_error:
            raise ValueError(
                f"`server` refused {method} {path}: {answer.status_code} {answer.text[:500]}; check {TOKEN}, and that "
                "it was started with --enable-legacy-api-token."
            )
        return answer.json()


def _task(task: Task) -> dict[str, Any]:
    record = task.record
    text, offsets = joined(record.tokens)
    data = {"uid": record.uid, "lang": record.lang, "text": text, "tokens": list(record.tokens)}
    data |= {"image": task.image or NO_PICTURE, "note": task.note or " "}
    proposals = dict(task.others) or {"proposed": task.spans}
    predictions = [
        {
            "model_version": name,
            "score": _score(spans),
            "result": [_result(span, n, text, offsets) for n, span in enumerate(spans)],
        }
        for name, spans in proposals.items()
    ]
    return {"data": data, "predictions": predictions}


def _result(span: Span, number: int, text: str, offsets: Sequence[tuple[int, int]]) -> dict[str, Any]:
    start, end = offsets[span.start][0], offsets[span.end - 1][1]
    value = {"start": start, "end": end, "text": text[start:end], "labels": [span.type]}
    result = {"id": f"e{number}", "from_name": "label", "to_name": "text", "type": "labels", "value": value}
    return result if span.score is None else {**result, "score": span.score}


def _score(spans: Sequence[Span]) -> float:
    return min((span.score for span in spans if span.score is not None), default=1.0)


def _answer(data: Mapping[str, Any], said: Mapping[str, Any], by: str, round: str) -> Answer:
    """Return one annotation of a task as an answer."""
    tokens = tuple(data["tokens"])
    if said["was_cancelled"]:
        return Answer(data["uid"], by, tokens, status=SKIPPED, round=round)
    text, offsets = joined(tokens)
    flags: list[str] = []
    places: set[tuple[int, int, str]] = set()
    widened = 0
    for result in said["result"]:
        value = result["value"]
        if result["type"] == "choices":
            flags += value["choices"]
        elif result["type"] == "labels":
            found = _characters(text, value)
            words = found and _words(offsets, *found)
            if found is None or not words:
                reason = f"{value.get('text')!r} is not at {value['start']} to {value['end']}"
                return Answer(data["uid"], by, tokens, status=REFUSED, round=round, reason=reason)
            widened += found != (offsets[words[0]][0], offsets[words[1] - 1][1])
            places |= {(*words, label) for label in value["labels"]}
    spans = tuple(Span(*place) for place in sorted(places))
    return Answer(data["uid"], by, tokens, spans, DONE, tuple(sorted(set(flags))), round, widened=widened)


def _characters(text: str, value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return start and end of an entity in code points; None if its text is not there."""
    start, end, words = value["start"], value["end"], value.get("text")
    if words is None or text[start:end] == words:
        return (start, end) if 0 <= start < end <= len(text) else None
    units = text.encode("utf-16-le")
    if units[2 * start : 2 * end].decode("utf-16-le", "replace") != words:
        return None
    start = len(units[: 2 * start].decode("utf-16-le", "replace"))
    return start, start + len(words)


def _words(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int] | None:
    """Return the first and the one behind the last of the words that share a character with this stretch."""
    touched = [n for n, (first, last) in enumerate(offsets) if first < end and last > start]
    return (touched[0], touched[-1] + 1) if touched else None


def _name(user: Mapping[str, Any]) -> str:
    return str(user.get("username") or f"user-{user['id']}")


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
