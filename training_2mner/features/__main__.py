"""Compute the features of a data set's pictures once, for all runs with the same frozen image encoders.

    python -m training_2mner.features runs/demo --dataset mmnerd-mini --output features
    python train_hf.py RUN.yaml --model runs/demo --freeze vision resnet --cache_image_features features
    python -m training_2mner.predict runs/demo --input test.conll --images pictures --output out.conll \\
        --cache_image_features features

The features of another state of the encoders, of other settings of the processor or in another precision lie beside each
other in OUTPUT. The size is told before the work starts. A command that was stopped continues when it is repeated.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from reports_2mner.command_line import add_data_set, at_least, exit_on_error, make_parser


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.features", __doc__)
    add = parser.add_argument
    add("model", help="run folder or Hub id of a model with the image encoders")
    add_data_set(parser)
    add("--splits", nargs="+", default=["train", "validation", "test"], help="its splits (default: all three)")
    add("--output", type=Path, required=True, help="folder of the features, for `--cache_image_features`")
    add(
        "--precision",
        choices=("float32", "float16"),
        default="float32",
        help="of the stored features; float16 takes half the room and changes scores slightly (default: %(default)s)",
    )
    add("--batch_size", type=at_least(1), default=32, help="pictures per batch (default: %(default)s)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: cpu)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute the features from the command line and print what was done."""
    options = read_command_line(arguments)
    from transformers import AutoModelForTokenClassification, AutoProcessor  # the help needs none of these

    from reports_2mner.loading import retell_loading_errors
    from training_2mner.arguments import DataArguments
    from training_2mner.data import load_split
    from training_2mner.features.cache import FeatureCache
    from training_2mner.features.fill import fill_cache
    from training_2mner.features.towers import describe_towers

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with exit_on_error(OSError):
        data = DataArguments(options.dataset, options.dataset_config, options.dataset_revision)
        datasets = [load_split(data, split) for split in options.splits]
        with retell_loading_errors(f"`model` {options.model!r} does not load; name a run folder or a Hub id"):
            model = AutoModelForTokenClassification.from_pretrained(options.model)
            processor = AutoProcessor.from_pretrained(options.model)
        cache = FeatureCache(options.output, describe_towers(model, processor, options.precision))
        if options.device is not None:
            model = model.to(options.device)
        filled = fill_cache(cache, model, processor, datasets, options.batch_size, print)
    print(filled)
    print(f"Stored in {cache.folder}.")


if __name__ == "__main__":
    main()
