"""Requests to an endpoint: answered or refused with a reason, within the memory and time that the limits promise."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modeling_2mner.handler import BadRequest, read_request
from tests.adversary import generators, pictures
from tests.adversary.promises import chance_for, promise

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MEGABYTES = 500
SECONDS = 30


def test_requests_of_any_form():
    chance = chance_for("requests")

    def read(data: object) -> None:
        try:
            sentences, parameters = read_request(data)
        except BadRequest as error:
            assert str(error)
            return
        assert len(sentences) == (len(data["inputs"]) if isinstance(data["inputs"], list) else 1)
        assert set(parameters) <= {"threshold", "n_best", "return_word_tags"}

    with promise("A request of any form is read, or refused with a reason") as held:
        for _ in range(2500):
            value = generators.json_value(chance)
            parameters = generators.json_value(chance)
            request = {"inputs": value, "parameters": parameters} if chance.random() < 0.5 else {"inputs": value}
            held.check(read, chance.choice((value, request, request)))


def costly_requests() -> list[dict]:
    """Requests that ask for as much as they can with few bytes."""
    picture = base64.b64encode(pictures.encode(pictures.draw("L", (3000, 3000)), "PNG", optimize=False)).decode()
    small = base64.b64encode(pictures.encode(pictures.draw("RGB"), "JPEG")).decode()
    inputs: list[object] = [
        {"text": "a " * 4000, "image": [""] * 64},
        {"text": "a " * 4000, "image": [small] * 64},
        {"words": [""] * 1_000_000},
        {"words": ["a"] * 50_000},
        {"words": ["a" * 50_000]},
        {"words": ["a" * 50_000, *["b"] * 40]},
        {"text": "a" * 100_000},
        {"text": "a " * 50_000},
        {"text": "\u0301" * 100_000},
        {"text": "\u200d" * 50_000},
        {"text": "." * 100_000},
        {"text": "[CLS]" * 20_000},
        {"text": "中" * 100_000},
        {"text": "Anna", "image": [picture] * 11},
        {"text": "Anna", "image": [small] * 65},
        [{"text": "a " * 700}] * 64,
        [{"text": "a " * 700, "image": small}] * 64,
        [{"words": ["a"] * 1500}] * 65,
        [""] * 64,
        [{"words": []}] * 64,
        [],
    ]
    many = [{"inputs": value} for value in inputs]
    readings = [{"inputs": {"text": "a " * size}, "parameters": {"n_best": 100}} for size in (50, 500, 5000, 50_000)]
    tags = [{"inputs": {"text": "a " * 20_000}, "parameters": {"return_word_tags": True, "n_best": 100}}]
    return many + readings + tags


@pytest.fixture(scope="module")
def folders(tmp_path_factory, model, processor, make_baseline, word_processor) -> list[Path]:
    """A released folder each of a model on sub-words and of one on characters."""
    made = []
    for name, network, reader in (
        ("2m-ner", model, processor),
        ("adacan", make_baseline("adacan"), word_processor),
    ):
        folder = tmp_path_factory.mktemp("models") / name
        network.save_pretrained(folder)
        reader.save_pretrained(folder)
        made.append(folder)
    return made


def test_costly_requests(folders, tmp_path):
    chance = chance_for("costly requests")
    requests = costly_requests()
    for _ in range(40):
        texts = [generators.text(chance, 400) for _ in range(chance.randrange(1, 20))]
        requests.append(
            {"inputs": [{"text": text} for text in texts], "parameters": {"n_best": chance.randrange(1, 9)}}
        )
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(request)}\n" for request in requests), encoding="utf-8")

    def judge(cost: dict, request: str) -> None:
        assert cost["outcome"] in ("answered", "refused"), cost
        assert cost["seconds"] <= SECONDS and cost["megabytes"] <= MEGABYTES, cost

    with promise(f"A request is answered or refused within {SECONDS} s and {MEGABYTES} MB above the model") as held:
        for folder in folders:
            command = [sys.executable, "-m", "tests.adversary.answer_requests", str(folder), str(path)]
            environment = {**os.environ, "OMP_NUM_THREADS": "2"}
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
            costs = [json.loads(line) for line in done.stdout.splitlines()]
            assert len(costs) == len(requests), done.stderr[-2000:]
            for cost, request in zip(costs, requests, strict=True):
                held.check(judge, cost, json.dumps(request)[:80])
