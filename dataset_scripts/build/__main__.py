"""Build a data set folder (parquet files and a card) from annotated text and pictures.

    python -m dataset_scripts.build --source MMNERD --images MMNERD/images --output mmnerd
    python -m dataset_scripts.build --source annotations.jsonl --images photos --output my-set --language it

The source is the distribution of the MMNERD authors, that of Twitter-2015 or Twitter-2017 (`--collection`), or annotated
data of one's own: CoNLL, JSONL, the metadata.jsonl of an imagefolder, an export of Label Studio, or a data set with other
columns. Open the result from its parent folder: load_dataset('mmnerd'), load_dataset('mmnerd', 'en'). An interrupted build
continues when the same command is run again.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from dataset_scripts.build.builder import build_dataset
from dataset_scripts.build.engine import process_engine
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.build.settings import CHOICES, OPEN, BuildSettings
from dataset_scripts.build.shards import write_shard
from dataset_scripts.build.sources import has_three_files, language_folders
from dataset_scripts.card import image_table, text_table
from dataset_scripts.schema import LANGUAGES, sort_languages
from reports_2mner.command_line import add_settings, at_least, exit_on_error, make_parser, read_settings

SHOWN_PROBLEMS = 10
COLLECTION_HELP = (
    "collection of the files, which gives rows their `source`; in all except mmnerd, OTHER becomes MISC (default: "
)
COLLECTION_HELP += (
    "mmnerd for folders train_valid_test_* in its languages, `other` for those in others; without such folders, "
)
COLLECTION_HELP += "data of one's own)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Build from the command line and print what was written."""
    options = read_command_line(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    with exit_on_error(), process_engine(options.num_proc, write_shard.__module__) as engine:
        report = build_dataset(
            options.source,
            options.images,
            options.output,
            options.overwrite,
            settings_of(options),
            engine,
            own_of(options),
        )
    print(f"{text_table(report.counts, report.types)}\n\n{image_table(report.counts)}")
    for change, number in report.changes.items():
        if number:
            print(f"{change}: {number:,}")
    for entity in report.widened[:SHOWN_PROBLEMS]:
        print(f"{entity['place']}: {entity['text']!r} ({entity['type']}) became {entity['became']!r}")
    if len(report.widened) > SHOWN_PROBLEMS:
        print(f"... {len(report.widened):,} entities did not fit words; `build.json` lists them all.")
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
    text.add_argument("--collection", choices=CHOICES["collection"], help=COLLECTION_HELP)
    add_settings(text, BuildSettings, "languages", "types", "split", "seed", "group_by", "similarity")
    add_settings(text, BuildSettings, "train_file", "compatibility", "repair_tags", "urls", "twitter2017")
    add_settings(parser.add_argument_group("data of one's own"), OwnSettings)
    pictures = parser.add_argument_group("pictures")
    add_settings(pictures, BuildSettings, "image_policy", "max_side")
    pictures.add_argument(
        "--keep_original", action="store_true", help="keep the original bytes of every picture instead"
    )
    add_settings(pictures, BuildSettings, "rows_per_shard")
    options = parser.parse_args(arguments)
    changed = [name for name in _own_names() if getattr(options, name) != parser.get_default(name)]
    options.is_own = bool(changed) or is_own_source(options.source, options.collection)
    if options.is_own and options.collection not in (None, OPEN):
        parser.error(f"--{changed[0]} is for data of one's own; leave out --collection {options.collection}")
    if not options.is_own and not options.images and not options.no_images:
        parser.error("one of the arguments --images --no_images is required")
    return options


def is_own_source(source: Path, collection: str | None) -> bool:
    """Return whether these are data of one's own, which nobody says to be a collection and which are not laid out as one."""
    try:
        folders = language_folders(source) if source.is_dir() else {}
    except ValueError:  # several distributions: reported when the source is read
        return False
    if collection is None:
        return not folders
    return collection == OPEN and not folders and not has_three_files(source)


def own_of(options: argparse.Namespace) -> OwnSettings | None:
    """Return the settings of data of one's own from the command line, None for a collection."""
    if not options.is_own:
        return None
    lists = {name: tuple(getattr(options, name)) for name in ("columns", "rename", "sizes")}
    return read_settings(options, OwnSettings, **lists)


def _collection(options: argparse.Namespace) -> str:
    """Return the collection: that of the paper where the folders have its languages, unless another one is named."""
    if options.collection is not None:
        return options.collection
    if options.is_own:
        return OPEN
    found = {language for group in language_folders(options.source).values() for language in group}
    return "mmnerd" if found <= set(LANGUAGES) else OPEN


def _own_names() -> list[str]:
    return [entry.name for entry in fields(OwnSettings)]


def settings_of(options: argparse.Namespace) -> BuildSettings:
    """Return the settings from the command line."""
    return read_settings(
        options,
        BuildSettings,
        collection=_collection(options),
        languages=options.languages and sort_languages(options.languages),
        types=options.types and tuple(dict.fromkeys(options.types)),
        group_by=options.group_by and tuple(dict.fromkeys(options.group_by)),
        max_side=None if options.keep_original else options.max_side,
        embed_images=not options.no_images,
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--source",
        type=Path,
        required=True,
        help="folder that holds train_valid_test_* folders (any of them), or its parent, or one of these folders; or a file, "
        "a folder of files, or a data set of one's own",
    )
    add(
        "--images",
        type=Path,
        help="folder with a picture <image id>.jpg for every sentence (default for data of one's own: beside the text)",
    )
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
