"""The requests of Label Studio, with a stand-in for the model and over HTTP: configurations, tasks, pictures, failures."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from io import BytesIO

import pytest
from starlette.testclient import TestClient

import training_2mner.serve.service as serving
from modeling_2mner.handler import BadRequest, Limits, read_request
from modeling_2mner.images import load_image
from training_2mner.serve.__main__ import read_command_line
from training_2mner.serve.batching import Batcher, Unavailable
from training_2mner.serve.label_studio import PORTION, LabelStudio, PictureFolders, read_labeling_config

TYPES = ["PER", "LOC"]
CONFIG = """<View>
  <Labels name="label" toName="text"><Label value="PER"/><Label value="LOC"/></Labels>
  <Text name="text" value="$text"/><Image name="photo" value="$image"/>
</View>"""
TWO_GROUPS = """<View>
  <Labels name="parts" toName="body"><Label value="Verb"/></Labels>
  <Labels name="names" toName="body">
    <Label value="Human" predicted_values="PER, ACTOR"/><Label value="Place" predicted_values="LOC" alias="place"/>
  </Labels>
  <Header value="$title"/><Text name="body" value="$tweet"/>
  <Image name="a" value="$first"/><Image name="b" valueList="$others"/><Image name="c" value="fixed.png"/>
</View>"""


class Model:
    """A stand-in for the handler's `answer`: each "Anna" and "Köln" is an entity; it sees the sizes of the pictures."""

    def __init__(self):
        self.seen: list[dict] = []

    def answer(self, sentences: list[dict], parameters: dict) -> list[dict]:
        assert parameters == {"n_best": 1}
        self.seen += sentences
        return [self._one(sentence) for sentence in sentences]

    @staticmethod
    def _one(sentence: dict) -> dict:
        if "fails" in sentence.get("text", ""):
            raise RuntimeError("at /home/of/the/operator")
        pictures = sentence["image"] if isinstance(sentence["image"], list) else [sentence["image"]]
        status = [load_image(picture).status for picture in pictures]
        reading = {"score": 0.4, "entities": list(entities(sentence))}
        answer = {"readings": [reading], "image_status": status[0] if len(status) == 1 else status}
        return {**answer, "error": "no finite scores."} if "unsound" in sentence.get("text", "") else answer


def entities(sentence):
    for name, kind in (("Anna", "PER"), ("Köln", "LOC")):
        words = sentence.get("words")
        start = words.index(name) if words and name in words else -1 if words else sentence["text"].find(name)
        if start >= 0:
            yield {
                "entity_group": kind,
                "score": 0.9,
                "word": name,
                "start": start,
                "end": start + (1 if words else 4),
            }


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_client(model):
    """Build a client of a backend on the stand-in; its folders and limits may be changed."""
    batchers = []

    def build(limits=None, **folders) -> TestClient:
        limits = limits or Limits()
        batchers.append(Batcher(model.answer, max_wait=0))
        backend = LabelStudio(
            "tiny-1234", TYPES, lambda data: read_request(data, limits), PictureFolders(limits=limits, **folders)
        )
        return TestClient(serving.Service("tiny", batchers[-1], max_body=200_000, label_studio=backend).app)

    yield build
    for batcher in batchers:
        batcher.close()


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.fixture
def picture(make_picture):
    """The bytes of a picture."""
    make_picture(0).save(buffer := BytesIO(), "PNG")
    return buffer.getvalue()


def request_of(*tasks, config=CONFIG, **changes):
    listed = [{"id": number, "project": 1, "data": data} for number, data in enumerate(tasks)]
    return {"tasks": listed, "project": "1.17", "label_config": config, "params": {"context": None}, **changes}


def predict(client, *tasks, **changes):
    answer = client.post("/predict", json=request_of(*tasks, **changes))
    assert answer.status_code == 200, answer.text
    assert answer.json()["model_version"] == "tiny-1234"
    return answer.json()["results"]


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_setup_answers_with_the_version_and_health_with_the_state(client):
    sent = {"project": "1.17", "schema": CONFIG, "hostname": "http://127.0.0.1:8080", "access_token": "secret"}

    assert client.post("/setup", json=sent).json() == {"model_version": "tiny-1234"}
    assert client.get("/health").json() == {"model": "tiny", "ready": True, "status": "UP"}
    assert "Label Studio" in client.get("/").json()["usage"]


def test_the_access_token_is_neither_kept_nor_logged(caplog):
    backend = LabelStudio("tiny-1234", TYPES, read_request)
    caplog.set_level(logging.DEBUG)
    asyncio.run(backend.setup({"project": "1.17", "schema": CONFIG, "access_token": "a-secret", "extra_params": None}))

    assert "a-secret" not in repr(vars(backend)) + caplog.text


