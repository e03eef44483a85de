"""How many hours each table of the paper takes, from measured or assumed throughput.

    python benchmarks/hours.py                                # operations of each network; seconds, no GPU needed
    python benchmarks/hours.py --tflops 15                    # and hours on a GPU that reaches 15 teraFLOP/s
    python benchmarks/hours.py --measure --measured gpu.json  # hours from real steps on this machine, all networks
    python benchmarks/hours.py --measure --models 2m-ner,bert-crf --steps 5 --measured here.json
    python benchmarks/hours.py --measured gpu.json --seeds 5 --workers 8   # from earlier measurements

Networks are full-size, with random weights, as the run files of configuration_2mner/runs set them up; pictures are
generated 500x375 JPEGs. The numbers of sentences are those of the paper's Table 2. For a network that was not
measured, the seconds follow from its operations at --tflops or, by default, at the lowest rate of the measured networks.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.networks import Count, Length, Measure, count, describe_device, measure, run_arguments
from dataset_scripts.schema import CONFIGS
from dataset_scripts.statistics.paper import paper_counts
from experiments.plan import ALPHAS, BEYOND, IMPROVEMENTS, LEARNING_RATES, OURS, TABLES, Run, plan_runs
from reports_2mner.command_line import at_least, comma_separated, exit_on_error, make_parser
from reports_2mner.files import write_json
from reports_2mner.tables import Table

LARGE = 1e9  # operations per sentence; below that, a step spends its time on anything but arithmetic
ADAM_BYTES = 28  # per weight: weight, gradient and both moments read, all but the gradient written, 4 bytes each


@dataclass(frozen=True)
class Machine:
    """An accelerator, for networks that were not measured.

    Args:
        tflops: teraFLOP/s that large products and convolutions reach, not those of the data sheet.
        bandwidth: of its memory, in GB/s.
        launch_us: microseconds to launch an operation.
    """

    tflops: float
    bandwidth: float
    launch_us: float

    def seconds(self, flops: float, launches: int, weights: int = 0) -> float:
        """Seconds per batch: arithmetic and the optimizer's memory traffic, or launching if that takes longer."""
        busy = flops / (self.tflops * 1e12) + ADAM_BYTES * weights / (self.bandwidth * 1e9)
        return max(busy, launches * self.launch_us * 1e-6)


@dataclass(frozen=True)
class Cost:
    """What a system costs in seconds per sentence; `load` is for one core.

    Args:
        epochs: of its run file.
        measured: where the seconds were measured; empty for computed ones.
    """

    train: float
    evaluate: float
    load: float
    epochs: float
    measured: str = ""


@exit_on_error()
def main(arguments: list[str] | None = None) -> None:
    """Count, measure if asked to, and print the hours."""
    options = read_command_line(arguments)
    length, runs = Length(options.words, options.pieces), systems()
    for model in options.models or ():
        if model not in runs:
            raise ValueError(f"`models` names {model!r}; write any of {', '.join(sorted(runs))}.")
    counts = {system: count(run, options.settings, length) for system, run in runs.items()}
    print("\n".join(["## Operations of a sentence", "", count_table(counts), ""]), flush=True)
    measures = read_measures(options.measured)
    if options.measure:
        measures |= measure_all({name: runs[name] for name in options.models or runs}, counts, options, length)
    if options.tflops is None and not measures:
        print("For hours, give --tflops, or --measure.")
        return
    machine = Machine(options.tflops or lowest_rate(counts, measures), options.bandwidth, options.launch_us)
    costs = {}
    for system, run in runs.items():
        if found := measures.get(system):
            epochs = run_arguments(run, options.settings)[1].num_train_epochs
            costs[system] = Cost(found.train, found.evaluate, found.load, epochs, found.where)
        else:
            costs[system] = compute_cost(run, options.settings, counts[system], machine, options.picture_ms / 1000)
    print_hours(costs, machine, options)


def systems() -> dict[str, Run]:
    """A run of each network that the tables need, by its name."""
    return {run.system: run for run in reversed(plan_runs(TABLES))}


