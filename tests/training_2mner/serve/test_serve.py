"""The server over real HTTP: with a stand-in for the model, and as a process of its own under load."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
import uvicorn

import training_2mner.serve.service as serving
from modeling_2mner.handler import MEANINGS, BadRequest, EndpointHandler, Limits
from training_2mner.serve.__main__ import LIMITS, main, read_command_line
from training_2mner.serve.batching import Batcher

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 30  # until a hanging test fails
JSON = {"Content-Type": "application/json"}
REQUESTS = 200


class Model:
    """A stand-in for the handler's `answer`: copies sentences, and waits while `gate` is closed."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.calls = []

    def answer(self, sentences: list[dict], parameters: dict) -> list[dict]:
        self.calls.append(len(sentences))
        self.entered.set()
        assert self.gate.wait(SECONDS)
        texts = [sentence.get("text") for sentence in sentences]
        if "a secret fails" in texts:
            raise RuntimeError("at /home/of/the/operator")
        if parameters.get("threshold", 0) > 1:
            raise BadRequest("`threshold` is too high.")
        return [{"text": text, "parameters": parameters} for text in texts]


class Server:
    """A service on a free port of this machine, in a thread."""

    def __init__(self, model: Model, **limits):
        self.batcher = Batcher(model.answer, max_wait=0)
        app = serving.Service("tiny", self.batcher, **limits).app
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(app, http="h11", log_config=None))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()

    def ask(self, method="POST", path="/", body=None, headers=JSON) -> tuple[int, dict, dict]:
        """Status, answer and headers of one request; a body that is no bytes, nor a tuple of them, becomes JSON."""
        body = body if body is None or isinstance(body, (bytes, tuple)) else json.dumps(body)
        return ask(self.port, method, path, body, headers)

    def stop(self) -> None:
        self._server.should_exit = True

    def join(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()
        self._socket.close()


def ask(port: int, method: str, path: str, body, headers: dict) -> tuple[int, dict, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, body, headers, encode_chunked=isinstance(body, tuple))
        response = connection.getresponse()
        return response.status, json.loads(response.read()), dict(response.getheaders())
    finally:
        connection.close()


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def start(model):
    """Start servers, and stop them in the end."""
    servers = []

    def build(**limits) -> Server:
        servers.append(Server(model, **limits))
        return servers[-1]

    yield build
    model.gate.set()
    for server in servers:
        server.stop()
    for server in servers:
        server.join()


@pytest.fixture(scope="module")
def server():
    """A server whose limits and model no test changes."""
    running = Server(Model(), max_body=5000)
    yield running
    running.stop()
    running.join()


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_a_sentence_gets_an_answer_and_a_list_a_list(server, path):
    one = {"text": "Anna", "parameters": {}}

    assert server.ask(path=path, body={"inputs": "Anna"})[:2] == (200, one)
    assert server.ask(path=path, body={"inputs": ["Anna"]})[:2] == (200, [one])
    assert server.ask(path=path, body={"inputs": []})[:2] == (200, [])


def test_parameters_and_any_character_arrive(server):
    text = "Köln \u2028 \U0001f469\u200d\U0001f680"

    answer = server.ask(body={"inputs": {"text": text}, "parameters": {"threshold": 0.5}})[1]

    assert answer == {"text": text, "parameters": {"threshold": 0.5}}


def test_only_what_takes_time_is_read_in_another_thread(server, monkeypatch):
    threads = []
    in_thread = serving.run_in_threadpool
    monkeypatch.setattr(serving, "run_in_threadpool", lambda *given: threads.append(given[1]) or in_thread(*given))
    long = "Anna " * (serving.SHORT // 5 + 1)
    requests = [{"inputs": text} for text in ("Anna", long, ["Anna"], {"text": "Anna", "image": ""})]
    assert [server.ask(body=request)[0] for request in requests] == [200] * 4
    assert threads == requests[1:]


def test_get_tells_the_use_and_the_health(server):
    status, usage, _ = server.ask("GET")

    assert status == 200 and usage["model"] == "tiny" and "inputs" in usage["usage"]
    assert server.ask("GET", "/health")[:2] == (200, {"model": "tiny", "ready": True})


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        ({"body": b'{"inputs": "Anna"'}, 400, "not JSON"),
        ({"body": b""}, 400, "not JSON"),
        ({"body": b'{"inputs": "\xff"}'}, 400, "not JSON"),
        ({"body": b"[" * 4000}, 400, "not JSON"),
        ({"body": ["Anna"]}, 400, "must be an object"),
        ({"body": {"text": "Anna"}}, 400, "inputs"),
        ({"body": {"inputs": {"text": "Anna", "picture": ""}}}, 400, "unknown fields"),
        ({"body": {"inputs": {"text": "Anna", "image": "*"}}}, 400, "not base64"),
        ({"body": {"inputs": "Anna", "parameters": {"threshold": 2}}}, 400, "too high"),
        ({"body": {"inputs": "Anna"}, "headers": {}}, 415, "missing; send JSON as application/json"),
        ({"body": {"inputs": "Anna"}, "headers": {"Content-Type": "text/plain"}}, 415, "text/plain"),
        ({"body": {"inputs": "A" * 5000}}, 413, "more than 5000 bytes"),
        ({"method": "GET", "path": "/nothing"}, 404, "Not Found"),
        ({"method": "GET", "path": "/predict"}, 405, "Not Allowed"),
        ({"method": "DELETE"}, 405, "Not Allowed"),
    ],
)
def test_what_cannot_be_answered_is_told(server, sent, status, error):
    got, answer, headers = server.ask(**sent)

    assert got == status
    assert list(answer) == ["error"] and error in answer["error"]
    assert headers["content-type"] == "application/json"


