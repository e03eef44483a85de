"""Measure 2M-NER on one GPU: networks, pipeline, loader, and what the CRF launches, in less than eight minutes.

    python benchmarks/gpu.py --output benchmarks/gpu.json
    python benchmarks/gpu.py --table benchmarks/gpu.json
    python benchmarks/gpu.py --small --device cpu          # tiny networks, to try the script

Forward passes with decoding, training steps (Eq. 18, backward, Adam), the pipeline from picture files to entities, and
the loader of the Trainer with several numbers of processes; each in float32, bfloat16 and compiled, with both kinds of
attention, and with the most memory that the device held. Weights are random; sentences have 17 words and a 500x375 JPEG
each. For the CRF the profiler counts kernels and the waits for the device, which must not grow with the batch. Lines are
printed as soon as they are known; what would exceed --limit_s is left out, and the line says so.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.networks import (
    Length,
    describe_device,
    make_prediction,
    make_rows,
    make_step,
    make_tokenizer,
    median_seconds,
)
from benchmarks.speed.material import LABELS
from benchmarks.speed.measuring import FAILURES, describe
from configuration_2mner import load_preset
from modeling_2mner import TwoMNERForTokenClassification, TwoMNERPipeline, TwoMNERProcessor
from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.images import load_image
from modeling_2mner.kept_features import KeptFeatures
from modeling_2mner.posteriors import TagPosteriors
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.files import write_json
from reports_2mner.tables import Table
from training_2mner.collator import TwoMNERDataCollator

LENGTH = Length()
TOWERS = ("vision_model", "resnet_model")
ENCODERS = ("text_model", *TOWERS)
CRF_SHAPES = ((16, 32), (16, 128), (64, 128))  # sentences, words
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "hipLaunchKernel", "hipModuleLaunchKernel")
WAITS = ("Synchronize", "aten::_local_scalar_dense")
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Row:
    """A line: a work, how it is done, the result, and the most memory in GiB, 0 where the device does not tell."""

    work: str
    way: str
    value: float | None = None
    unit: str = ""
    memory: float = 0.0
    error: str = ""

    def cells(self) -> list[str]:
        """The cells of the table."""
        value = f"not measured: {self.error}" if self.value is None else f"{self.value:,.1f}"
        return [self.work, self.way, value, self.unit, f"{self.memory:.2f}" if self.memory else ""]


@dataclass(frozen=True)
class Task:
    """A line that is yet to be measured; `run` gives its value."""

    work: str
    way: str
    unit: str
    run: Callable[[], float]


class Bench:
    """The networks, on their device, and the sizes of what is measured.

    Args:
        options: of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.device = torch.device(options.device)
        self.steps, self.small = options.steps, options.small
        tokenizer = make_tokenizer()
        config = load_preset("2m-ner-demo" if self.small else "2m-ner")
        self.model = TwoMNERForTokenClassification(config).eval().to(self.device)
        self.processor = TwoMNERProcessor.for_model(self.model, tokenizer, resnet_image_size=64 if self.small else 224)
        self.sizes = (2, 4) if self.small else (16, 64)
        self.workers = (0, 1) if self.small else (0, 4, 12)
        self.sentences = 8 if self.small else 512

    def batch(self, size: int, stored: bool = False) -> dict[str, torch.Tensor]:
        """Sentences with tags and a picture each, or the features of one."""
        words, pictures, tags = make_rows(True, size, LENGTH)
        if stored:
            loaded = [load_image(picture) for picture in pictures or []]
            with torch.no_grad():
                pictures = KeptFeatures().encode(self.model, self.processor, loaded)
        return dict(self.processor(words, pictures, tags))

    def network(self, attention: str = "sdpa", compiled: bool = False, frozen: bool = False) -> Any:
        """A copy of the network."""
        model = copy.deepcopy(self.model)
        model.set_attn_implementation(attention)
        for name in TOWERS if frozen else ():
            getattr(model.model, name).requires_grad_(False)
        if compiled:
            for name in ENCODERS:
                # Without a GPU this only tries the script; the compiler for CPUs takes minutes.
                getattr(model.model, name).compile(
                    dynamic=True, backend="inductor" if self.device.type == "cuda" else "eager"
                )
        return model


