"""Time 2M-NER beside plain references of the same work, interleaved in one run, with the goal of each.

    python benchmarks/side_by_side.py                     # small networks, ten minutes
    python benchmarks/side_by_side.py --full              # the paper's networks, three quarters of an hour
    python benchmarks/side_by_side.py --full --conll test_conll_format.txt --text_encoder FOLDER  # real sentences
    python benchmarks/side_by_side.py --table benchmarks/side_by_side.json

References: for forward passes and training steps the authors' released network in its order of work (sentences as they
come, a picture decoded and encoded for each), with the same encoders; for text the stock "token-classification" of
transformers on an encoder of the same size; for posteriors one sentence at a time; for the server requests one at a
time. Weights are random. Prints a line for each way as soon as it is known, with the median over the rounds, and writes
all of them to --output. In float32, tags must be equal to those of the eager network and scores within 1e-5; where the
precision differs, the table says how many tags are equal.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.speed.forward import forward
from benchmarks.speed.material import Material
from benchmarks.speed.measuring import CLOCKS, Row, table
from benchmarks.speed.server import server
from benchmarks.speed.steps import steps
from benchmarks.speed.text import posteriors, small_model, text_pipeline
from reports_2mner.command_line import at_least, exit_on_error, make_parser
from reports_2mner.files import write_json

GROUPS = {
    "posteriors": posteriors,
    "text": text_pipeline,
    "small": small_model,
    "server": server,
    "forward": forward,
    "steps": steps,
}
PACKAGES = ("torch", "transformers", "onnxruntime", "openvino", "nncf")


def read_command_line(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the options."""
    parser = make_parser("python benchmarks/side_by_side.py", __doc__)
    add = parser.add_argument
    add("--full", action="store_true", help="the paper's networks in place of small ones")
    add("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="some of the measurements (default: all)")
    add("--conll", type=Path, help="CoNLL file whose first sentences are used (default: generated ones)")
    add("--text_encoder", help="folder of a BERT: its tokenizer is used everywhere, its size for text alone")
    add("--sentences", type=at_least(16), default=512, help="sentences of the text (default: %(default)s)")
    add("--batches", type=at_least(1), default=8, help="batches of 16 with pictures (default: %(default)s)")
    add("--step_batches", type=at_least(1), default=3, help="different batches to train on (default: %(default)s)")
    add("--repeats", type=at_least(1), default=3, help="rounds of all but training steps (default: %(default)s)")
    add("--step_repeats", type=at_least(1), default=2, help="rounds of training steps (default: %(default)s)")
    add("--clients", type=at_least(1), default=64, help="clients of the server at once (default: %(default)s)")
    add("--requests", type=at_least(1), default=512, help="requests to the server (default: %(default)s)")
    add("--calibration", type=at_least(1), default=64, help="sentences that int8 is calibrated on (%(default)s)")
    add("--exports", type=Path, help="folder to keep exports in, for the next run (default: a temporary one)")
    add("--threads", type=at_least(1), default=1, help="threads (default: %(default)s)")
    add(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="what is measured; cpu where other programs run, for one thread, and never for the server (%(default)s)",
    )
    add("--output", type=Path, help="JSON file to write the lines and the machine to")
    add("--table", type=Path, metavar="JSON", help="print what such a file holds, and measure nothing")
    return parser.parse_args(arguments)


@exit_on_error(OSError)
def main(arguments: list[str] | None = None) -> None:
    """Measure, print a line as soon as it is known, and fail at the end if a way could not be measured."""
    options = read_command_line(arguments)
    if options.table is not None:
        return print(show(json.loads(options.table.read_text(encoding="utf-8"))))
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    record = describe_run(options, sys.argv[1:] if arguments is None else arguments)

    def measured() -> Iterator[Row]:
        for row in measure(options):
            rows.append(row)
            if options.output is not None:  # also what an interrupted run has measured is kept
                record.update(load_after=os.getloadavg(), rows=[asdict(row) for row in rows])
                write_json(options.output, record, indent=1)
            yield row

    for line in table(measured()).markdown_lines():
        print(line, flush=True)
    if failed := [f"{row.work}, {row.way}: {row.error}" for row in rows if row.error]:
        raise ValueError(f"{len(failed)} of {len(rows)} lines could not be measured: {'; '.join(failed)}.")


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """The lines of all groups."""
    material = Material.of(options)
    for name in options.only:
        torch.manual_seed(19)
        for work in GROUPS[name](options, material):
            yield from work.rows()
            del work  # or its networks stay until those of the next one are there
        gc.collect()


def describe_run(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """Machine, versions, date and load."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "clock": options.clock,
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "full": options.full,
        "sentences": "of --conll" if options.conll is not None else "generated",
        "options": [argument for argument in arguments if "/" not in argument],  # without folders of this machine
        "load_before": os.getloadavg(),
    }


def show(record: dict[str, Any]) -> str:
    """A record as the text and the table of RESULTS.md."""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    before, after = (f"{record[name][0]:.1f}" for name in ("load_before", "load_after"))
    lines = [
        f"{record['date']}, {record['machine']}, {record['cores']} cores, {record['threads']} thread(s), "
        f"{record['clock']} time; load {before} before and {after} after; "
        f"{'the full-size' if record['full'] else 'small'} networks, sentences {record['sentences']};",
        f"Python {record['python']}, {versions}.",
    ]
    return "\n".join([*lines, "", table([Row(**row) for row in record["rows"]]).markdown()])


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