def test_a_content_type_may_name_its_character_set(server):
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}

    assert server.ask(body={"inputs": "Anna"}, headers=headers)[0] == 200


def test_a_long_request_is_not_quoted_in_full(server):
    assert len(server.ask(body={"inputs": "a", "parameters": {"threshold": "b" * 4000}})[1]["error"]) == 1000


def test_a_body_without_length_is_read_no_further_than_allowed(server):
    parts = (b'{"inputs": "', *[b"A" * 1000] * 50, b'"}')

    assert server.ask(body=parts)[:2] == (413, {"error": "the request has more than 5000 bytes; send it in parts."})
    assert server.ask(body=(b'{"inputs"', b': "Anna"}'))[0] == 200


def test_a_body_that_says_it_is_too_large_is_not_waited_for(server):
    headers = {**JSON, "Content-Length": "5001", "Expect": "100-continue"}

    assert server.ask(body=b"", headers=headers)[0] == 413


def test_a_client_that_goes_away_harms_nobody(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )

    assert server.ask(body={"inputs": "Anna"})[0] == 200


def test_a_body_that_does_not_arrive_is_given_up(server, monkeypatch):
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.01)

    assert server.ask(body=b"{", headers={**JSON, "Content-Length": "9"})[0] == 408


def test_a_failure_stays_in_the_log(server, caplog):
    status, answer, _ = server.ask(body={"inputs": "a secret fails"})

    assert (status, answer) == (500, {"error": serving.FAILED})
    assert "RuntimeError: at /home/of/the/operator" in caplog.text
    assert server.ask(body={"inputs": "Anna"})[0] == 200


def test_a_failure_is_not_shared(start, model):
    server = start()
    with ThreadPoolExecutor(4) as pool:
        model.gate.clear()
        first = pool.submit(server.ask, body={"inputs": "first"})
        assert model.entered.wait(SECONDS)
        texts = ["good", "a secret fails", "fine"]
        futures = [pool.submit(server.ask, body={"inputs": text}) for text in texts]
        model.gate.set()

        assert first.result()[0] == 200
        assert [future.result()[0] for future in futures] == [200, 500, 200]


def test_too_many_requests_are_turned_away(start, model):
    server = start(max_requests=1)
    model.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.ask, body={"inputs": "first"})
        assert model.entered.wait(SECONDS)

        status, answer, headers = server.ask(body={"inputs": "second"})
        assert status == 503 and "1 requests are in progress" in answer["error"]
        assert headers["retry-after"] == "1"
        assert server.ask("GET", "/health")[0] == 200

        model.gate.set()
        assert first.result()[0] == 200
    assert server.ask(body={"inputs": "third"})[0] == 200


def test_a_stop_answers_what_is_in_progress(start, model):
    server = start()
    model.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.ask, body={"inputs": "Anna"})
        assert model.entered.wait(SECONDS)
        server.stop()
        model.gate.set()

        assert future.result()[0] == 200
    server.join()
    assert not server.batcher.ready


def test_a_closing_batcher_takes_nothing_more(start):
    server = start()
    server.batcher.close()

    assert server.ask(body={"inputs": "Anna"})[0] == 503
    assert server.ask("GET", "/health")[:2] == (503, {"model": "tiny", "ready": False})


def test_no_model_no_server(tmp_path):
    with pytest.raises(SystemExit, match="error: "):
        main([str(tmp_path / "nothing")])


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()


