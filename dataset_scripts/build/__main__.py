"""Build a data set folder (parquet files and a card) from text files and pictures.

    python -m dataset_scripts.build --source MMNERD --images MMNERD/images --output mmnerd

The files are those of the MMNERD authors, of Twitter-2015 or Twitter-2017, or others of the same form. Open the result
from its parent folder: load_dataset('mmnerd'), load_dataset('mmnerd', 'en'). An interrupted build continues when the
same command is run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.engine import process_engine
from dataset_scripts.build.settings import BuildSettings
from dataset_scripts.build.shards import write_shard
from dataset_scripts.card import image_table, text_table
from dataset_scripts.schema import sort_languages
from reports_2mner.command_line import add_settings, at_least, exit_on_error, make_parser, read_settings

SHOWN_PROBLEMS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Build from the command line and print what was written."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error(), process_engine(options.num_proc, write_shard.__module__) as engine:
        report = build_dataset(
            options.source, options.images, options.output, options.overwrite, settings_of(options), engine
        )
    print(f"{text_table(report.counts, report.types)}\n\n{image_table(report.counts)}")
    for change, number in report.changes.items():
        if number:
            print(f"{change}: {number:,}")
    for problem in report.problems[:SHOWN_PROBLEMS]:
        print(f"{problem.row_id}: {problem.status}, {problem.reason}")
    if len(report.problems) > SHOWN_PROBLEMS:
        print(f"... {len(report.problems)} rows without their picture in total; the column `image_status` marks them.")
    print(f"Written to {options.output}.")


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.build", __doc__)
    _add_places(parser)
    text = parser.add_argument_group("text")
    add_settings(text, BuildSettings, "collection", "languages", "types", "split", "seed", "train_file")
    add_settings(text, BuildSettings, "compatibility", "repair_tags", "urls", "twitter2017")
    pictures = parser.add_argument_group("pictures")
    add_settings(pictures, BuildSettings, "image_policy", "max_side")
    pictures.add_argument(
        "--keep_original", action="store_true", help="keep the original bytes of every picture instead"
    )
    add_settings(pictures, BuildSettings, "rows_per_shard")
    options = parser.parse_args(arguments)
    if not options.images and not options.no_images:
        parser.error("one of the arguments --images --no_images is required")
    return options


def settings_of(options: argparse.Namespace) -> BuildSettings:
    """Return the settings from the command line."""
    return read_settings(
        options,
        BuildSettings,
        languages=options.languages and sort_languages(options.languages),
        types=options.types and tuple(dict.fromkeys(options.types)),
        max_side=None if options.keep_original else options.max_side,
        embed_images=not options.no_images,
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--source",
        type=Path,
        required=True,
        help="folder that holds train_valid_test_* folders (any of them), or its parent, or one of these folders, or "
        "a folder with train.txt, valid.txt and test.txt",
    )
    add("--images", type=Path, help="folder with a picture <image id>.jpg for every sentence")
    add(
        "--no_images",
        action="store_true",
        help="store no pictures; with --images, their status and hashes are kept",
    )
    add("--output", type=Path, default=Path("mmnerd"), help="folder to write (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace the output folder of an earlier build")
    add(
        "--num_proc", type=at_least(1), default=1, help="number of processes that read pictures (default: %(default)s)"
    )


if __name__ == "__main__":
    main()