def count_table(counts: dict[str, Count]) -> str:
    """The operations as Markdown."""
    rows = [
        [
            system,
            *(f"{flops / 1e9:.2f}" for flops in (found.train, found.evaluate)),
            *(str(launches) for launches in (found.train_launches, found.evaluate_launches)),
            f"{found.trained / 1e6:.1f} M",
        ]
        for system, found in sorted(counts.items())
    ]
    header = ["network", "GFLOP, training", "evaluation", "operations a step", "a prediction", "trained weights"]
    return Table(header, rows, align="lrrrrr").markdown()


def read_measures(path: Path | None) -> dict[str, Measure]:
    """The results of earlier calls, by system."""
    if path is None or not path.is_file():
        return {}
    return {name: Measure(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}


def measure_all(
    runs: dict[str, Run], counts: dict[str, Count], options: argparse.Namespace, length: Length
) -> dict[str, Measure]:
    """Measure some systems; each result is printed and stored at once."""
    device = torch.device(options.device)
    measures: dict[str, Measure] = {}

    def rows() -> Iterator[list[str]]:
        for system, run in runs.items():
            found = measures[system] = measure(run, options.settings, length, options.steps, device, options.bf16)
            if options.measured is not None:
                stored = read_measures(options.measured) | measures
                write_json(options.measured, {name: asdict(kept) for name, kept in stored.items()}, indent=2)
            flops = counts[system]
            rates = [flops.train / found.train / 1e12, flops.evaluate / found.evaluate / 1e12]
            times = [f"{1 / found.train:.2f}", f"{1 / found.evaluate:.2f}", *(f"{rate:.3f}" for rate in rates)]
            yield [system, *times, f"{found.memory:.1f}", f"{1 / found.load:.0f}"]

    print(f"## Measured: {describe_device(device, options.bf16)}, {length}\n")
    header = ["network", "sentences/s, training", "evaluation", "TFLOP/s, training", "evaluation", "peak GiB"]
    for line in Table([*header, "loading/s, core"], rows(), align="lrrrrrr").markdown_lines():
        print(line, flush=True)
    print()
    return measures


def lowest_rate(counts: dict[str, Count], measures: dict[str, Measure]) -> float:
    """The lowest teraFLOP/s of a training step; small networks count only if there is no other."""
    large = [system for system in measures if counts[system].train > LARGE] or list(measures)
    return min(counts[system].train / measures[system].train for system in large) / 1e12


def compute_cost(run: Run, settings: str, count: Count, machine: Machine, picture_seconds: float) -> Cost:
    """The cost of a system on a machine, from its operations."""
    training = run_arguments(run, settings)[1]
    size = training.per_device_train_batch_size
    train = machine.seconds(size * count.train, count.train_launches, count.trained) / size
    size = training.per_device_eval_batch_size
    evaluate = machine.seconds(size * count.evaluate, count.evaluate_launches) / size
    load = picture_seconds if count.pictures else 0.0
    return Cost(train, evaluate, load, training.num_train_epochs)


def print_hours(costs: dict[str, Cost], machine: Machine, options: argparse.Namespace) -> None:
    """Print the hours of runs and tables, and the assumptions behind them."""
    rows = []
    for system, run in sorted(systems().items()):
        cost = costs[system]
        hours = run_hours(Run(run.model, run.variant), cost, options.workers)
        rows.append([system, f"{hours:.2f}", "measured seconds" if cost.measured else "operations"])
    print("## Hours of a run on all four languages\n")
    print(Table(["network", "hours", "from"], rows, align="lrl").markdown())
    print("\n## Hours of the tables, one run after another\n")
    print(hours_table(costs, options.workers, options.seeds) + "\n")
    measured = sorted(f"{system} ({cost.measured})" for system, cost in costs.items() if cost.measured)
    print(f"Measured: {'; '.join(measured) or 'nothing'}.")
    if len(measured) < len(costs):
        print(
            f"Assumed{' for the others' * bool(measured)}: {machine.tflops:.3g} TFLOP/s reached, "
            f"{machine.bandwidth:g} GB/s of memory for Adam, {machine.launch_us:g} us to launch an operation, "
            f"{options.picture_ms:g} ms of a core for a picture."
        )
    print(
        f"Assumed for all: the sentences of the paper's Table 2, {options.words} words and {options.pieces} sub-words "
        f"each, a picture each, no padding; {options.workers} loading workers, each with a core, that are never late "
        "together; all epochs of the run files, although the models on words stop early; one pass over dev an "
        "epoch; protocol `dev`. Not in it: starting, saving, downloads."
    )


def hours_table(costs: dict[str, Cost], workers: int, seeds: int) -> str:
    """Runs and hours of each table as Markdown, and of all tables with each run made once.

    An improvement costs as much as 2M-NER.
    """
    columns = sorted({1, seeds})
    header = ["table"]
    for number in columns:
        header += ["runs", f"hours, {number} seed{'s' * (number > 1)}"]
    rows = [(f"Table {table.removeprefix('table')}", [table]) for table in TABLES]
    rows += [("Tables 5 to 9, each run once", [*TABLES]), ("improvements", [BEYOND])]
    plans_of = {name: [plan_runs(tables, number) for number in columns] for name, tables in rows}
    plans_of["grid"] = [[Run(OURS)] * (number * len(ALPHAS) * len(LEARNING_RATES)) for number in columns]
    lines = []
    for name, plans in plans_of.items():
        cells = []
        for runs in plans:
            known = [costs[OURS if run.variant in IMPROVEMENTS else run.system] for run in runs]
            hours = sum(run_hours(run, cost, workers) for run, cost in zip(runs, known, strict=True))
            cells.append((str(len(runs)), f"{hours:.1f}"))
        lines.append([name, *chain(*cells)])
    return Table(header, lines, align="l" + "r" * (len(header) - 1)).markdown()


def run_hours(run: Run, cost: Cost, workers: int) -> float:
    """Hours of a run: its epochs, each followed by a pass over dev, and at the end dev and test with the best epoch.

    With workers of its own, loading overlaps with computing, so the slower of the two counts.
    """
    train, dev, test = sentence_counts(run)
    passes = ((cost.epochs * train, cost.train), ((cost.epochs + 1) * dev + test, cost.evaluate))
    return (
        sum(
            number * (max(seconds, cost.load / workers) if workers else seconds + cost.load)
            for number, seconds in passes
        )
        / 3600
    )


def sentence_counts(run: Run) -> tuple[float, int, int]:
    """Sentences of training, development and test by Table 2 of the paper, for the run's part and languages."""
    counts = paper_counts()
    train, dev, test = (
        sum(counts[language, split].sentences for language in CONFIGS[run.languages])
        for split in ("train", "validation", "test")
    )
    parts = int(run.part.partition("/")[2]) if run.part else 1
    return train / parts, dev, test


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/hours.py", __doc__)
    add = parser.add_argument
    add("--measure", action="store_true", help="time real steps on this machine")
    add(
        "--measured",
        type=Path,
        metavar="FILE",
        help="JSON file that --measure adds to, and that results are read from",
    )
    add("--models", type=comma_separated(), help="what to measure, such as 2m-ner,bert-crf,umt-text")
    add("--steps", type=at_least(1), default=20, help="timed steps, after two that are not (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where (default: %(default)s)")
    add("--bf16", action="store_true", help="measure in bfloat16 autocast")
    add(
        "--tflops",
        type=at_least(0.001),
        help="teraFLOP/s that the machine reaches, not its peak; for what is not measured",
    )
    add("--bandwidth", type=at_least(0.001), default=900, help="GB/s of the GPU's memory (default: %(default)s)")
    add(
        "--launch_us",
        type=at_least(0.0),
        default=10,
        help="microseconds to launch an operation (default: %(default)s)",
    )
    add(
        "--picture_ms",
        type=at_least(0.0),
        default=10,
        help="milliseconds of a core to load a picture (default: %(default)s)",
    )
    add(
        "--workers",
        type=at_least(0),
        default=4,
        help="dataloader_num_workers; 0: loading waits (default: %(default)s)",
    )
    add("--seeds", type=at_least(1), default=3, help="hours for one seed and for this many (default: %(default)s)")
    add("--words", type=at_least(1), default=Length.words, help="words of a sentence (default: %(default)s)")
    add("--pieces", type=at_least(1), default=Length.pieces, help="sub-words of a sentence (default: %(default)s)")
    add("--settings", default="paper", help="run files: `paper`, or `demo` for the small networks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