def mixed_request(number: int, picture: str) -> tuple[bytes, bool]:
    """One of eleven kinds of requests, every one with words of its own; and whether it is a good one."""
    text = f"Anna {number} wohnt in Köln{number} ."
    words, tags = text.split(), {"return_word_tags": True}
    kinds = [
        ({"inputs": text, "parameters": tags}, True),
        ({"inputs": {"words": words}, "parameters": tags}, True),
        ({"inputs": {"text": text, "image": picture}, "parameters": tags}, True),
        ({"inputs": [{"words": words, "image": [picture, picture]}, f"Paris {number} " * (number % 40)]}, True),
        ({"inputs": {"text": text, "image": encode(b"no picture")}, "parameters": tags}, True),
        ({"inputs": text, "parameters": {"n_best": 2}}, True),
        ({"inputs": {"text": text, "image": f"{picture}*"}}, False),
        ({"inputs": {"text": text, "picture": picture}}, False),
        ({"inputs": text, "parameters": {"threshold": 1 + number}}, False),
        ("{", False),
        ({"inputs": "A" * 400_000}, False),
    ]
    request, good = kinds[number % len(kinds)]
    return (request if isinstance(request, str) else json.dumps(request)).encode(), good


def alone(handler: EndpointHandler, body: bytes) -> tuple[int, object]:
    """Status and answer for a request that nothing else is run with."""
    if len(body) > 300_000:
        return 413, None
    try:
        return 200, json.loads(json.dumps(handler(json.loads(body))))
    except ValueError:  # BadRequest, and what is not JSON
        return 400, None


def is_close(answer, expected) -> bool:
    """Whether two answers are equal but for the last digits of their scores."""
    if isinstance(expected, float):
        return abs(answer - expected) < 1e-5
    if isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(is_close(answer[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(answer) == len(expected) and all(map(is_close, answer, expected))
    return answer == expected


@pytest.fixture
def running(tmp_path, model_folder):
    """The real server in a process of its own; its port."""
    command = [sys.executable, "-m", "training_2mner.serve", str(model_folder), "--port", "0", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--max_body_mb", "0.3"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=log
        )
        try:
            line = next(line for line in process.stderr if b"running on" in line)
            # Somebody has to read the rest, or the server stops when the pipe is full.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, int(re.search(rb"http://127.0.0.1:(\d+)", line).group(1))
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def model_folder(tmp_path, make_model, processor):
    """A tiny model with random weights."""
    make_model().save_pretrained(tmp_path / "tiny")
    processor.save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.mark.slow
def test_nothing_is_lost_or_crossed_under_load(running, model_folder, make_picture):
    process, port = running
    pictures = []
    for number in range(5):
        make_picture(number).save(buffer := BytesIO(), "PNG")
        pictures.append(encode(buffer.getvalue()))
    requests = [mixed_request(number, pictures[number % len(pictures)]) for number in range(REQUESTS)]
    start = threading.Barrier(REQUESTS)

    def send(body: bytes) -> tuple[int, object]:
        start.wait(SECONDS)
        return ask(port, "POST", "/", body, JSON)[:2]

    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(send, [body for body, _ in requests]))

    handler = EndpointHandler(str(model_folder), device="cpu")
    for (body, good), (status, answer) in zip(requests, answers, strict=True):
        expected_status, expected = alone(handler, body)
        assert (status, status == 200) == (expected_status, good), answer
        assert is_close(answer, expected) if good else list(answer) == ["error"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) in (0, -signal.SIGTERM)


def test_the_help_names_the_limits_of_the_handler():
    assert {name: (limit, MEANINGS.get(name, name)) for name, limit in vars(Limits()).items()} == LIMITS


def test_the_limits_of_a_request_are_options(monkeypatch):
    made = {}

    class Handler:
        def __init__(self, model, device=None, limits=None):
            made.update(limits)

        def read(self, data, count_pixels=None):
            return [], {"measured": count_pixels(b"nonsense")}

        def answer(self, sentences, parameters):
            return []

    monkeypatch.setattr(serving, "EndpointHandler", Handler)
    service = serving.build_service(read_command_line(["folder", "--max_words", "20000", "--max_work", "9"]))
    assert made == {"words": 20_000, "work": 9}
    assert service._read({}) == ([], {"measured": 0})
    service._batcher.close()
    with pytest.raises(ValueError, match="`words` is 0; write a whole number"):
        serving.build_service(read_command_line(["folder", "--max_words", "0"]))
