"""The server with the model of the demonstration: one client, and many at once, in other processes than the server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from benchmarks.server import measure, running
from benchmarks.speed.material import Material
from benchmarks.speed.measuring import Goal, Way, Work
from benchmarks.speed.text import demo_model
from modeling_2mner.handler import EndpointHandler

LATENCY, BATCHING = Goal(most_ms=8.0), Goal(2.5)


def server(options: argparse.Namespace, material: Material) -> Iterator[Work]:
    """How long one client waits, and how many requests are answered when many ask at once."""
    texts = [" ".join(words) for words in material.sentences]
    asked = (texts * (options.requests // len(texts) + 1))[: options.requests]
    alone = asked[: options.requests // 4 or 1]
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        for part in demo_model(material):
            part.save_pretrained(folder)
        handler = EndpointHandler(folder, device="cpu")
        batching = stack.enter_context(running(folder))
        one_by_one = stack.enter_context(running(folder, "--max_batch", "1"))
        ways = [
            Way("no server", [lambda: [handler({"inputs": text}) for text in alone]]),
            Way("server", [lambda: measure(batching, alone, 1)], LATENCY),
        ]
        yield Work("server, one client", ways, "request", len(alone), options.repeats)
        ways = [
            Way("one at a time", [lambda: measure(one_by_one, asked, options.clients)]),
            Way("batches", [lambda: measure(batching, asked, options.clients)], BATCHING),
        ]
        yield Work(f"server, {options.clients} clients", ways, "request", len(asked), options.repeats)
