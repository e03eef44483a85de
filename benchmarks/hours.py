"""How many hours each table of the paper takes, from measured or assumed throughput.

    python benchmarks/hours.py                                # operations of each network; seconds, no GPU needed
    python benchmarks/hours.py --tflops 15                    # and hours on a GPU that reaches so many teraFLOP/s
    python benchmarks/hours.py --measure --measured gpu.json  # hours from real steps on this machine, all networks
    python benchmarks/hours.py --measure --models 2m-ner,bert-crf --steps 5 --measured here.json
    python benchmarks/hours.py --measured gpu.json --seeds 5 --workers 8   # from what was measured before

Networks are full-size, with random weights, as the run files of configuration_2mner/runs set them up; pictures are
generated JPEGs of 500x375. Numbers of sentences are those of the paper's Table 2. A network that was not measured gets
the seconds of its operations at --tflops, or, without it, at the lowest rate that any measured network reached.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.hours_counts import Count, count
from benchmarks.hours_measure import Measure, describe, measure, read_measures, write_measures
from benchmarks.hours_networks import Length
from benchmarks.hours_tables import Cost, Machine, compute_cost, hours_table, measured_cost, run_hours, systems
from experiments.plan import Run
from reports_2mner.tables import Table

Counts = dict[str, Count]
Measures = dict[str, Measure]
LARGE = 1e9  # operations of a sentence; below, a step is spent on anything but arithmetic


def main(arguments: list[str] | None = None) -> None:
    """Run from the command line."""
    options = read_command_line(arguments)
    length, runs = Length(options.words, options.pieces), systems()
    try:
        check(options, runs)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
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
        known = measures.get(system)
        costs[system] = (
            measured_cost(run, options.settings, known)
            if known
            else compute_cost(run, options.settings, counts[system], machine, options.picture_ms / 1000)
        )
    print_hours(costs, machine, options)


def check(options: argparse.Namespace, runs: dict[str, Run]) -> None:
    """Refuse what cannot be measured or divided by.

    Raises:
        ValueError: with the remedy.
    """
    for model in options.models or ():
        if model not in runs:
            raise ValueError(f"`models` names {model!r}; write any of {', '.join(sorted(runs))}.")
    for name in ("steps", "tflops", "bandwidth", "words", "seeds"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise ValueError(f"`{name}` is {value}; write a number above 0.")


def measure_all(runs: dict[str, Run], counts: Counts, options: argparse.Namespace, length: Length) -> Measures:
    """Measure some systems, and print and keep each result at once."""
    device = torch.device(options.device)
    print(f"## Measured: {describe(device, options.bf16)}, {length}\n")
    measures: Measures = {}
    header = ["network", "sentences/s, training", "evaluation", "TFLOP/s, training", "evaluation", "peak GiB"]
    rows = _measured_rows(runs, counts, options, length, device, measures)
    for line in Table([*header, "loading/s, core"], rows, align="lrrrrrr").markdown_lines():
        print(line, flush=True)
    print()
    return measures


def _measured_rows(
    runs: dict[str, Run],
    counts: Counts,
    options: argparse.Namespace,
    length: Length,
    device: torch.device,
    measures: Measures,
) -> Iterator[list[str]]:
    """Measure one system after the other into `measures`."""
    for system, run in runs.items():
        found = measure(run, options.settings, length, options.steps, device, options.bf16)
        measures[system] = found
        write_measures(options.measured, read_measures(options.measured) | measures)
        rates = [
            flops / 1e12 for flops in (counts[system].train / found.train, counts[system].evaluate / found.evaluate)
        ]
        times = [f"{1 / found.train:.2f}", f"{1 / found.evaluate:.2f}", *(f"{rate:.3f}" for rate in rates)]
        yield [system, *times, f"{found.memory:.1f}", f"{1 / found.load:.0f}"]


def lowest_rate(counts: Counts, measures: Measures) -> float:
    """The lowest teraFLOP/s of a training step; that of small networks counts only where there is no other."""
    large = [system for system in measures if counts[system].train > LARGE] or list(measures)
    return min(counts[system].train / measures[system].train for system in large) / 1e12


def count_table(counts: Counts) -> str:
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


def print_hours(costs: dict[str, Cost], machine: Machine, options: argparse.Namespace) -> None:
    """Print the hours of runs and tables, and what they rest on."""
    rows = []
    for system, run in sorted(systems().items()):
        cost = costs[system]
        hours = run_hours(Run(run.model, run.variant), cost, options.workers)
        rows.append([system, f"{hours:.2f}", "measured seconds" if cost.measured else "operations"])
    print("## Hours of a run on all four languages\n")
    print(Table(["network", "hours", "from"], rows, align="lrl").markdown())
    print(
        "\n## Hours of the tables, one run after another\n\n"
        + hours_table(costs, options.workers, options.seeds)
        + "\n"
    )
    measured = sorted(f"{system} ({cost.measured})" for system, cost in costs.items() if cost.measured)
    print(f"Measured: {'; '.join(measured) or 'nothing'}.")
    if len(measured) < len(costs):
        print(
            f"Assumed{' for the others' * bool(measured)}: {machine.tflops:.3g} TFLOP/s reached, {machine.bandwidth:g} GB/s of memory for Adam, "
            f"{machine.launch_us:g} us to launch an operation, {options.picture_ms:g} ms of a core for a picture."
        )
    print(
        f"Assumed for all: the sentences of the paper's Table 2, {options.words} words and {options.pieces} sub-words each, "
        f"a picture each, no padding; {options.workers} loading workers, each with a core, that are never late together; "
        "all epochs of the run files, although the models on words stop early; one pass over dev an epoch; protocol "
        "`dev`. Not in it: starting, saving, downloads."
    )


def read_command_line(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--measure", action="store_true", help="time real steps on this machine")
    add("--measured", type=Path, metavar="FILE", help="JSON file to which --measure adds, and from which it is read")
    add("--models", type=lambda text: text.split(","), help="what to measure, such as 2m-ner,bert-crf,umt-text")
    add("--steps", type=int, default=20, help="timed steps, after two that are not (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where (default: %(default)s)")
    add("--bf16", action="store_true", help="measure in bfloat16 autocast")
    add("--tflops", type=float, help="teraFLOP/s that the machine reaches, not its peak; for what is not measured")
    add("--bandwidth", type=float, default=900, help="GB/s of the GPU's memory (default: %(default)s)")
    add("--launch_us", type=float, default=10, help="microseconds to launch an operation (default: %(default)s)")
    add("--picture_ms", type=float, default=10, help="milliseconds of a core to load a picture (default: %(default)s)")
    add("--workers", type=int, default=4, help="dataloader_num_workers; 0: loading waits (default: %(default)s)")
    add("--seeds", type=int, default=3, help="hours for one seed and for so many (default: %(default)s)")
    add("--words", type=int, default=Length.words, help="words of a sentence (default: %(default)s)")
    add("--pieces", type=int, default=Length.pieces, help="sub-words of a sentence (default: %(default)s)")
    add("--settings", default="paper", help="run files: `paper`, or `demo` for the small networks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
