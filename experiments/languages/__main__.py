"""Score finished runs on every language of a data set, those that they were not trained on (zero-shot) included.

    python -m experiments.languages results/models/bert-crf.* --dataset tweets --output results

The runs are made by, for instance,

    python -m experiments.run languages --dataset tweets --settings english --only bert-crf --keep_models \\
        --languages en,es,fr,en_es,en_fr,fr_es,all --text_encoder intfloat/multilingual-e5-small --output results

Writes a record of each run to `OUTPUT/languages`; one that is there is not made again. `python -m experiments.tables OUTPUT`
makes the matrix of them, trained on by tested on, with its heat map, and tests by resampling pictures. The run folders are
those that `python -m experiments.run` keeps with `--keep_models`; their names state model, languages and seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import at_least, exit_on_error, make_parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Score all runs that have no record yet."""
    options = read_command_line(arguments)
    from experiments.languages.scoring import score  # this takes seconds, and the help does not need it

    with exit_on_error(OSError):  # a missing data set, a model without weights
        score(options)


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.languages", __doc__)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="run folders that `experiments.run` has kept")
    add("--dataset", required=True, help="folder or Hub id of a data set with the configuration `all`")
    add("--dataset_revision", help="branch, tag or commit of a Hub data set")
    add("--output", type=Path, required=True, help="folder of the records of these runs")
    add("--batch_size", type=at_least(1), default=32, help="sentences per batch (default: %(default)s)")
    add("--device", choices=("cpu",), help="compute without the GPU (default: a GPU if there is one)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
