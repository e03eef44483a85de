"""Generate a small data set in four languages in which the picture, not the words, decides the type of most names.

    python -m dataset_scripts.mini --output mmnerd-mini --seed 19

The data set then opens with `load_dataset("mmnerd-mini", "en")` from its parent folder.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from dataset_scripts.card import image_table, text_table
from dataset_scripts.mini.generator import write_mini
from reports_2mner.command_line import exit_on_error, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.mini", __doc__)
    parser.add_argument(
        "--output", type=Path, default=Path("mmnerd-mini"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=19, help="equal seeds give equal files (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder of an earlier run")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Generate the data set from the command line and print what was written."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error():
        counts = write_mini(options.output, options.seed, overwrite=options.overwrite)
    print(f"{text_table(counts)}\n\n{image_table(counts)}\nWritten to {options.output}.")


if __name__ == "__main__":
    main()
