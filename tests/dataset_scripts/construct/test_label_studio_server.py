"""The whole way through a real Label Studio server: its project, pictures, import, answers, export and inspection.

The server lives in an environment of its own, because it pins other versions than the project:

    python -m venv ls && ls/bin/pip install label-studio==1.23.2
    LABEL_STUDIO=ls/bin/label-studio python -m pytest -m slow tests/dataset_scripts/construct/test_label_studio_server.py
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time

import pytest
from PIL import Image

from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Work

PROGRAM = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
httpx = pytest.importorskip("httpx")
TOKEN = "0123456789" * 4
STARTING = 600  # seconds; the first start makes a data base
PICTURE = "00000001---a b#1%2F"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROGRAM is None, reason="no Label Studio: name its program in the environment, LABEL_STUDIO=..."
    ),
]


def sentence(lang, image_id, words, *spans) -> Record:
    text, offsets = joined(words.split())
    return Record(f"{lang}/{image_id}", image_id, lang, "other", text, tuple(words.split()), offsets, spans=spans)


RECORDS = [
    sentence(
        "es",
        PICTURE,
        "🎉 Fiesta 👨‍👩‍👧 en París con Ana Ruiz",
        Span(4, 5, "LOC", "test", score=0.9),
        Span(6, 8, "PER", "test"),
    ),
    sentence("es", "O_2", "🇪🇸 Bruma gana 🏆", Span(1, 2, "LOC", "test", score=0.2)),
    sentence("fr", "O_3", "Rien ici"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The server's folder of files, with one picture."""
    folder = tmp_path_factory.mktemp("label_studio")
    (folder / "files" / "pictures").mkdir(parents=True)
    Image.new("RGB", (40, 30), "teal").save(folder / "files" / "pictures" / f"{PICTURE}.jpg")
    return folder


@pytest.fixture(scope="module")
def server(place):
    """The address of a server that is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
    }
    served = {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(place / "files"),
    }
    command = [PROGRAM, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(place / "data"), "--username", "owner@example.org", "--password", "Ab3-not-secret"]
    command += ["--user-token", TOKEN, "--enable-legacy-api-token"]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **quiet, **served}, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, place / "log")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def take(counts):
    counts.read += len(RECORDS)
    return iter(RECORDS)


def wait_for(address, process, log):
    for _ in range(STARTING):
        try:
            if httpx.get(f"{address}/health", timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        if process.poll() is not None:
            break
        time.sleep(1)
    pytest.fail(f"Label Studio did not start: {log.read_text()[-2000:]}")


@pytest.fixture
def ask(server):
    """Ask the server with its owner's token; returns the JSON."""

    def request(method, path, **keywords):
        answer = httpx.request(
            method, server + path, headers={"Authorization": f"Token {TOKEN}"}, timeout=120, **keywords
        )
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers["content-type"] else answer.content

    return request


def result(start, end, text, kind):
    value = {"start": start, "end": end, "text": text, "labels": [kind]}
    return {"from_name": "label", "to_name": "text", "type": "labels", "value": value}


def label(entity, text):
    start, end, kind = entity
    return result(start, end, text[start:end], kind)


def flag(remark):
    return {"from_name": "flag", "to_name": "text", "type": "choices", "value": {"choices": [remark]}}


def imported_tasks(ask, title):
    """The project of a title and its tasks, in the order of the import."""
    (project,) = (found for found in ask("GET", "/api/projects")["results"] if found["title"] == title)
    tasks = ask("GET", "/api/tasks", params={"project": project["id"], "fields": "all"})["tasks"]
    return project, sorted(tasks, key=lambda task: task["id"])


def make_user(ask, name):
    return ask("POST", "/api/users/", json={"email": f"{name}@example.org", "username": name})["id"]


def say(ask, task, person, *found):
    ask("POST", f"/api/tasks/{task['id']}/annotations", json={"completed_by": person, "result": found})


def check_project(ask, project, tasks):
    """The order, the instructions, the picture, and places that count code points."""
    assert "GPE" in project["expert_instruction"] and project["maximum_annotations"] == 2
    assert [task["data"]["uid"] for task in tasks] == ["es/O_2", f"es/{PICTURE}", "fr/O_3"]  # the lowest score first
    assert len(ask("GET", "/api/storages/localfiles", params={"project": project["id"]})) == 1
    assert ask("GET", tasks[1]["data"]["image"])[:2] == b"\xff\xd8"  # a JPEG, though its name has % and #
    places = [result["value"] for result in tasks[1]["predictions"][0]["result"]]
    shown = [(value["start"], value["end"], value["text"]) for value in places]
    assert shown == [(18, 23, "París"), (28, 36, "Ana Ruiz")]


