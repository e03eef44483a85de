"""Make the paper's tables from finished runs.

    python -m experiments.tables results
    python -m experiments.tables results/mbert results/xlm-r   # dev choice beside best test epoch, of all of them

Reads the records that `python -m experiments.run` has left in a folder, writes `tables.md`, `tables.tex` and one
figure per table (`table5.png` and so on) to the same folder, and prints the Markdown. Every score is a mean over the
available seeds, followed by their standard deviation; intervals and tests resample pictures. Several folders, such as
those of several encoders or data sets, are not compared by their scores: only the table of both protocols is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.counts import SCHEMES
from reports_2mner.command_line import make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.tables", __doc__)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="an output folder of `python -m experiments.run`"
    )
    parser.add_argument(
        "--scheme",
        choices=SCHEMES,
        default="strict",
        help="counting in the last part, by language and source; the paper's tables show both (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the tables and figures of a folder, and print the tables; of several, print the table of both protocols."""
    options = read_command_line(arguments)
    from experiments.tables.results import write_results  # this takes seconds, and the help does not need it

    write_results(options)


if __name__ == "__main__":
    main()
