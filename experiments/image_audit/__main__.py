"""Measure what the picture contributes to a trained model.

    python -m experiments.image_audit runs/demo --dataset mmnerd-mini
    python -m experiments.image_audit results/models/umt.all.seed-19 --dataset mmnerd --output audits/umt

Predicts the test split four times with one model: with the right picture, with no picture, with a blank one (grey, of
the same size) and with a shuffled one, that of another sentence. Sentences whose picture is unusable, or stands in for
a missing one, are predicted once and reported separately. Writes `audit.json`, which contains no sentence and no
picture, and `image_audit.html`, which shows some of both: check the data set's licence before passing it on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.image_audit import BATCH_SIZE, SEED
from reports_2mner.command_line import add_data_set, at_least, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.image_audit", __doc__)
    add = parser.add_argument
    add("run", help="run folder of train_hf.py, any checkpoint of this project, or the id of one on the Hub")
    add_data_set(parser, default="mmnerd")
    add("--boxes_column", help="column with the object boxes of each picture, for a model trained with it")
    add("--small_boxes_column", help="the same for MKGFormer's smaller crops")
    add("--output", type=Path, help="folder for both files (default: runs/image_audit/NAME)")
    add(
        "--seed",
        type=at_least(0),
        default=SEED,
        help="seed of the shuffled pictures and the examples (default: %(default)s)",
    )
    add("--examples", type=at_least(0), default=20, help="sentences to show of each kind (default: %(default)s)")
    add("--batch_size", type=at_least(1), default=BATCH_SIZE, help="sentences per batch (default: %(default)s)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit one model and write both files."""
    options = read_command_line(arguments)
    from experiments.image_audit.audit import audit  # this takes seconds, and the help does not need it

    audit(options)


if __name__ == "__main__":
    main()
