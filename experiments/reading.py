"""Find out which errors of a model are errors of the labels, by reading a sample of them blindly.

    python -m experiments.reading form RUN --dataset mmnerd --dataset_config en --source cc12m --output form-1.txt
    python -m experiments.reading record RUN --dataset mmnerd --dataset_config en --source cc12m \\
        --answers answers-1.tsv --output first.json
    python -m experiments.reading count first.json second.json

`form` draws errors of the test split and writes each with two versions of its entities, A and B. One is the gold label and
one the prediction, and chance decides which is which. The reader writes one line for each into a file, its number, a tab
and an answer: `A` or `B` if only this version follows the guideline, `both` if both can be defended, `neither` if none
does; what both have in common is not judged. A second tab and the word `number` mark an error where a version has a
number, date, time or quantity. `record` tells gold from predicted again and writes rows, spans and verdicts, but no word of the data. `--order 2`
gives the same errors for the second reading, in another order and with A and B dealt anew. `count` prints shares with
their intervals, and the agreement of both readings.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import add_data_set, at_least, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.reading", __doc__)
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, told in (("form", "write the form of a reading"), ("record", "write what a reader has answered")):
        task = tasks.add_parser(name, help=told, description=told)
        add = task.add_argument
        add("run", type=Path, metavar="RUN", help="run folder of train_hf.py, with its predictions")
        add_data_set(task, "the data set of the run", "mmnerd")
        add("--source", help="only errors of this source, such as cc12m (default: of all)")
        add("--size", type=at_least(1), default=100, help="how many errors (default: %(default)s)")
        add("--seed", type=int, default=0, help="which errors (default: %(default)s)")
        add("--order", type=at_least(1), default=1, help="the number of the reading (default: %(default)s)")
        add("--output", type=Path, required=True, help="file to write")
        if name == "record":
            add("--answers", type=Path, required=True, help="the lines of the reader")
            add("--reader", required=True, help="who has read, such as `the author` or the name of a program")
    count = tasks.add_parser(
        "count", help="print what two readings found", description="print what two readings found"
    )
    count.add_argument("readings", type=Path, nargs=2, metavar="FILE", help="the records of both readings")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the form of a reading or its record, or print what two readings found."""
    options = read_command_line(arguments)
    from experiments.blind_reading import read  # this takes seconds, and the help does not need it

    read(options)


if __name__ == "__main__":
    main()
