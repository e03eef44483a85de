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

import httpx
import pytest
from PIL import Image

from dataset_scripts.construct.__main__ import main
from dataset_scripts.construct.records import Record, Span, joined
from dataset_scripts.construct.stages import Work

PROGRAM = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
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


def test_sentences_go_through_label_studio_and_come_back(server, ask, place, monkeypatch, capsys):
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)
    work = Work(place / "round trip", quiet=True)
    work.write_records("tweets", take, {}, {})
    pictures = ["--images", str(place / "files" / "pictures"), "--document_root", str(place / "files")]
    tasks = ["tasks", str(work.folder), "--format", "label_studio", "--server", server, *pictures]
    main(tasks)
    assert "3 tasks imported" in capsys.readouterr().out
    main(tasks)  # nothing is imported twice
    assert "0 tasks imported" in capsys.readouterr().out

    (project,) = (found for found in ask("GET", "/api/projects")["results"] if found["title"] == "round trip")
    assert "GPE" in project["expert_instruction"] and project["maximum_annotations"] == 2
    imported = ask("GET", "/api/tasks", params={"project": project["id"], "fields": "all"})["tasks"]
    by_uid = {task["data"]["uid"]: task for task in imported}
    assert [task["data"]["uid"] for task in sorted(imported, key=lambda task: task["id"])][
        0
    ] == "es/O_2"  # lowest score
    assert len(ask("GET", "/api/storages/localfiles", params={"project": project["id"]})) == 1
    task = by_uid[f"es/{PICTURE}"]
    assert ask("GET", task["data"]["image"])[:2] == b"\xff\xd8"  # the picture, though its name has % and #
    shown = {(e["value"]["start"], e["value"]["end"], e["value"]["text"]) for e in task["predictions"][0]["result"]}
    assert shown == {(18, 23, "París"), (28, 36, "Ana Ruiz")}  # code points

    people = [
        ask("POST", "/api/users/", json={"email": f"{name}@example.org", "username": name}) for name in ("ana", "ben")
    ]
    ana, ben = (person["id"] for person in people)
    text = task["data"]["text"]
    second = by_uid["es/O_2"]["data"]["text"]
    answers = [
        (ana, f"es/{PICTURE}", [label((18, 23, "LOC"), text), label((28, 36, "PER"), text)]),
        (ben, f"es/{PICTURE}", [label((18, 23, "LOC"), text), label((28, 31, "PER"), text)]),
        (ana, "es/O_2", [result(5, 10, "Bruma", "ORG")]),  # UTF-16: the flag counts four
        (ben, "es/O_2", [label((3, 8, "ORG"), second), {"from_name": "flag", "to_name": "text", "type": "choices", "value": {"choices": ["picture missing"]}}]),
        (ana, "fr/O_3", [result(0, 999, "Rien", "CITY")]),
    ]  # fmt: skip
    for person, uid, found in answers:
        ask("POST", f"/api/tasks/{by_uid[uid]['id']}/annotations", json={"completed_by": person, "result": found})
    main(["collect", str(work.folder), "--server", server])
    said = {record.uid: record.annotations for record in work.records("agree")}
    assert [(entry["by"], entry["spans"][-1]["end"]) for entry in said[f"es/{PICTURE}"]] == [("ana", 8), ("ben", 7)]
    assert [entry["spans"] for entry in said["es/O_2"]] == [[{"start": 1, "end": 2, "type": "ORG"}]] * 2
    assert said["fr/O_3"][0]["status"] == "refused"

    main(["agree", str(work.folder), "--server", server])
    assert "1 tasks imported for the inspector" in capsys.readouterr().out
    inspect(ask, text)
    main(["adjudicate", str(work.folder), "--server", server])
    gold = {record.uid: record.gold for record in work.records("release")}
    assert [(e.start, e.end, e.type, e.by) for e in gold[f"es/{PICTURE}"]] == [
        (4, 5, "LOC", "eva"),
        (6, 8, "PER", "eva"),
    ]
    assert [(e.start, e.end, e.type, e.by) for e in gold["es/O_2"]] == [(1, 2, "ORG", "ana+ben")]
    assert gold["fr/O_3"] is None
    exported = json.dumps(
        ask(
            "GET", f"/api/projects/{project['id']}/export", params={"exportType": "JSON", "download_all_tasks": "true"}
        )
    )
    (work.folder / "export.json").write_text(exported, "utf-8")
    names = {ana: "ana", ben: "ben"}
    (work.folder / "users.json").write_text(json.dumps(names), "utf-8")
    before = {uid: [{**entry, "round": ""} for entry in entries] for uid, entries in said.items()}
    main(
        [
            "collect",
            str(work.folder),
            "--answers",
            str(work.folder / "export.json"),
            "--users",
            str(work.folder / "users.json"),
        ]
    )
    after = {record.uid: [{**entry, "round": ""} for entry in record.annotations] for record in work.records("agree")}
    assert after == before


def inspect(ask, text):
    """Settle the one conflict as Ana has it."""
    (project,) = (
        found for found in ask("GET", "/api/projects")["results"] if found["title"] == "round trip (inspector)"
    )
    (task,) = ask("GET", "/api/tasks", params={"project": project["id"], "fields": "all"})["tasks"]
    assert sorted(shown["model_version"] for shown in task["predictions"]) == ["ana", "ben"]
    eva = ask("POST", "/api/users/", json={"email": "eva@example.org", "username": "eva"})["id"]
    found = [label((18, 23, "LOC"), text), label((28, 36, "PER"), text)]
    ask("POST", f"/api/tasks/{task['id']}/annotations", json={"completed_by": eva, "result": found})