def forward(bench: Bench) -> Iterator[Task]:
    """Network and decoder."""
    for size in bench.sizes:
        batch = bench.batch(size)
        for way, bf16, settings in (
            ("fp32", False, {}),
            ("fp32, eager attention", False, {"attention": "eager"}),
            ("bf16", True, {}),
            ("bf16, compiled", True, {"compiled": True}),
        ):

            def run(batch: Any = batch, bf16: bool = bf16, settings: Any = settings, size: int = size) -> float:
                predict = make_prediction(bench.network(**settings), batch, bench.device, bf16)
                return size / median_seconds(predict, bench.steps, bench.device)

            yield Task(f"forward, batches of {size}", way, "sentences/s", run)


def step(bench: Bench) -> Iterator[Task]:
    """Training steps as the Trainer makes them."""
    size = bench.sizes[0]
    for way, bf16, stored, settings in (
        ("fp32", False, False, {}),
        ("fp32, eager attention", False, False, {"attention": "eager"}),
        ("bf16", True, False, {}),
        ("bf16, compiled", True, False, {"compiled": True}),
        ("towers frozen, bf16", True, False, {"frozen": True}),
        ("towers frozen, features stored, fp32", False, True, {"frozen": True}),
        ("towers frozen, features stored, bf16", True, True, {"frozen": True}),
    ):

        def run(bf16: bool = bf16, stored: bool = stored, settings: Any = settings) -> float:
            model = bench.network(**settings).train()
            made = make_step(model, bench.batch(size, stored), bench.device, bf16, 0.0)
            return size / median_seconds(made, bench.steps, bench.device)

        yield Task(f"training step, batches of {size}", way, "sentences/s", run)


def pipeline(bench: Bench) -> Iterator[Task]:
    """From words and picture files to entities."""
    words, pictures, _ = make_rows(True, bench.sentences, LENGTH)
    with_pictures = [{"words": own, "image": picture} for own, picture in zip(words, pictures or [], strict=True)]
    for work, given in (("pipeline, text", words), ("pipeline, text and picture", with_pictures)):
        for workers in bench.workers[:2]:

            def run(given: Any = given, workers: int = workers) -> float:
                pipe = TwoMNERPipeline(model=bench.network(), processor=bench.processor, device=bench.device)
                ask = partial(pipe, given, batch_size=bench.sizes[1], num_workers=workers)
                return bench.sentences / _once(ask, bench.device)

            yield Task(work, f"fp32, {workers} processes load", "sentences/s", run)


def loader(bench: Bench) -> Iterator[Task]:
    """What the Trainer's loader gives, without a network: decoding, two processors, sub-words."""
    words, pictures, _ = make_rows(True, bench.sentences, LENGTH)
    rows = [
        {"tokens": own, "ner_tags": [0] * len(own), "image": {"bytes": picture, "path": None}}
        for own, picture in zip(words, pictures or [], strict=True)
    ]
    for workers in bench.workers:

        def run(workers: int = workers) -> float:
            given: Any = DataLoader(
                rows,  # type: ignore[arg-type]  # a list is a data set
                batch_size=bench.sizes[0],
                num_workers=workers,
                collate_fn=TwoMNERDataCollator(bench.processor),
            )
            return bench.sentences / _once(lambda: sum(len(batch["labels"]) for batch in given), bench.device)

        yield Task("loader, sentences with pictures", f"{workers} processes", "sentences/s", run)


def crf(bench: Bench) -> Iterator[Task]:
    """Kernels that are launched for a batch, and waits for the device."""
    for sentences, words in CRF_SHAPES:
        decoder = LinearChainCRF(len(LABELS), LABELS).to(bench.device)
        generator = torch.Generator().manual_seed(19)
        emissions = torch.randn(sentences, words, len(LABELS), generator=generator).to(bench.device)
        mask = torch.ones(sentences, words, dtype=torch.bool, device=bench.device)
        tags = torch.zeros(sentences, words, dtype=torch.long, device=bench.device)

        def learn(decoder: Any = decoder, emissions: Any = emissions, mask: Any = mask, tags: Any = tags) -> None:
            own = emissions.clone().requires_grad_()
            decoder.neg_log_likelihood(own, tags, mask).mean().backward()

        for work, run in (
            ("Viterbi", partial(decoder.viterbi, emissions, mask)),
            ("loss and gradients", learn),
            ("posteriors", lambda d=decoder, e=emissions, m=mask: TagPosteriors(e, m, LABELS, d, True).read()),
        ):
            what = f"CRF, {work}, {sentences} x {words}"
            kernels = "kernels" if bench.device.type == "cuda" else "operations"
            yield Task(what, "launched", f"{kernels} a batch", lambda run=run: count_events(run, bench.device)[0])
            yield Task(what, "waits", "waits a batch", lambda run=run: count_events(run, bench.device)[1])
            yield Task(
                what, "time", "ms a batch", lambda run=run: 1000 * median_seconds(run, bench.steps, bench.device)
            )


