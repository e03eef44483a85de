"""Name the training sentences of a source whose labels are most probably wrong, to train without them.

    python -m experiments.suspects suspects/queue.jsonl --dataset mmnerd --dataset_config en --source cc12m --share 0.1 \\
        --output without.txt
    python train_hf.py configuration_2mner/runs/english-bert-crf.yaml --text_encoder NAME --train_without without.txt

Takes the first sentences of the queue that are training sentences of the source, as many as the share of all of them. The
queue is what `python -m dataset_scripts.label_errors mmnerd --split train --limit 100000 --output suspects` writes: a
ranking of all splits would have been made by models that have learned from the test labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import add_data_set, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.suspects", __doc__)
    add = parser.add_argument
    add("queue", type=Path, metavar="QUEUE", help="queue.jsonl of `python -m dataset_scripts.label_errors`")
    add_data_set(parser, default="mmnerd")
    add("--source", required=True, help="such as cc12m")
    add("--share", type=float, default=0.1, help="of its training sentences (default: %(default)s)")
    add("--output", type=Path, required=True, help="text file to write, with a name a line")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the list."""
    options = read_command_line(arguments)
    from experiments.exclusion import write_suspects  # this takes seconds, and the help does not need it

    write_suspects(options)


if __name__ == "__main__":
    main()