def test_places_are_code_points_also_behind_emoji(client):
    text = "🎉 👨‍👩‍👧 🇩🇪 Anna in Köln"
    (prediction,) = predict(client, {"text": text})

    places = [result["value"] for result in prediction["result"]]
    assert places == [
        {"start": 11, "end": 15, "text": "Anna", "labels": ["PER"]},
        {"start": 19, "end": 23, "text": "Köln", "labels": ["LOC"]},
    ]
    assert all(text[place["start"] : place["end"]] == place["text"] for place in places)
    assert [(each["id"], each["from_name"], each["to_name"], each["type"]) for each in prediction["result"]] == [
        ("e0", "label", "text", "labels"),
        ("e1", "label", "text", "labels"),
    ]
    assert [each["score"] for each in prediction["result"]] == [0.9, 0.9]
    assert (prediction["score"], prediction["model_version"]) == (0.4, "tiny-1234")


def test_tokens_that_make_up_the_text_are_the_words(client, model):
    task = {"text": "🎉 , 4.5 % Anna", "tokens": ["🎉", ",", "4.5", "%", "Anna"]}
    (prediction,) = predict(client, task)

    assert model.seen[0]["words"] == task["tokens"] and "text" not in model.seen[0]
    assert prediction["result"][0]["value"] == {"start": 10, "end": 14, "text": "Anna", "labels": ["PER"]}


@pytest.mark.parametrize("tokens", [["Anna", "Meier"], "Anna", [1], None, []])
def test_other_tokens_are_not(client, model, tokens):
    predict(client, {"text": "Anna", "tokens": tokens})

    assert model.seen[0]["text"] == "Anna" and "words" not in model.seen[0]


def test_names_fields_and_labels_are_those_of_the_configuration(client):
    task = {"tweet": "Anna in Köln", "title": "no text", "first": "", "others": []}
    (prediction,) = predict(client, task, config=TWO_GROUPS)

    assert [(each["from_name"], each["to_name"]) for each in prediction["result"]] == [("names", "body")] * 2
    assert [each["value"]["labels"] for each in prediction["result"]] == [["Human"], ["place"]]
    assert read_labeling_config(TWO_GROUPS, TYPES).pictures == ("first", "others")


def test_the_configuration_of_setup_serves_requests_without_one(client):
    client.post("/setup", json={"project": "1.17", "schema": CONFIG})

    assert len(predict(client, {"text": "Anna"}, label_config=None)[0]["result"]) == 1
    refused = client.post("/predict", json=request_of({"text": "Anna"}, label_config=None, project="2.17"))
    assert refused.status_code == 400 and "the labelling configuration is missing" in refused.json()["error"]


def test_types_without_a_label_are_named_once_and_left_out(client, caplog):
    config = CONFIG.replace('<Label value="LOC"/>', "")
    client.post("/setup", json={"project": "1.17", "schema": config})

    assert "Project 1.17 has no label for LOC" in caplog.text and "predicted_values" in caplog.text
    (prediction,) = predict(client, {"text": "Anna in Köln"}, config=config)
    assert [each["value"]["text"] for each in prediction["result"]] == ["Anna"]


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (None, "is missing"),
        (" ", "is missing"),
        ("<View>", "is not XML"),
        (f'<!DOCTYPE x [<!ENTITY a "b">]>{CONFIG}', "has a DOCTYPE; remove it"),
        ("<View/>", "no Labels whose toName is a Text; write <View>"),
        (CONFIG.replace('toName="text"', 'toName="photo"'), "no Labels whose toName is a Text"),
        (CONFIG.replace("PER", "Human").replace("LOC", "Place"), 'predicted_values="PER"'),
        (CONFIG.replace('"$text"', '"A fixed text"'), "must show a field"),
        (CONFIG.replace('"$text"', '"$text" valueType="url"'), "must show a field"),
    ],
)
@pytest.mark.parametrize("path", ["/setup", "/predict"])
def test_a_configuration_that_does_not_fit_is_refused_and_logged(client, caplog, path, config, error):
    sent = {"schema": config} if path == "/setup" else request_of({"text": "Anna"}, config=config)
    answer = client.post(path, json=sent)

    assert answer.status_code == 400 and error in answer.json()["error"]
    assert f"Refused {path}" in caplog.text and error in caplog.text  # Label Studio shows only the status


def test_the_example_of_the_error_is_a_configuration():
    with pytest.raises(BadRequest) as error:
        read_labeling_config("<View/>", TYPES)

    assert read_labeling_config(str(error.value).partition("; write ")[2], TYPES).labels == {"PER": "PER"}


