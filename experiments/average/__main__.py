"""Average the tag probabilities of models trained with several seeds.

    python -m experiments.average results/models/2m-ner.all.seed-* --dataset mmnerd --output results
    python -m experiments.average runs/first runs/second --dataset mmnerd --dataset_config en --output results
    python -m experiments.average results/models/bert-crf.en.seed-* --dataset mmnerd --entities --output results

Each run predicts the test split. The posteriors of a word's tags (the CRF's marginals, or the softmax of a model
without a CRF) are averaged over the runs, and the answer is the valid IOB2 sequence with the highest product of
averages. Writes a record for `python -m experiments.tables DIR`, and `models/NAME/predictions_test.conll` for
`python -m experiments.errors`.

With `--entities`, the posteriors of whole entities are averaged, and the answer is the entities with posteriors
above a threshold; where they overlap, the combination that exceeds it most in total. The threshold is the
best on the validation split. A single run can be decoded like this, too.

The folders that `python -m experiments.run` keeps with `--keep_models` state model, languages and seed in their names.
For any other folder the model is read from its config, the languages from `--dataset_config`, and the seed is taken
to be 19.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import at_least, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m experiments.average", __doc__)
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="run folders of models of one kind, at least two, or one with --entities",
    )
    add("--dataset", default="mmnerd", help="folder or Hub id of the data set (default: %(default)s)")
    add(
        "--dataset_config",
        help="all, en, fr, es, de, or a pair; for folders whose names do not state it (default: all)",
    )
    add("--dataset_revision", help="branch, tag or commit of a Hub data set")
    add("--boxes_column", help="column with the object boxes of each picture, for models trained with it")
    add("--small_boxes_column", help="the same for MKGFormer's smaller crops")
    add("--output", type=Path, required=True, help="folder for the record and, below models/, the predictions")
    add("--entities", action="store_true", help="average and choose whole entities, not the tags of words")
    add("--name", help="name of both (default: one such as 2m-ner-averaged.all.seed-19)")
    add("--batch_size", type=at_least(1), default=32, help="sentences per batch (default: %(default)s)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Average several runs and print the F1 of each run and of the average."""
    options = read_command_line(arguments)
    from experiments.average.averaging import print_average  # this takes seconds, and the help does not need it

    print_average(options)


if __name__ == "__main__":
    main()
