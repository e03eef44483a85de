"""Show what a trained model gets wrong, as a page with filters.

    python -m experiments.errors results/models/2m-ner.all.seed-19 --dataset mmnerd
    python -m experiments.errors runs/english --dataset mmnerd --dataset_config en --limit 2000 --output errors/english

Reads the predictions of a run folder of `train_hf.py` and the test split that they belong to, pairs gold and predicted
entities one to one, and writes one HTML file that needs no network, and the counts as JSON: scores, kinds of errors by
type, language and source, types that are confused, strings that the annotators gave several types, and the sentences
with small copies of their pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.counts import SCHEMES
from reports_2mner.command_line import add_data_set, at_least, make_parser


def read_command_line(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = make_parser("python -m experiments.errors", __doc__)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="run folder of train_hf.py, with its predictions of the test split")
    add_data_set(parser, "the data set of the run", "mmnerd")
    add("--max_eval_samples", type=at_least(1), help="the run's setting of that name, if it had one")
    add("--output", type=Path, help="folder for both files (default: runs/errors/NAME)")
    add("--scheme", choices=SCHEMES, default="strict", help="what counts as an entity (default: %(default)s)")
    add("--limit", type=at_least(0), default=500, help="most sentences to show (default: %(default)s)")
    add("--suspects", type=at_least(0), default=50, help="most label-noise suspects to show (default: %(default)s)")
    add(
        "--thumbnails",
        type=at_least(0),
        default=160,
        help="longer side of the pictures in pixels, 0 for no pictures (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page and the counts of one run."""
    options = read_command_line(arguments)
    from experiments.errors.analysis import analyse  # this takes seconds, and the help does not need it

    analyse(options)


if __name__ == "__main__":
    main()