@pytest.mark.parametrize("data", [[], {"tasks": None}, {"tasks": {}}, {}])
def test_a_request_of_another_form_is_refused(client, data):
    sent = {"label_config": CONFIG, **data} if isinstance(data, dict) else data

    assert client.post("/predict", json=sent).status_code == 400
    assert client.post("/predict", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    assert client.post("/setup", content=json.dumps({"schema": CONFIG})).status_code == 415


def test_one_bad_task_has_no_prediction_and_stops_no_other(client, caplog):
    tasks = [{"text": "Anna"}, {"other": "Anna"}, {"text": "a secret fails"}, {"text": "unsound"}, {"text": "Köln"}]
    results = predict(client, *tasks)

    assert [bool(result) for result in results] == [True, False, False, False, True]
    assert results[1:4] == [[], [], []]  # Label Studio stores nothing for them
    assert 'Task 1 has no prediction: the field "text"' in caplog.text
    assert "Task 2 has no prediction" in caplog.text and "Task 3 has no prediction: no finite scores" in caplog.text
    assert "/home/of" not in json.dumps(results)


@pytest.mark.parametrize("task", ["Anna", None, {"data": {"text": 7}}, {"id": 3}])
def test_a_request_in_which_no_task_can_be_read_is_refused(client, task):
    answer = client.post("/predict", json={"tasks": [task, task], "label_config": CONFIG})

    assert answer.status_code == 400 and 'the field "text"' in answer.json()["error"]


def test_no_tasks_have_no_predictions(client):
    assert predict(client) == []


def test_many_tasks_are_answered_in_order(client, model):
    tasks = [{"text": f"{'x' * number} Anna"} for number in range(3 * PORTION + 5)]
    results = predict(client, *tasks)

    assert [result["result"][0]["value"]["start"] for result in results] == [
        number + 1 for number in range(len(tasks))
    ]


def test_a_task_beyond_the_limits_is_left_out(make_client, caplog):
    results = predict(make_client(Limits(words=3)), {"text": "Anna"}, {"text": "Anna " * 4})

    assert len(results[0]["result"]) == 1 and results[1] == []
    assert "the request has 4 words" in caplog.text


def test_a_full_queue_is_told():
    async def refuse(sentences, parameters):
        raise Unavailable("256 requests are waiting already; try again later.")

    backend = LabelStudio("tiny-1234", TYPES, read_request)
    with pytest.raises(Unavailable):
        asyncio.run(backend.predict(request_of({"text": "Anna"}), refuse))


def test_pictures_come_from_the_two_folders_and_from_data(make_client, model, picture, tmp_path):
    for folder in ("files/sub", "uploads/7"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a b#1%2F.png").write_bytes(picture)
    client = make_client(document_root=tmp_path / "files", upload_root=tmp_path / "uploads")
    name = "a%20b%231%252F.png"
    sources = [f"/data/local-files/?d=sub/{name}", f"/data/upload/7/{name}", data_uri(picture)]
    results = predict(client, *({"text": f"Anna {source}", "image": source} for source in sources))

    assert [result["image_status"] for result in results] == [["ok"]] * 3
    assert [sentence["image"] for sentence in model.seen] == [[picture]] * 3


def test_several_pictures_have_several_statuses(client, model, picture):
    task = {"tweet": "Anna", "first": data_uri(picture), "others": [data_uri(b"no picture"), data_uri(picture), None]}
    (result,) = predict(client, task, config=TWO_GROUPS)

    assert result["image_status"] == ["ok", "unreadable", "ok", "missing"]
    assert model.seen[0]["image"] == [picture, b"no picture", picture, None]


@pytest.mark.parametrize(
    ("source", "status", "reason"),
    [
        ("/data/local-files/?d=../secret.png", "unreadable", "outside `document_root`"),
        ("/data/local-files/?d=..%2Fsecret.png", "unreadable", "outside `document_root`"),
        ("/data/local-files/?d=/etc/passwd", "unreadable", "outside `document_root`"),
        ("/data/local-files/?d=link.png", "unreadable", "outside `document_root`"),
        ("/data/local-files/?d=", "unreadable", "not a regular file"),
        ("/data/local-files/?d=a%00b.png", "unreadable", "null"),
        ("/data/local-files/?d=none.png", "missing", "no such file"),
        ("/data/upload/1/a.png", "missing", "start the server with --upload_root"),
        ("/etc/passwd", "unreadable", "not an address that is read here"),
        ("file:///etc/passwd", "unreadable", "not an address that is read here"),
        ("s3://bucket/a.png", "unreadable", "not an address that is read here"),
        ("http://127.0.0.1/a.png", "unreadable", "allow_urls"),
        ("data:image/png;base64,*", "unreadable", "not base64"),
        ({"url": "a.png"}, "unreadable", "not dict"),
        ("", "missing", "no picture given"),
    ],
)
def test_a_picture_that_cannot_be_had_is_reported_and_the_text_is_read(
    make_client, picture, tmp_path, caplog, source, status, reason
):
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.png").write_bytes(picture)
    (tmp_path / "files" / "link.png").symlink_to(tmp_path / "secret.png")
    (result,) = predict(make_client(document_root=tmp_path / "files"), {"text": "Anna", "image": source})

    assert result["image_status"] == [status] and len(result["result"]) == 1
    assert reason in caplog.text and str(tmp_path) not in json.dumps(result)


def test_web_addresses_are_fetched_from_public_hosts_only(tmp_path):
    read = PictureFolders(allow_urls=True).read("http://127.0.0.1:9/a.png")

    assert read.status == "unreadable" and "not a public address" in read.reason


def test_pictures_beyond_the_limits_are_reported(picture, tmp_path):
    (tmp_path / "a.png").write_bytes(picture)
    source = "/data/local-files/?d=a.png"

    assert PictureFolders(tmp_path).read(source) == picture
    pixels = PictureFolders(tmp_path, limits=Limits(pixels=100)).read(source)
    assert "1920 pixels, more than 100" in pixels.reason
    for kind in (source, data_uri(picture)):
        assert "bytes, more than 100" in PictureFolders(tmp_path, limits=Limits(picture_bytes=100)).read(kind).reason


def test_webhooks_are_taken_note_of_but_no_training_is_promised(client):
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED", "task": {}}).json() == {}
    answer = client.post("/webhook", json={"action": "START_TRAINING"})
    assert answer.status_code == 400 and "does not train" in answer.json()["error"]


def test_without_the_option_there_is_no_backend():
    batcher = Batcher(lambda sentences, parameters: [], max_wait=0)
    try:
        client = TestClient(serving.Service("tiny", batcher).app)
        assert client.post("/setup", json={"schema": CONFIG}).status_code == 404
        assert client.get("/health").json() == {"model": "tiny", "ready": True}
    finally:
        batcher.close()


class Handler:
    """A stand-in for the whole handler, whose model has the labels of a tiny network."""

    limits = Limits(words=7)
    answer = staticmethod(lambda sentences, parameters: [])
    read = staticmethod(read_request)

    def __init__(self, model, device=None, limits=None):
        self.pipeline = type("Pipeline", (), {"model": MODEL})


@pytest.fixture
def options(make_model, monkeypatch):
    """Read a command line behind which there is a stand-in for the handler."""
    monkeypatch.setattr(serving, "EndpointHandler", Handler)
    monkeypatch.setattr(f"{__name__}.MODEL", make_model())
    monkeypatch.delenv(serving.DOCUMENT_ROOT, raising=False)
    return lambda *arguments: read_command_line(["runs/ours", *arguments])


MODEL = None


def test_the_option_makes_a_backend_whose_version_tells_models_apart(options, make_model, tmp_path, monkeypatch):
    versions = []
    for scale in (1.0, 1.0, 1.5):
        with pytest.MonkeyPatch.context() as patch:
            network = make_model()
            network.classifier.weight.data *= scale
            patch.setattr(f"{__name__}.MODEL", network)
            service = serving.build_service(options("--label_studio", "--document_root", str(tmp_path)))
            versions.append(TestClient(service.app).post("/setup", json={"schema": CONFIG}).json()["model_version"])
            service._batcher.close()

    assert versions[0] == versions[1] != versions[2]
    assert all(version.startswith("runs/ours-") for version in versions)


def test_the_folder_of_local_files_is_that_of_label_studios_own_variable(options, tmp_path, monkeypatch):
    monkeypatch.setenv(serving.DOCUMENT_ROOT, str(tmp_path))
    given = options("--label_studio")
    serving.build_service(given)._batcher.close()

    assert given.document_root == tmp_path


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--document_root", "."], "`document_root` is for tasks of Label Studio; add --label_studio"),
        (["--allow_urls"], "`allow_urls` is for tasks of Label Studio"),
        (["--label_studio", "--upload_root", "no/such/folder"], "`upload_root` no/such/folder is no folder"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_model_is_loaded(options, arguments, error):
    with pytest.raises(ValueError, match=error):
        serving.build_service(options(*arguments))
