"""Fit the temperature of a finished run, so that its scores say how often its entities are right.

    python -m training_2mner.calibrate runs/demo --dataset mmnerd-mini
    python -m training_2mner.calibrate runs/english --dataset mmnerd --dataset_config en --held_out test

The temperature is the one at which the gold tags of the validation split are most likely. It goes into `config.json` as
`crf_temperature`; pipeline, prediction, server and handler use it from then on. `calibration.json` and
`calibration.png` hold the expected calibration error of the entities before and after (15 bins of equal mass) and the
diagram, and the part "Scores" of the card, `README.md`, shows them. Weights are not changed, and with at most one
picture a sentence no tag is. Repeating the command replaces its own results.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports_2mner.command_line import add_data_set, at_least, exit_on_error, make_parser
from reports_2mner.locks import only_writer

if TYPE_CHECKING:
    from training_2mner.calibrate.calibration import Calibration

logger = logging.getLogger(__name__)


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.calibrate", __doc__)
    add = parser.add_argument
    add("run", type=Path, help="run folder of train_hf.py")
    add_data_set(parser, "the data set of the run")
    add("--split", default="validation", help="split to fit on (default: %(default)s)")
    add("--held_out", help="another split, such as test, on which the error is measured, too")
    add("--boxes_column", help="as in training")
    add("--small_boxes_column", help="as in training")
    add("--batch_size", type=at_least(1), default=32, help="sentences per batch (default: %(default)s)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate from the command line and print what changed."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error(OSError):
        calibration = _run(options)
    from training_2mner.calibrate.card import reliability_table

    print(reliability_table(calibration).padded_markdown())
    print(f"The temperature {calibration.temperature:g} is in {options.run / 'config.json'}.")


def _run(options: argparse.Namespace) -> Calibration:
    # This takes seconds, and the help does not need it.
    import modeling_2mner  # noqa: F401  # registers the models
    from training_2mner.arguments import DataArguments
    from training_2mner.calibrate.calibration import calibrate, store
    from training_2mner.calibrate.card import replace_scores
    from training_2mner.data import load_splits
    from training_2mner.device import choose_device
    from training_2mner.hub.staging import CARD

    if not options.run.is_dir():
        raise ValueError(f"`run` {options.run} is not a folder; name a run folder of train_hf.py.")
    data = DataArguments(
        options.dataset,
        options.dataset_config,
        options.dataset_revision,
        options.boxes_column,
        options.small_boxes_column,
    )
    device = choose_device(options.device)
    with only_writer(options.run, "run"):
        splits = load_splits(data)
        names = list(dict.fromkeys(filter(None, (options.split, options.held_out))))
        for name in names:
            if name not in splits:
                raise ValueError(f"`dataset` {options.dataset!r} has no split {name!r}, only {', '.join(splits)}.")
        if "train" in names:
            logger.warning("The run has learned from `train`: its scores there say little about other sentences.")
        chosen = {name: splits[name] for name in names}
        calibration = calibrate(options.run, chosen, data, options.batch_size, device)
        store(options.run, calibration)
        if (options.run / CARD).is_file():
            replace_scores(options.run / CARD, calibration)
        else:
            logger.warning("%s has no %s, so the results are only in calibration.json.", options.run, CARD)
    return calibration


if __name__ == "__main__":
    main()
