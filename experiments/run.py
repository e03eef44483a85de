"""Train and score the runs that make up the paper's tables.

    python -m experiments.run table5 table7 --dataset mmnerd --seeds 3 --output results
    python -m experiments.run table5 --dataset mmnerd --only 2m-ner,umt --languages en,de --output results
    python -m experiments.run table5 --dataset mmnerd --word_vectors glove.6B.300d.txt --output results
    CUDA_VISIBLE_DEVICES=1 python -m experiments.run table5 --dataset mmnerd --output results --shard 2/4
    python -m experiments.run table5 --dataset mmnerd --output results \\
        --launcher "torchrun --standalone --nproc_per_node 2"
    python -m experiments.run grid --dataset mmnerd --seeds 1 --output results   # loss weight, learning rate; on dev
    python -m experiments.run languages --dataset mmnerd --only bert-crf --output results   # on each language, pair, all
    python -m experiments.run improvements --dataset mmnerd --output results     # 2M-NER with changes beyond the paper
    python -m experiments.run table5 --dataset mmnerd --output results -- --bf16 True   # arguments of train_hf.py

Each run leaves one JSON file in the output folder and its run folder in `models/`. A run that has its file is not
repeated; an interrupted one continues from its last checkpoint. Several GPUs or machines share the runs with
`--shard`, or one run with `--launcher`. `python -m experiments.tables DIR` makes the tables. (Tables 2 and 3:
`python -m dataset_scripts.statistics`.)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.plan import (
    ALPHAS,
    BEYOND,
    ENCODER_LEARNING_RATES,
    EXTRA_MODELS,
    GRID_SEARCH,
    LEARNING_RATES,
    MATRIX,
    MODELS,
    OURS,
    TABLES,
)
from reports_2mner.command_line import at_least, comma_separated, make_parser

PROTOCOLS = ("dev", "released")


def read_command_line(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the arguments after `--`, which are passed on to `train_hf.py`."""
    passed_on = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    parser = make_parser("python -m experiments.run", __doc__)
    parser.add_argument(
        "tables", nargs="+", metavar="TABLE", help=f"any of {', '.join((*TABLES, MATRIX, BEYOND, GRID_SEARCH))}"
    )
    parser.add_argument("--dataset", default="mmnerd", help="folder or Hub id of the data set (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, help="folder for the records and the models")
    parser.add_argument(
        "--seeds", type=at_least(1), default=3, help="number of seeds per run, from 19 on (default: %(default)s)"
    )
    parser.add_argument("--only", type=comma_separated(), help=f"some models: {', '.join((*MODELS, *EXTRA_MODELS))}")
    parser.add_argument(
        "--languages",
        type=comma_separated(),
        help="some languages to train on: all, codes such as en, or pairs such as en_de",
    )
    parser.add_argument(
        "--settings",
        default="paper",
        help="run files of configuration_2mner/runs: `paper`, or a prefix of their names, `demo` or `english` "
        "(default: %(default)s)",
    )
    parser.add_argument("--word_vectors", metavar="FILE", help="for the models on words: a GloVe or fastText file")
    parser.add_argument(
        "--text_encoder", metavar="NAME", help="for the other models, instead of the run files' encoder"
    )
    parser.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default="dev",
        help="`released` also scores every epoch on test, as the authors' code does (default: %(default)s)",
    )
    parser.add_argument(
        "--launcher",
        metavar="COMMAND",
        help='start each run with this command, such as "torchrun --standalone --nproc_per_node 2" (not for grid)',
    )
    parser.add_argument("--alphas", type=comma_separated(float), default=ALPHAS, help="grid: weights of the CRF loss")
    parser.add_argument(
        "--learning_rates", type=comma_separated(float), default=LEARNING_RATES, help="grid: learning rates"
    )
    parser.add_argument("--grid_model", default=OURS, help="grid: the model (default: %(default)s)")
    parser.add_argument(
        "--encoder_learning_rates",
        type=comma_separated(float),
        default=ENCODER_LEARNING_RATES,
        help="grid, instead of alphas, for models without this weight: learning rates of the encoder",
    )
    parser.add_argument("--shard", default="1/1", help="this machine's share of the runs, such as 2/4")
    parser.add_argument("--dry_run", action="store_true", help="only list the runs, and whether they are finished")
    parser.add_argument(
        "--keep_models",
        action="store_true",
        help="keep the trained models, for the image audit and the error analysis",
    )
    return parser.parse_args(arguments[: len(arguments) - len(passed_on) - ("--" in arguments)]), passed_on


def main(arguments: Sequence[str] | None = None) -> None:
    """Make all runs that are missing, and report at the end which failed."""
    options, passed_on = read_command_line(sys.argv[1:] if arguments is None else list(arguments))
    from experiments.runs import make_missing  # this takes seconds, and the help does not need it

    make_missing(options, passed_on)


if __name__ == "__main__":
    main()
