"""Whether `torch.compile` pays on a CPU: the text encoder alone, as it is and compiled, in turn.

    python benchmarks/compiled.py
    python benchmarks/compiled.py --small   # a tiny encoder, to try the script

BERT with random weights on 16 sentences of 13, 19 and 29 sub-words, which is the middle of the thirds of an epoch of English
sentences in batches of similar length; sizes are dynamic, so that the compiler works once and not for each length. Prints a
Markdown table of medians in milliseconds a sentence, and the seconds that the first call takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.tables import Table
from training_2mner.onednn import OneDNNLinear

LENGTHS, BATCH = (13, 19, 29), 16
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WORKS = (("forward", False, False), ("forward, bf16", False, True), ("step", True, False), ("step, bf16", True, True))


def run(network: Callable[..., Any], batch: torch.Tensor, trains: bool, bf16: bool) -> None:
    """A forward pass, and a backward pass if the network trains."""
    with torch.set_grad_enabled(trains), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        states = network(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state
    if trains:
        states.float().sum().backward()


def rows(options: argparse.Namespace) -> Iterator[list[str]]:
    """A row for each work."""
    torch.manual_seed(19)
    config = BertConfig(vocab_size=30_522, **(SMALL if options.small else {}))
    batches = [torch.randint(5, 30_000, (BATCH, length)) for length in LENGTHS]
    for name, trains, bf16 in WORKS:
        model = BertModel(config).train(trains)
        started = time.perf_counter()
        compiled = torch.compile(model, dynamic=True)
        run(compiled, batches[0], trains, bf16)
        first = time.perf_counter() - started
        found = measure((model, compiled), batches, trains, bf16, options.repeats)
        eager, fast, onednn = (1000 * seconds / BATCH / len(batches) for seconds in found)
        yield [name, f"{eager:.2f}", f"{fast:.2f}", f"{eager / fast:.2f}x", f"{first:.0f}", f"{eager / onednn:.2f}x"]


def measure(
    networks: tuple[Any, Any], batches: Sequence[torch.Tensor], trains: bool, bf16: bool, repeats: int
) -> list[float]:
    """Median seconds for all batches: as it is, compiled, and with products by oneDNN."""
    model, compiled = networks
    seconds: list[list[float]] = [[], [], []]
    for _ in range(repeats + 1):
        for times, network, onednn in zip(seconds, (model, compiled, model), (False, False, True), strict=True):
            started = time.perf_counter()
            for batch in batches:
                if onednn:
                    with OneDNNLinear():
                        run(network, batch, trains, bf16)
                else:
                    run(network, batch, trains, bf16)
            times.append(time.perf_counter() - started)
    return [statistics.median(times[1:]) for times in seconds]


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/compiled.py", __doc__)
    parser.add_argument("--small", action="store_true", help="a tiny encoder")
    parser.add_argument("--repeats", type=at_least(1), default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--threads", type=at_least(1), default=1, help="threads (default: %(default)s)")
    return parser.parse_args(arguments)


@exit_on_error(OSError)
def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a row as soon as it is known."""
    options = read_command_line(arguments)
    torch.set_num_threads(options.threads)
    header = ["text encoder", "ms a sentence", "compiled", "ratio", "first call, s", "oneDNN, ratio"]
    for line in Table(header, rows(options), align="lrrrrr").markdown_lines():
        print(line, flush=True)


if __name__ == "__main__":
    main()
