"""From what a sentence costs to the hours of the paper's tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from benchmarks.hours_counts import Count
from benchmarks.hours_measure import Measure
from benchmarks.hours_networks import run_arguments
from dataset_scripts.schema import CONFIGS
from dataset_scripts.statistics.paper import paper_counts
from experiments.grid import ALPHAS, LEARNING_RATES
from experiments.plan import BEYOND, IMPROVEMENTS, OURS, TABLES, Run, plan_runs
from reports_2mner.tables import Table

ADAM_BYTES = 28  # a weight: weight, gradient and both moments read, all but the gradient written, 4 bytes each
Costs = dict[str, "Cost"]


@dataclass(frozen=True)
class Machine:
    """An accelerator, for networks that were not measured.

    Args:
        tflops: teraFLOP/s that large products and convolutions reach, not the data sheet's.
        bandwidth: GB/s of its memory.
        launch_us: microseconds to launch an operation.
    """

    tflops: float
    bandwidth: float
    launch_us: float

    def seconds(self, flops: float, launches: int, weights: int = 0) -> float:
        """Seconds of a batch: arithmetic and the optimizer's way through memory, or launching if that takes longer."""
        busy = flops / (self.tflops * 1e12) + ADAM_BYTES * weights / (self.bandwidth * 1e9)
        return max(busy, launches * self.launch_us * 1e-6)


@dataclass(frozen=True)
class Cost:
    """What a system costs in seconds a sentence; `load` is of one core.

    Args:
        epochs: of its run file.
        measured: where the seconds were measured; empty for computed ones.
    """

    train: float
    evaluate: float
    load: float
    epochs: float
    measured: str = ""


def compute_cost(run: Run, settings: str, count: Count, machine: Machine, picture_seconds: float) -> Cost:
    """The cost of a system on a machine, from its operations."""
    training = run_arguments(run, settings)[1]
    size = training.per_device_train_batch_size
    train = machine.seconds(size * count.train, count.train_launches, count.trained) / size
    size = training.per_device_eval_batch_size
    evaluate = machine.seconds(size * count.evaluate, count.evaluate_launches) / size
    load = picture_seconds if count.pictures else 0.0
    return Cost(train, evaluate, load, training.num_train_epochs)


def measured_cost(run: Run, settings: str, measured: Measure) -> Cost:
    """The cost of a system as it was measured."""
    epochs = run_arguments(run, settings)[1].num_train_epochs
    return Cost(measured.train, measured.evaluate, measured.load, epochs, measured.where)


def sentences(run: Run) -> tuple[float, int, int]:
    """Sentences of training, development and test by Table 2 of the paper, of the run's part and languages."""
    counts = paper_counts()
    train, dev, test = (
        sum(counts[language, split].sentences for language in CONFIGS[run.languages])
        for split in ("train", "validation", "test")
    )
    parts = int(run.part.partition("/")[2]) if run.part else 1
    return train / parts, dev, test


def run_hours(run: Run, cost: Cost, workers: int) -> float:
    """Hours of a run: its epochs, each with a pass over dev, and once more dev and test with the best one.

    Loading overlaps computing when it has workers of its own, so that the slower of both counts.
    """
    train, dev, test = sentences(run)
    evaluated = (cost.epochs + 1) * dev + test
    passes = ((cost.epochs * train, cost.train), (evaluated, cost.evaluate))
    return sum(count * with_loading(seconds, cost.load, workers) for count, seconds in passes) / 3600


def with_loading(seconds: float, load: float, workers: int) -> float:
    """Seconds a sentence, given those of the accelerator and those of one core."""
    return max(seconds, load / workers) if workers else seconds + load


def total_hours(runs: Iterable[Run], costs: Costs, workers: int) -> float:
    """Hours of runs, one after another; an improvement costs what 2M-NER does."""
    names = ((run, OURS if run.variant in IMPROVEMENTS else run.system) for run in runs)
    return sum(run_hours(run, costs[name], workers) for run, name in names)


def systems(tables: Iterable[str] = TABLES) -> dict[str, Run]:
    """A run of each network that the tables need, by its name."""
    return {run.system: run for run in reversed(plan_runs(tables))}


def hours_table(costs: Costs, workers: int, seeds: int) -> str:
    """Runs and hours of each table as Markdown, and of all of them without making a run twice."""
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
        cells = [(str(len(runs)), f"{total_hours(runs, costs, workers):.1f}") for runs in plans]
        lines.append([name, *chain(*cells)])
    return Table(header, lines, align="l" + "r" * (len(header) - 1)).markdown()
