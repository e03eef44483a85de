"""The backend beside a real Label Studio server: connecting, predicting, what is stored; see `tests/running_label_studio.py`."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import pytest

from modeling_2mner import TwoMNERPipeline
from tests.running_label_studio import PROGRAM, REASON, TOKEN, label_studio

httpx = pytest.importorskip("httpx")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason=REASON)]

ROOT = Path(__file__).resolve().parents[3]
PICTURE = "a b#1%2F.png"
CONFIG = """<View>
  <Labels name="entity" toName="words"><Label value="Person" predicted_values="PER"/><Label value="LOC"/>
    <Label value="ORG"/><Label value="MISC"/></Labels>
  <Text name="words" value="$sentence" granularity="word"/><Image name="photo" value="$picture"/>
</View>"""
OTHER_LABELS = CONFIG.replace("PER", "").replace('"LOC"', '"Place"').replace("ORG", "Firm").replace("MISC", "Rest")
TEXTS = [
    "🎉 Fiesta 👨‍👩‍👧 en París con Ana Ruiz",
    "🇪🇸 Anna Meier gana 🏆 in Köln",
    "é Hi",
    "Le Louvre est à Paris",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory, make_picture):
    """The folder of Label Studio's files, with one picture."""
    folder = tmp_path_factory.mktemp("label_studio")
    (folder / "files" / "pictures").mkdir(parents=True)
    make_picture(1).save(folder / "files" / "pictures" / PICTURE)
    return folder


@pytest.fixture(scope="module")
def ask(place):
    """Ask Label Studio with its owner's token; returns the JSON of its answer, which has the status `expected`."""
    # On a busy machine, the backend may take more than the second that Label Studio gives it to say that it is well.
    patient = {"ML_TIMEOUT_HEALTH": "60", "ML_TIMEOUT_SETUP": "60", "ML_CONNECTION_TIMEOUT": "60"}
    local = {"ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false"}  # the second is for its webhook
    with label_studio(place, **local, **patient) as address:

        def request(method, path, expected=None, **keywords):
            headers = {"Authorization": f"Token {TOKEN}"}
            answer = httpx.request(method, address + path, headers=headers, timeout=120, **keywords)
            assert answer.status_code == expected or (expected is None and answer.is_success), answer.text[-2000:]
            return answer.json()

        yield request


@pytest.fixture(scope="module")
def backend(place, make_model, processor):
    """The address of the backend, in a process of its own."""
    make_model().save_pretrained(place / "tiny")
    processor.save_pretrained(place / "tiny")
    command = [sys.executable, "-m", "training_2mner.serve", str(place / "tiny"), "--port", "0", "--device", "cpu"]
    command += ["--label_studio", "--document_root", str(place / "files")]
    uploads = place / "data" / "media" / "upload"
    uploads.mkdir(parents=True, exist_ok=True)  # before the first upload there is none
    command += ["--upload_root", str(uploads)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        line = next(line for line in process.stderr if b"running on" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield re.search(rb"http://127.0.0.1:\d+", line).group().decode()
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def tagger(make_model, processor):
    """The pipeline of the same model, called directly."""
    return TwoMNERPipeline(model=make_model(), processor=processor)


def make_project(ask, title, config=CONFIG):
    return ask("POST", "/api/projects", json={"title": title, "label_config": config})["id"]


def upload(ask, picture) -> str:
    """Upload a picture as the import page does, and return the address that its task gets."""
    project = make_project(ask, "uploads", '<View><Image name="photo" value="$image"/></View>')
    picture.save(buffer := BytesIO(), "PNG")
    ask("POST", f"/api/projects/{project}/import", files={"file": ("photo.png", buffer.getvalue(), "image/png")})
    (task,) = ask("GET", "/api/tasks", params={"project": project, "fields": "all"})["tasks"]
    return next(iter(task["data"].values()))


def make_tasks(ask, project, make_picture) -> list[dict]:
    """One task for each kind of picture: of a local folder, in the task, uploaded, and none."""
    make_picture(2).save(buffer := BytesIO(), "PNG")
    pictures = [
        "/data/local-files/?d=pictures/a%20b%231%252F.png",
        f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}",
        upload(ask, make_picture(3)),
        "",
    ]
    tasks = [{"sentence": text, "picture": picture} for text, picture in zip(TEXTS, pictures, strict=True)]
    ask("POST", f"/api/projects/{project}/import", json=tasks)
    found = ask("GET", "/api/tasks", params={"project": project, "fields": "all"})["tasks"]
    return sorted(found, key=lambda task: task["id"])


def expected(tagger, text, picture):
    names = {"PER": "Person"}
    (reading,) = tagger({"text": text, "image": picture}, n_best=1)
    return pytest.approx(reading["score"], abs=1e-4), [
        (each["start"], each["end"], each["word"], [names.get(each["entity_group"], each["entity_group"])])
        for each in reading["entities"]
    ]


def stored(prediction):
    """The places and labels that Label Studio has, which show the same words in its own text."""
    values = [result["value"] for result in prediction["result"]]
    assert {(each["from_name"], each["to_name"], each["type"]) for each in prediction["result"]} <= {
        ("entity", "words", "labels")
    }
    assert all(0 < each["score"] <= 1 for each in prediction["result"])
    return prediction["score"], [(each["start"], each["end"], each["text"], each["labels"]) for each in values]


def test_label_studio_asks_for_predictions_and_stores_them(ask, backend, tagger, make_picture):
    project = make_project(ask, "predicted")
    tasks = make_tasks(ask, project, make_picture)
    made = ask("POST", "/api/ml", json={"project": project, "url": backend, "title": "ours"})
    assert made["readable_state"] == "Connected" and re.fullmatch("tiny-[0-9a-f]{8}", made["model_version"]), made

    retrieved = ask(
        "POST",
        "/api/dm/actions",
        params={"project": project, "id": "retrieve_tasks_predictions"},
        json={"project": str(project), "selectedItems": {"all": True, "excluded": []}},
    )
    assert "4" in str(retrieved), retrieved
    found = {each["task"]: each for each in ask("GET", "/api/predictions", params={"project": project})}
    assert {each["model_version"] for each in found.values()} == {made["model_version"]}
    pictures = [make_picture(1), make_picture(2), make_picture(3), None]
    for task, picture in zip(tasks, pictures, strict=True):
        text = task["data"]["sentence"]
        score, places = stored(found[task["id"]])
        assert (score, places) == expected(tagger, text, picture)
        assert all(text[start:end] == words for start, end, words, _ in places)
    # behind an emoji outside the first plane, where UTF-16 would count two
    assert any(place[0] > 2 for place in stored(found[tasks[0]["id"]])[1])


def test_a_project_with_other_labels_is_told_so_when_it_is_connected(ask, backend):
    project = make_project(ask, "other labels", OTHER_LABELS)

    refused = ask("POST", "/api/ml", expected=400, json={"project": project, "url": backend})
    assert "valid ML backend" in str(refused)