def count_events(run: Callable[[], Any], device: torch.device) -> tuple[int, int]:
    """Kernels that are launched, on a CPU operations, and waits for the device."""
    run()
    _wait(device)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=activities) as found:
        run()
    names = [event.name for event in found.events()]
    started = LAUNCHES if device.type == "cuda" else ("aten::",)
    launches = sum(name.startswith(started) for name in names)
    return launches, sum(any(wait in name for wait in WAITS) for name in names)


GROUPS = {"crf": crf, "forward": forward, "step": step, "pipeline": pipeline, "loader": loader}


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/gpu.py", __doc__)
    add = parser.add_argument
    add("--device", default="cuda", help="where to measure (default: %(default)s)")
    add("--small", action="store_true", help="tiny networks and few sentences")
    add("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="some of the measurements (default: all)")
    add("--steps", type=at_least(1), default=10, help="how often each is timed (default: %(default)s)")
    add("--limit_s", type=at_least(1.0), default=450.0, help="seconds after which nothing is begun (%(default)s)")
    add("--output", type=Path, help="JSON file to write the lines to")
    add("--table", type=Path, metavar="JSON", help="print what such a file holds, and measure nothing")
    return parser.parse_args(arguments)


@exit_on_error(OSError)
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a line as soon as it is known."""
    options = read_command_line(arguments)
    if options.table is not None:
        return print(show(json.loads(options.table.read_text(encoding="utf-8"))))
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        raise ValueError("`device` is cuda, but there is no GPU; write --small --device cpu to try the script.")
    record: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "small": options.small}
    record |= {
        "device": describe_device(torch.device(options.device), False).split(",")[0],
        "torch": torch.__version__,
    }
    rows: list[Row] = []

    def measured() -> Iterator[Row]:
        for row in measure(options):
            rows.append(row)
            if options.output is not None:
                write_json(options.output, {**record, "rows": [asdict(row) for row in rows]}, indent=1)
            yield row

    for line in table(measured()).markdown_lines():
        print(line, flush=True)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """The lines of all groups; one that fails, or for which there is no time, says so."""
    torch.manual_seed(19)
    ends = time.monotonic() + options.limit_s
    bench = Bench(options)
    for name in options.only:
        for task in GROUPS[name](bench):
            if time.monotonic() > ends:
                yield Row(task.work, task.way, error="no time was left")
                continue
            with _peak_memory(bench.device) as peak:
                try:
                    value, error = task.run(), ""
                except FAILURES as failure:
                    value, error = None, describe(failure)
            yield Row(task.work, task.way, value, task.unit, peak[0], error)


def table(rows: Iterator[Row] | Sequence[Row]) -> Table:
    """The rows as a table, whose lines come as the rows do."""
    return Table(["work", "way", "result", "", "peak GiB"], (row.cells() for row in rows), align="llrlr")


def show(record: dict[str, Any]) -> str:
    """A record as the text and the table of RESULTS.md."""
    networks = "tiny" if record["small"] else "the full-size"
    head = (
        f"{record['date']}, {record['device']}, {record['cores']} cores, torch {record['torch']}; {networks} networks."
    )
    return f"{head}\n\n{table([Row(**row) for row in record['rows']]).markdown()}"


@contextmanager
def _peak_memory(device: torch.device) -> Iterator[list[float]]:
    """The most memory that a GPU holds meanwhile, in GiB, in a list."""
    found = [0.0]
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    if device.type == "cuda":
        found[0] = torch.cuda.max_memory_allocated(device) / GIBIBYTE


def _once(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the second run."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        run()
        _wait(device)
        seconds = time.perf_counter() - started
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
