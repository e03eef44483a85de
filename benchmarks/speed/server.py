"""The server with the model of the demonstration: one client, and many at once."""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn

from benchmarks.speed.material import Material
from benchmarks.speed.measuring import Goal, Way, Work
from benchmarks.speed.text import demo_model
from modeling_2mner.handler import EndpointHandler
from modeling_2mner.images import count_pixels
from training_2mner.serve.batching import Batcher
from training_2mner.serve.service import Service

LATENCY, BATCHING = Goal(most_ms=8.0), Goal(2.5)
SECONDS = 60.0  # until a request that hangs fails
STARTING = 30.0


def server(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """How long one client waits, and how many requests are answered when many ask at once."""
    texts = [" ".join(words) for words in material.sentences]
    with TemporaryDirectory() as name:
        for part in demo_model(material):
            part.save_pretrained(name)
        handler = EndpointHandler(name, device="cpu")
        with Server(handler) as batching, Server(handler, max_batch=1) as one_by_one:
            alone = texts[: options.requests // 4 or 1]
            ways = [
                Way("no server", [lambda: [handler({"inputs": text}) for text in alone]]),
                Way("server", [lambda: ask_all(batching.port, alone, 1)], LATENCY),
            ]
            yield Work("server, one client", ways, "request", len(alone), options.repeats)
            asked = (texts * (options.requests // len(texts) + 1))[: options.requests]
            ways = [
                Way("one at a time", [lambda: ask_all(one_by_one.port, asked, options.clients)]),
                Way("batches", [lambda: ask_all(batching.port, asked, options.clients)], BATCHING),
            ]
            name = f"server, {options.clients} clients"
            yield Work(name, ways, "request", len(asked), options.repeats)


class Server:
    """The server of `python -m training_2mner.serve`, on a free port of this machine, in a thread."""

    def __init__(self, handler: EndpointHandler, **settings: int) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        read = partial(handler.read, count_pixels=count_pixels)
        app = Service("demo", Batcher(handler.answer, **settings), read=read).app
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        ends = time.monotonic() + STARTING
        while not self._server.started:
            if time.monotonic() > ends:
                raise RuntimeError("the server does not start.")
            time.sleep(0.01)
        return self

    def __exit__(self, *error: object) -> None:
        self._server.should_exit = True
        self._thread.join(SECONDS)
        self._socket.close()


def ask_all(port: int, texts: Sequence[str], clients: int) -> list[Any]:
    """Have all texts answered by clients that ask at the same time, each with a connection of its own."""
    parts = [texts[number::clients] for number in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        return [answer for part in pool.map(lambda own: _ask(port, own), parts) for answer in part]


def _ask(port: int, texts: Sequence[str]) -> list[Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    answers = []
    try:
        for text in texts:
            connection.request("POST", "/", json.dumps({"inputs": text}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                raise RuntimeError(f"the server answers {response.status}: {content[:200]!r}")
            answers.append(json.loads(content))
    finally:
        connection.close()
    return answers
