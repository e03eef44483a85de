"""Write the page that says what becomes of every training option.

    python -m training_2mner.options_page

It is docs/training_arguments.md, made from the fields of the arguments' class.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import make_parser
from reports_2mner.files import write_file

OUTPUT = Path(__file__).resolve().parents[1] / "docs" / "training_arguments.md"
INTRODUCTION = """# Training options

Every option of `train_hf.py` that comes from transformers' `TrainingArguments`, and those that this project adds to them at
the end. *Tested*: a training with it runs in the tests, from the first step to the scores. *Passed on untested*: the Trainer
gets it as it is. *Refused*: a value that would have no effect or would break the run is an error before the first step.
Numbers that mean nothing (negative, NaN, infinite) are refused for all of them.

This page is made by `python -m training_2mner.options_page`.
"""


def page() -> str:
    """The whole page."""
    from training_2mner.arguments import (
        TwoMNERTrainingArguments,  # these take seconds, and the help needs none of them
    )
    from training_2mner.options import options_table

    return f"{INTRODUCTION}\n{options_table(TwoMNERTrainingArguments)}\n"


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.options_page", __doc__)
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="file to write (default: docs/training_arguments.md)"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    write_file(read_command_line(arguments).output, page())


if __name__ == "__main__":
    main()