def annotate(ask, tasks):
    """Ana and Ben differ on the first sentence of the records; return their numbers."""
    ana, ben = make_user(ask, "ana"), make_user(ask, "ben")
    flagged, text, other = tasks[1], tasks[1]["data"]["text"], tasks[0]["data"]["text"]
    say(ask, flagged, ana, label((18, 23, "LOC"), text), label((28, 36, "PER"), text))
    say(ask, flagged, ben, label((18, 23, "LOC"), text), label((28, 31, "PER"), text))
    say(ask, tasks[0], ana, result(5, 10, "Bruma", "ORG"))  # UTF-16, where the flag counts four
    say(ask, tasks[0], ben, label((3, 8, "ORG"), other), flag("picture missing"))
    say(ask, tasks[2], ana, result(0, 999, "Rien", "CITY"))
    return {ana: "ana", ben: "ben"}


def inspect(ask):
    """Settle the one conflict as Ana has it."""
    _, (task,) = imported_tasks(ask, "round trip (inspector)")
    assert sorted(shown["model_version"] for shown in task["predictions"]) == ["ana", "ben"]
    text = task["data"]["text"]
    say(ask, task, make_user(ask, "eva"), label((18, 23, "LOC"), text), label((28, 36, "PER"), text))


def without_round(work):
    return {record.uid: [{**said, "round": ""} for said in record.annotations] for record in work.records("agree")}


def test_sentences_go_through_label_studio_and_come_back(server, ask, place, monkeypatch, capsys):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)
    work, at = Work(place / "round trip", quiet=True), ["--server", server]
    work.write_records("tweets", take, {}, {})
    pictures = ["--images", str(place / "files" / "pictures"), "--document_root", str(place / "files")]
    for number in (3, 0):  # the second time nothing is imported again
        main(["tasks", str(work.folder), "--format", "label_studio", *at, *pictures])
        assert f"{number} tasks imported" in capsys.readouterr().out
        if number:  # a double, as an import leaves that was ended late; the second command removes it
            project, tasks = imported_tasks(ask, "round trip")
            ask("POST", f"/api/projects/{project['id']}/import", json=[{"data": tasks[0]["data"]}])
    project, tasks = imported_tasks(ask, "round trip")
    check_project(ask, project, tasks)
    people = annotate(ask, tasks)

    main(["collect", str(work.folder), *at])
    said = without_round(work)
    assert [(entry["annotator"], entry["spans"][-1]["end"]) for entry in said[f"es/{PICTURE}"]] == [
        ("ana", 8),
        ("ben", 7),
    ]
    assert [entry["spans"] for entry in said["es/O_2"]] == [[{"start": 1, "end": 2, "type": "ORG"}]] * 2
    assert said["fr/O_3"][0]["status"] == "refused"

    main(["agree", str(work.folder), *at])
    assert "1 tasks imported into 'round trip (inspector)'" in capsys.readouterr().out
    inspect(ask)
    main(["adjudicate", str(work.folder), *at])
    found = {record.uid: record for record in work.records("release")}
    gold = {
        uid: record.gold and [(e.start, e.end, e.type, e.by) for e in record.gold] for uid, record in found.items()
    }
    assert gold[f"es/{PICTURE}"] == [(4, 5, "LOC", "eva"), (6, 8, "PER", "eva")]
    assert gold["es/O_2"] == [(1, 2, "ORG", "ana+ben")] and found["es/O_2"].flags == ("picture missing",)
    assert gold["fr/O_3"] is None

    asked = {"exportType": "JSON", "download_all_tasks": "true"}
    exported, users = work.folder / "export.json", work.folder / "users.json"
    exported.write_text(json.dumps(ask("GET", f"/api/projects/{project['id']}/export", params=asked)), "utf-8")
    users.write_text(json.dumps(people), "utf-8")
    main(["collect", str(work.folder), "--answers", str(exported), "--users", str(users)])
    assert without_round(work) == said  # a file that was exported by hand says the same
