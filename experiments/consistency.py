"""Measure how consistent the labels of each source of a data set are, with a model that has not seen the sentence.

    python -m experiments.consistency mmnerd --output experiments/results/consistency/mmnerd_en.json
    python -m experiments.consistency mmnerd --models runs/0 runs/1 runs/2 runs/3 runs/4 --output consistency.json

All splits are read together. Each sentence is tagged by a model trained on the other parts of the pictures, as for
`python -m dataset_scripts.label_errors`; a source whose labels follow one rule can be predicted so, one with noise cannot.
Beside these scores stand the label conflicts of the audit: strings to which the annotators gave several types within a
source, and how many of the model's errors concern them. By default the model is a fast linear one, which says how the
sources differ, not what a good model can do.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import at_least, between, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.consistency", __doc__)
    add = parser.add_argument
    add("dataset", help="folder or Hub id of a data set")
    add("--dataset_config", metavar="NAME", help="its configuration, if it has several")
    add("--models", nargs="*", default=[], metavar="RUN", help="runs of ours, one a fold (default: a linear model)")
    add("--folds", type=at_least(2), default=5, help="parts of the pictures (default: %(default)s)")
    add("--seed", type=between(0, 2**32 - 1), default=0, help="of folds and linear model (default: %(default)s)")
    add("--output", type=Path, required=True, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the record, and print it as tables."""
    options = read_command_line(arguments)
    from experiments.source_labels import measure_sources  # this takes seconds, and the help does not need it

    measure_sources(options)


if __name__ == "__main__":
    main()
