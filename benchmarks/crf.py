"""Time the CRF of 2M-NER against pytorch-crf, interleaved in one run, and check that both give the same results.

    python benchmarks/crf.py --threads 1

Prints a Markdown table of median milliseconds. The exit status is 1 if the results differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torchcrf import CRF

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from modeling_2mner.crf import LinearChainCRF
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.tables import Table

SHAPES = ((16, 32), (16, 128), (64, 128), (64, 512))  # (sentences, words)
TOLERANCE = 1e-5

Batch = tuple[Tensor, Tensor, Tensor]
Gradients = list[Tensor]


def random_batch(sentences: int, words: int, labels: int) -> Batch:
    """Return emissions, tags and mask of sentences of 1 to `words` words, the first of full length."""
    lengths = torch.randint(1, words + 1, (sentences,))
    lengths[0] = words
    emissions = torch.randn(sentences, words, labels, requires_grad=True)
    return emissions, torch.randint(labels, (sentences, words)), torch.arange(words) < lengths[:, None]


def our_loss(crf: LinearChainCRF, batch: Batch) -> Tensor:
    return crf.neg_log_likelihood(*batch).mean()


def their_loss(crf: CRF, batch: Batch) -> Tensor:
    return -crf(*batch, reduction="mean")


def loss_and_gradients(loss: Tensor, crf: CRF, emissions: Tensor) -> Gradients:
    return [loss.detach(), *torch.autograd.grad(loss, [emissions, *crf.parameters()])]


def largest_difference(crf: LinearChainCRF, batch: Batch) -> float:
    """Compare loss, gradients and best-path scores with pytorch-crf in float64; differences are relative above 1."""
    emissions, _, mask = batch
    reference = CRF(crf.num_tags, batch_first=True).double()
    reference.load_state_dict(crf.state_dict())
    exact = (emissions.detach().double().requires_grad_(), *batch[1:])
    ours = loss_and_gradients(our_loss(crf, batch), crf, emissions)
    theirs = loss_and_gradients(their_loss(reference, exact), reference, exact[0])

    paths = torch.zeros_like(batch[1])
    for row, path in zip(paths, reference.decode(exact[0], mask), strict=True):
        row[: len(path)] = torch.tensor(path)
    our_paths = crf.viterbi(emissions, mask, constrained=False).clamp(min=0)
    with torch.no_grad():
        ours.append(reference(exact[0], our_paths, mask, reduction="none"))
        theirs.append(reference(exact[0], paths, mask, reduction="none"))
    return max(float(((a - b).abs() / b.abs().clamp(min=1)).max()) for a, b in zip(ours, theirs, strict=True))


def interleaved_medians(first: Callable, second: Callable, repeats: int) -> tuple[float, float]:
    """Run the two in turn, `repeats` times after three warm-ups, and return their median milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats + 3):
        for function, record in zip((first, second), times, strict=True):
            started = time.perf_counter()
            function()
            record.append(1000 * (time.perf_counter() - started))
    return statistics.median(times[0][3:]), statistics.median(times[1][3:])


def timing_row(name: str, theirs: Callable, ours: Callable, repeats: int) -> list[str]:
    their_ms, our_ms = interleaved_medians(theirs, ours, repeats)
    return [name, f"{their_ms:.2f}", f"{our_ms:.2f}", f"{their_ms / our_ms:.1f}x"]


def timing_rows(crf: LinearChainCRF, batch: Batch, repeats: int) -> list[list[str]]:
    """Return the rows of one batch: decoding, and the loss with its gradients."""
    emissions, _, mask = batch
    baseline = CRF(crf.num_tags, batch_first=True)
    baseline.load_state_dict(crf.state_dict())
    shape = f"{mask.shape[0]} x {mask.shape[1]}"
    return [
        timing_row(
            f"decode, {shape}",
            lambda: baseline.decode(emissions, mask),
            lambda: crf.viterbi(emissions, mask, constrained=False),
            repeats,
        ),
        timing_row(
            f"loss and gradients, {shape}",
            lambda: loss_and_gradients(their_loss(baseline, batch), baseline, emissions),
            lambda: loss_and_gradients(our_loss(crf, batch), crf, emissions),
            repeats,
        ),
    ]


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/crf.py", __doc__)
    parser.add_argument("--threads", type=at_least(1), default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=at_least(1), default=21, help="timed runs of each side (default: %(default)s)"
    )
    parser.add_argument("--labels", type=at_least(1), default=9, help="number of labels (default: %(default)s)")
    return parser.parse_args(arguments)


@exit_on_error()
def main() -> None:
    """Time both sides on each batch, and compare their results."""
    arguments = read_command_line()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    crf = LinearChainCRF(arguments.labels)
    batches = [random_batch(*shape, arguments.labels) for shape in SHAPES]
    differences = [largest_difference(crf, batch) for batch in batches]
    lines = (row for batch in batches for row in timing_rows(crf, batch, arguments.repeats))
    header = ["task, sentences x words", "pytorch-crf (ms)", "2M-NER (ms)", "ratio"]
    for line in Table(header, lines).markdown_lines():
        print(line, flush=True)
    print(f"\nLargest difference of losses, gradients and path scores: {max(differences):.1e}")
    if max(differences) > TOLERANCE:
        raise ValueError(f"the results differ by more than {TOLERANCE}.")


if __name__ == "__main__":
    main()
