"""Write a data set folder back as the authors' text files.

    python -m dataset_scripts.to_conll mmnerd MMNERD-text

writes train_valid_test_<language>/{train,valid,test}_conll_format.txt; from an unchanged build, byte for byte the
files it was built from.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataset_scripts.build.sources import FILE_NAMES, FOLDER_PREFIX
from dataset_scripts.conll import ConllSentence, write_conll
from dataset_scripts.reading import find_parquet_files, read_rows
from dataset_scripts.schema import SPLITS
from reports_2mner.command_line import exit_on_error, make_parser
from reports_2mner.locks import only_writer


def to_conll(dataset: Path | str, output: Path | str) -> list[Path]:
    """Write a text file for each language and split of the folder `dataset` into `output`, and return the files.

    Raises ValueError for a folder that is not a data set, for a file that already exists, and for words that the
    format cannot hold.
    """
    paths = {
        (lang, split): Path(output) / f"{FOLDER_PREFIX}{lang}" / FILE_NAMES[0][SPLITS.index(split)]
        for lang, split in find_parquet_files(dataset)
    }
    with only_writer(output, "output"):
        if present := [path for path in paths.values() if path.exists()]:
            raise ValueError(f"`output` already has {present[0]}; give another folder.")
        for (lang, split), path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_conll(_sentences(dataset, lang, split), path)
    return list(paths.values())


def _sentences(dataset: Path | str, lang: str, split: str) -> Iterator[ConllSentence]:
    for row in read_rows(dataset, ["image_id", "tokens", "ner_tags"], [lang], [split]):
        yield ConllSentence(row["image_id"], tuple(row["tokens"]), tuple(row["ner_tags"]), line=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files from the command line and print their names."""
    options = read_command_line(arguments)
    with exit_on_error():
        paths = to_conll(options.dataset, options.output)
    print("\n".join(map(str, paths)))


def read_command_line(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("python -m dataset_scripts.to_conll", __doc__)
    parser.add_argument("dataset", type=Path, help="folder written by python -m dataset_scripts.build")
    parser.add_argument("output", type=Path, help="folder for the text files")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
