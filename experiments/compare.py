"""Compare the runs of several folders with those of a first one, sentence by sentence, such as with a change and without.

    python -m experiments.compare runs/english runs/english-crf-rate runs/english-without-suspects

The runs of a model or variant that both folders have are compared, those with the seeds that both have. They are pooled, and
interval and test resample the pictures of the test set, the same in both. The runs must have been scored on the same sentences of the same data.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from experiments.counts import SCHEMES
from reports_2mner.command_line import make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.compare", __doc__)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="records without the change, then with"
    )
    parser.add_argument("--scheme", choices=SCHEMES, default="strict", help="how to count (default: %(default)s)")
    options = parser.parse_args(arguments)
    if len(options.folders) < 2:
        parser.error("`folders` names one; name the folder without the change and at least one with it.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparisons."""
    options = read_command_line(arguments)
    from experiments.pairs import compare  # this takes seconds, and the help does not need it

    compare(options)


if __name__ == "__main__":
    main()
