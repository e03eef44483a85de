"""Find the entities in a file of sentences.

    python -m training_2mner.predict runs/demo --input sentences.jsonl --output predictions.jsonl
    python -m training_2mner.predict runs/demo --input test.conll --images pictures --output predictions.conll
    python -m training_2mner.predict runs/demo --input mmnerd-mini/data/de --output predictions.jsonl
    python -m training_2mner.predict runs/demo --input sentences.jsonl --output predictions.jsonl --shard 1/4

The formats are described in `training_2mner/predict/text.py` and `output.py`. The input is checked before the model
runs and is read sentence by sentence. To continue a run that was stopped, repeat the command; until it finishes, its
predictions are in OUTPUT.partial. Several processes or machines share the work with `--shard`; `python -m
training_2mner.predict.merge OUTPUT` then puts their files together.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from reports_2mner.command_line import add_backend, at_least, between, exit_on_error, make_parser

if TYPE_CHECKING:
    from modeling_2mner.tagging import WordTagger
    from training_2mner.predict.prediction import Summary


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m training_2mner.predict", __doc__)
    add = parser.add_argument
    add("model", help="run folder, exported folder or Hub id of the model")
    add(
        "--input",
        type=Path,
        required=True,
        help=".jsonl (one object per line: text or words, image), .txt (one sentence per line), .conll (IMGID: lines, "
        "one word per line), a .parquet file, or the folder of a data set",
    )
    add(
        "--output",
        type=Path,
        required=True,
        help="file to write: .jsonl (entities with scores), .conll or .txt (word, TAB, tag)",
    )
    add("--images", type=Path, help="folder of the pictures that .jsonl names, or of <image id>.jpg for other formats")
    add("--batch_size", type=at_least(1), default=16, help="sentences per batch (default: %(default)s)")
    add("--num_workers", type=at_least(0), default=0, help="processes that open pictures (default: %(default)s)")
    add("--threshold", type=between(0.0, 1.0), help="leave out entities with a score below this, from 0 to 1")
    add(
        "--entity_threshold",
        type=between(0.01, 1.0),
        help="instead of the entities of the best tag sequence, write those that are likelier than this, and of overlapping "
        "ones the most likely in sum, for a higher F1; about 0.4 is best where F1 is 70 percent",
    )
    add("--return_word_tags", action="store_true", help="also write the tag and score of each word (.jsonl only)")
    add("--device", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add_backend(parser)
    add(
        "--dtype",
        choices=("float32", "bfloat16"),
        help="what the networks compute in (default: as saved); the CRF always computes in float32 and more",
    )
    add("--cache_image_features", type=Path, metavar="DIR", help="folder of python -m training_2mner.features")
    add("--shard", metavar="i/n", help="predict the i-th of n parts, to a file of its own beside the output")
    add("--overwrite", action="store_true", help="replace an existing output")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict from the command line and print what was written."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        with exit_on_error(OSError):
            summary = _run(options)
    except KeyboardInterrupt:
        raise SystemExit("stopped; repeat the command to continue from here") from None
    print(summary)
    print(f"Written to {_place(options)}.")


def _run(options: argparse.Namespace) -> Summary:
    from training_2mner.predict import prediction, shards  # these take seconds, and the help does not need them

    shard = None if options.shard is None else shards.Shard.read(options.shard)
    if options.output.resolve() == options.input.resolve():
        raise ValueError("`output` is the input itself; name another file.")
    records = prediction.open_records(options.input, options.images)
    prediction.check_output(_place(options), records, options.return_word_tags, options.overwrite)
    pipe = prediction.load_pipeline(options.model, options.device, options.backend, options.threads, options.dtype)
    cache = None
    if options.cache_image_features is not None:
        from training_2mner.features.fill import open_cache  # needs more than the model does

        cache = open_cache(options.cache_image_features, cast("WordTagger", pipe.model), pipe.processor)
    return prediction.predict_to_file(
        pipe,
        records,
        options.output,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
        threshold=options.threshold,
        entity_threshold=options.entity_threshold,
        return_word_tags=options.return_word_tags,
        overwrite=options.overwrite,
        image_features=cache,
        shard=shard,
        source="" if shard is None else shards.source_digest(options.input),
    )


def _place(options: argparse.Namespace) -> Path:
    """The file that is written."""
    from training_2mner.predict.shards import Shard

    return options.output if options.shard is None else Shard.read(options.shard).path(options.output)


if __name__ == "__main__":
    main()
