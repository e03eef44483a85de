"""Time the server: one client, many clients at once, and many that are answered one at a time.

    python benchmarks/server.py runs/demo
    taskset -c 0 python benchmarks/server.py runs/demo --clients 1 64 --rounds 5

Each server runs in a process of its own, with one thread of torch; the clients share another process and send the next
sentence, of 3 to 60 words, when they have the answer to the one before. Rounds are interleaved. Prints a Markdown table of
medians: requests a second, milliseconds until an answer, and milliseconds of processor time that the server needs for a
request, which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.tables import Table

ROOT = Path(__file__).resolve().parents[1]
WORDS = (
    "Anna",
    "Paris",
    "Orla",
    "Tom",
    "lives",
    "works",
    "near",
    "the",
    "river",
    "with",
    "her",
    "old",
    "friends",
    ".",
)
WARM_UP = 64


@dataclass(frozen=True)
class Server:
    """A running server.

    Args:
        port: on this machine.
        process: its number.
    """

    port: int
    process: int

    def processor_seconds(self) -> float:
        """What it has used so far, as Linux counts it."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Round:
    """The answers to a number of requests: requests a second, and milliseconds of each until its answer and of the processor."""

    rate: float
    milliseconds: float
    processor: float


@contextmanager
def running(model: str, *options: str) -> Iterator[Server]:
    """Start a server, wait until it answers, and stop it at the end."""
    command = [sys.executable, "-m", "training_2mner.serve", model, "--port", "0", "--device", "cpu", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        log = process.stderr
        line = next((line for line in log or () if "running on" in line), None)
        if line is None or log is None:
            raise ValueError(f"the server of `model` {model} did not start; run `{' '.join(command)}` to see why.")
        threading.Thread(target=log.read, daemon=True).start()  # a full pipe would stop it
        yield Server(int(re.findall(r":(\d+)", line)[-1]), process.pid)
    finally:
        process.kill()
        process.wait()


def sentences(count: int) -> list[str]:
    """Sentences of random words."""
    generator = random.Random(count)
    lengths = (min(60, max(3, int(generator.lognormvariate(2.7, 0.5)))) for _ in range(count))
    return [" ".join(generator.choices(WORDS, k=length)) for length in lengths]


def request(text: str) -> bytes:
    """A request for the entities of a text."""
    body = json.dumps({"inputs": text}).encode()
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


async def ask(port: int, requests: list[bytes], seconds: list[float]) -> None:
    """Send requests from the end of the list, which clients share, over one connection, until there are none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while requests:
        content, started = requests.pop(), time.perf_counter()
        writer.write(content)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise ValueError(f"the server answered {head.decode(errors='replace').splitlines()[0]!r}.")
        await reader.readexactly(int(length[1]))
        seconds.append(time.perf_counter() - started)
    writer.close()


def measure(server: Server, texts: Sequence[str], clients: int) -> Round:
    """Let clients ask for the entities of all texts together."""
    requests, seconds = [request(text) for text in texts], list[float]()

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(server.port, requests, seconds) for _ in range(clients)))

    used, started = server.processor_seconds(), time.perf_counter()
    asyncio.run(all_of_them())
    rate = len(texts) / (time.perf_counter() - started)
    return Round(rate, 1000 * statistics.median(seconds), 1000 * (server.processor_seconds() - used) / len(texts))


def compare(model: str, clients: Sequence[int], count: int, rounds: int) -> Table:
    """Time each number of clients, and the largest with sentences that are answered one at a time."""
    with ExitStack() as stack:
        together = stack.enter_context(running(model))
        alone = stack.enter_context(running(model, "--max_batch", "1"))
        works = [(f"{number}", together, number) for number in clients]
        works.append((f"{max(clients)}, one at a time", alone, max(clients)))
        for server in (together, alone):
            measure(server, sentences(WARM_UP), max(clients))
        found: dict[str, list[Round]] = {name: [] for name, _, _ in works}
        for _ in range(rounds):
            for name, server, number in works:
                found[name].append(measure(server, sentences(count), number))
    rows = []
    for name, each in found.items():
        columns = zip(*((one.rate, one.milliseconds, one.processor) for one in each), strict=True)
        rows.append([name, *(f"{statistics.median(column):.1f}" for column in columns)])
    return Table(["clients", "requests a second", "ms until an answer", "ms of the processor"], rows, align="lrrr")


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/server.py", __doc__)
    add = parser.add_argument
    add("model", help="run folder, exported folder or Hub id of the model")
    add("--clients", type=at_least(1), nargs="+", default=[1, 8, 64], help="how many at once (default: 1 8 64)")
    add("--requests", type=at_least(1), default=320, help="of a round (default: %(default)s)")
    add("--rounds", type=at_least(1), default=5, help="of each kind (default: %(default)s)")
    return parser.parse_args(arguments)


@exit_on_error(OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = read_command_line(arguments)
    print(compare(options.model, options.clients, options.requests, options.rounds).markdown())


if __name__ == "__main__":
    main()
