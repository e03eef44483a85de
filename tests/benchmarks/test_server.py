"""The load on the server: every request is sent once and answered, by however many clients."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest

from benchmarks import server


@pytest.fixture
def answering():
    """A server that answers every request with its own body; its port, what it got, and how many connections it had."""
    got: list[str] = []
    connections: list[int] = []
    started, port = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def answer(reader, writer):
        connections.append(1)
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.partition(b"Content-Length: ")[2].split()[0])
            got.append(json.loads(await reader.readexactly(length))["inputs"])
            status = b"503 No" if got[-1] == "refuse me" else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n[]")

    async def listen():
        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.append(listening.sockets[0].getsockname()[1])
        started.set()

    loop.set_exception_handler(lambda *_: None)  # clients that go away
    loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield port[0], got, connections
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@pytest.mark.parametrize("clients", [1, 5])
def test_every_request_is_answered_once(answering, clients):
    port, got, connections = answering
    texts = server.sentences(40)
    found = server.measure(server.Server(port, os.getpid()), texts, clients)
    assert sorted(got) == sorted(texts) and len(connections) == clients
    assert found.rate > 0 and found.milliseconds > 0 and found.processor >= 0
    assert all(3 <= len(text.split()) <= 60 for text in got) and len(set(map(len, got))) > 10


def test_a_refusal_is_an_error(answering):
    with pytest.raises(ValueError, match=r"the server answered 'HTTP/1\.1 503 No'"):
        server.measure(server.Server(answering[0], os.getpid()), ["refuse me"], 1)


def test_a_server_that_does_not_start_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"error: the server of `model` .* did not start; run `.*serve"):
        server.main([str(tmp_path / "nothing")])
