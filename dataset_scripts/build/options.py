"""The command line of the builder."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset_scripts.build.settings import CHOICES, BuildSettings
from dataset_scripts.schema import LANGUAGES

DEFAULT = BuildSettings()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.build",
        description="Build the data set folder (parquet files and a card) from the files of the MMNERD authors, of "
        "Twitter-2015 or Twitter-2017, or others of that form.",
        epilog="Afterwards, in the folder that holds the output: load_dataset('mmnerd'), load_dataset('mmnerd', 'en'). "
        "A build that was stopped goes on when the same command is given again.",
    )
    _add_places(parser)
    _add_text_options(parser)
    _add_picture_options(parser)
    options = parser.parse_args(arguments)
    if not options.images and not options.no_images:
        parser.error("one of the arguments --images --no_images is required")
    if options.num_proc < 1:
        parser.error(f"--num_proc must be at least 1, got {options.num_proc}")
    return options


def settings_of(options: argparse.Namespace) -> BuildSettings:
    """Return the decisions that the command line tells."""
    same = ("collection", "split", "seed", "train_file", "compatibility", "repair_tags", "urls", "twitter2017")
    same += ("image_policy", "rows_per_shard")
    return BuildSettings(
        **{name: getattr(options, name) for name in same},
        languages=tuple(language for language in LANGUAGES if language in options.languages),
        max_side=None if options.keep_original else options.max_side,
        embed_images=not options.no_images,
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--source",
        type=Path,
        required=True,
        help="folder that holds train_valid_test_* folders (those you have), or the folder above it, or one of them, or "
        "a folder with train.txt, valid.txt and test.txt",
    )
    add("--images", type=Path, help="folder with a picture <image id>.jpg for every sentence")
    add(
        "--no_images",
        action="store_true",
        help="store no pictures; with --images, what became of them and their hashes stay",
    )
    add("--output", type=Path, default=Path("mmnerd"), help="folder to write (default: %(default)s)")
    add("--overwrite", action="store_true", help="replace the output folder of an earlier build")
    add("--num_proc", type=int, default=1, help="processes that read pictures (default: %(default)s)")


def _add_text_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("text").add_argument
    add(
        "--collection",
        choices=CHOICES["collection"],
        default=DEFAULT.collection,
        help="what the files are (default: %(default)s); in all others than mmnerd, the type OTHER becomes MISC",
    )
    add("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES, help="those to take (default: all found)")
    add(
        "--split",
        choices=CHOICES["split"],
        default=DEFAULT.split,
        help="given by the files; or made anew, paper: rows of all languages pooled, 8:1:1; grouped: by picture, 8:1:1, so "
        "that translations stay together (default: %(default)s)",
    )
    add("--seed", type=int, default=DEFAULT.seed, help="of a new split (default: %(default)s)")
    add("--train_file", help="another name of the train files, such as those of the authors' five folds")
    add(
        "--compatibility",
        choices=CHOICES["compatibility"],
        default=DEFAULT.compatibility,
        help="read the files strictly, or as the authors' own loader does (default: %(default)s)",
    )
    add("--repair_tags", action="store_true", help="let I- tags that continue no entity begin one (Twitter-2015)")
    add("--urls", type=Path, help="the list of Conceptual 12M (cc12m.tsv), for the column url")
    add("--twitter2017", type=Path, help="folder of Twitter-2017's text files, for the column tw2017_split")


def _add_picture_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("pictures").add_argument
    add(
        "--image_policy",
        choices=CHOICES["image_policy"],
        default=DEFAULT.image_policy,
        help="what a row without a usable picture gets: none, or (default) one that says 'image not found', as in the paper "
        "(default: %(default)s)",
    )
    add(
        "--max_side",
        type=int,
        default=DEFAULT.max_side,
        help="shrink larger pictures to so many pixels (default: %(default)s)",
    )
    add("--keep_original", action="store_true", help="keep every picture's own bytes instead")
    add(
        "--rows_per_shard",
        type=int,
        default=DEFAULT.rows_per_shard,
        help="rows in a parquet file (default: %(default)s)",
    )
