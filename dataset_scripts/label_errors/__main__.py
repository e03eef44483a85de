"""Rank the sentences of a data set whose entities are most probably wrong, as a queue for people and a page.

    python -m dataset_scripts.label_errors mmnerd --output suspects
    python -m dataset_scripts.label_errors mmnerd --output suspects --models runs/0 runs/1 runs/2 runs/3 runs/4

Three signs count. `model`: a model that has not seen the sentence's picture reads other entities. `string`: the same words
more often have another type elsewhere. `languages`: a translation has other types than its original. A sentence's score is
the mean of its best score by each sign, 0 for one that it lacks; queue.jsonl begins with the highest, errors.html shows them.

The model is a fast linear one, or runs of ours, one for each of `--folds` parts of the pictures: number N must have been
trained without part N. `--write_folds` writes the text files to train them on: the test split of fold-N is part N. Build and
train each with --split given. A single run must have seen none of the sentences.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dataset_scripts.label_errors.settings import RankingSettings
from reports_2mner.command_line import add_settings, exit_on_error, make_parser, read_settings
from reports_2mner.locks import only_writer


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.label_errors", __doc__)
    parser.add_argument("dataset", help="folder or Hub id of a data set with at least the columns tokens and ner_tags")
    parser.add_argument("--dataset_config", metavar="NAME", help="its configuration, if it has several")
    parser.add_argument(
        "--split", help="rank only this one, such as train: no model then learns from the others (default: all)"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write, or to write again")
    add_settings(parser, RankingSettings)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write queue and page, and print the counts."""
    options = read_command_line(arguments)
    # These take seconds, and the help does not need them.
    from dataset_scripts.any_data_set import open_data_set
    from dataset_scripts.audit.illustrations import draw_rows
    from dataset_scripts.label_errors.ranking import PAGE, QUEUE, write_ranking
    from dataset_scripts.label_errors.sentences import parts_of_data_set

    with exit_on_error():
        settings = read_settings(options, RankingSettings, models=tuple(options.models))
        with open_data_set(options.dataset, options.dataset_config) as folder:
            parts = parts_of_data_set(folder, bool(settings.models), options.split)
            options.output.mkdir(parents=True, exist_ok=True)
            with only_writer(options.output, "output"):
                counts = write_ranking(parts, settings, options.output, partial(draw_rows, folder))
    for name, number in counts.items():
        print(f"{name}: {number:,}")
    print(f"{options.output / PAGE} shows the first, {options.output / QUEUE} has all for programs.")


if __name__ == "__main__":
    main()
