"""Watch 2M-NER learn from words and pictures.

    python -m experiments.demo     (or: make demo)

Generates the mini data set if it does not exist, trains the small model of `configuration_2mner/runs/demo-2m-ner.yaml`
and the same network without its image branches, and shows one sentence with two pictures and the two answers. Leaves
`mmnerd-mini/`, `runs/demo/` and `runs/demo-text-only/`; the figures are in `runs/demo/demo.json`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.demo", __doc__)
    parser.add_argument("--data", type=Path, default=Path("mmnerd-mini"), help="the generated data set")
    parser.add_argument("--output", type=Path, default=Path("runs") / "demo", help="run folder of the full model")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the demonstration from the repository's root."""
    options = read_command_line(arguments)
    from experiments.demonstration import demonstrate  # this takes seconds, and the help does not need it

    demonstrate(options)


if __name__ == "__main__":
    main()
