"""Measure what a trained model is worth where there are a hundred sentences with other labels.

    python -m experiments.new_labels --model runs/demo --output experiments/results/new_labels

`runs/demo` is what `make demo` trains on the generated data set with the types PER, LOC, ORG and MISC. The other labels
are those of `NEW_TYPES`: two types have other names, two are split in two. For each seed, a hundred sentences are drawn
that the model was not trained on, and two networks learn from them: one with new weights, one that starts from the model
(`--new_labels true`). Both have the same settings, validation and test sentences. The figures are in `record.json`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import at_least, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.new_labels", __doc__)
    parser.add_argument("--model", type=Path, default=Path("runs") / "demo", help="run folder (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for record.json")
    parser.add_argument("--seeds", type=at_least(1), default=3, help="seeds, from 19 on (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least(1), default=60, help="epochs of each run (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison and print its table."""
    options = read_command_line(arguments)
    from experiments.relabelled import run  # this takes seconds, and the help does not need it

    run(options)


if __name__ == "__main__":
    main()
