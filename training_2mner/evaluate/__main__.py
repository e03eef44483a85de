"""Score a finished model on any data set with the same or mapped entity types.

    python -m training_2mner.evaluate runs/demo --dataset mmnerd-mini
    python -m training_2mner.evaluate runs/demo --dataset tweets --split validation --map OTHER=MISC --map TIME=
    python -m training_2mner.evaluate runs/english-multilingual --dataset tweets --add_to_card --note "Silver labels."

Prints strict and lenient scores of all sentences, of each language and of each source. `--map` gives a type, in the data
and in the answers of the model, the name of another before they are compared; with nothing after the `=` it is left out.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import add_data_set, at_least, exit_on_error, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.evaluate", __doc__)
    add = parser.add_argument
    add("model", help="run folder or Hub id of the model")
    add_data_set(parser)
    add("--split", default="test", help="its split (default: %(default)s)")
    add(
        "--map",
        action="extend",
        nargs="+",
        default=[],
        metavar="OTHER=MISC",
        help="count one type as another, or leave it out (OTHER=); may be repeated",
    )
    add("--boxes_column", help="column with the objects of each picture, for UMGF and MKGFormer")
    add("--small_boxes_column", help="the same for MKGFormer's smaller crops")
    add("--max_eval_samples", type=at_least(1), metavar="N", help="score the first N sentences only")
    add("--batch_size", type=at_least(1), default=32, help="sentences per batch (default: %(default)s)")
    add("--device", choices=("cpu",), help="compute without the GPU (default: a GPU if there is one)")
    add("--cache_image_features", type=Path, metavar="DIR", help="folder of python -m training_2mner.features")
    add("--output", type=Path, help="also write the scores to this JSON file")
    add("--add_to_card", action="store_true", help="also add the scores to the card of the run folder")
    add("--note", default="", help="for the card: what a reader must know of these data")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score from the command line and print the table."""
    options = read_command_line(arguments)
    from reports_2mner.files import write_json  # these take seconds, and the help needs none of them
    from training_2mner.arguments import DataArguments
    from training_2mner.evaluate.entity_types import read_mapping
    from training_2mner.evaluate.finished import evaluate_model
    from training_2mner.evaluate.other_data import add_to_card, check_card

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with exit_on_error(OSError):
        data = DataArguments(
            dataset=options.dataset,
            dataset_config=options.dataset_config,
            dataset_revision=options.dataset_revision,
            boxes_column=options.boxes_column,
            small_boxes_column=options.small_boxes_column,
            max_eval_samples=options.max_eval_samples,
        )
        mapping = read_mapping(options.map)
        if options.add_to_card:
            check_card(Path(options.model))
        scores = evaluate_model(
            *(options.model, data, options.split, mapping, options.batch_size, options.device),
            options.cache_image_features,
        )
        if options.output is not None:
            write_json(options.output, scores.content, indent=2, ensure_ascii=False)
        print(scores)  # also if the card cannot be written
        if options.add_to_card:
            add_to_card(Path(options.model), scores.content, options.note)


if __name__ == "__main__":
    main()
