"""Build the data set folder from the authors' files and pictures.

    python -m dataset_scripts.build --source ../MMNERD --images ../MMNERD/images --output mmnerd

The folder then opens with `load_dataset("mmnerd", "en")` from the folder that holds it.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_scripts.card import dataset_card, image_table, text_table
from dataset_scripts.conll import read_conll
from dataset_scripts.images import Picture, find_unsafe_part, read_picture
from dataset_scripts.parquet import check_output, write_dataset
from dataset_scripts.rows import Counts
from dataset_scripts.schema import LANGUAGES

logger = logging.getLogger(__name__)

SPLIT_FILES = {
    "train": "train_conll_format.txt",
    "validation": "valid_conll_format.txt",
    "test": "test_conll_format.txt",
}
COMBINED_FOLDER = "train_valid_test_all_lang"
CARD_BODY = Path(__file__).resolve().parents[1] / "model_cards" / "mmnerd_card_body.md"
SUMMARY = (
    "Sentences with one picture each and their named entities (person, location, organisation, miscellaneous), built "
    "from the files of the MMNERD authors."
)
NO_PICTURE = Picture(None, "missing", "built without pictures")
SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Problem:
    """A row whose picture could not be used, and why."""

    row_id: str
    status: str
    reason: str


@dataclass
class BuildReport:
    """What was written, and every row that has no picture although a folder of pictures was given."""

    counts: Counts = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def build(source: Path | str, images: Path | str | None, output: Path | str, overwrite: bool = False) -> BuildReport:
    """Write the data set of all languages found under `source` to the folder `output`.

    `images` holds `<image id>.jpg` files; with None no row has a picture. Every text file is checked before the first
    picture is read. Raises ValueError for a folder that does not fit, a broken line, or an image id unsafe as file name.
    """
    output = Path(output)
    images = Path(images) if images is not None else None
    check_output(output, overwrite)
    if images and not images.is_dir():
        raise ValueError(f"`images` must be a folder with <image id>.jpg files, but {images} is none; check the path.")
    files = _conll_files(find_language_folders(Path(source)))
    totals = {key: _check_sentences(path) for key, path in files.items()}
    report = BuildReport()
    rows = _rows_by_split(files, totals, images, report.problems)
    card = partial(
        dataset_card,
        name=output.resolve().name,
        title="MMNERD",
        summary=SUMMARY,
        body=CARD_BODY.read_text(encoding="utf-8"),
        license_name="mixed-see-below",
        annotations_creators=("machine-generated", "expert-generated"),
    )
    report.counts = write_dataset(output, rows, card, overwrite)
    if images and not any(count.statuses["ok"] for count in report.counts.values()):
        logger.warning("Not one picture of the data set was found in %s; check `images`.", images)
    return report


def find_language_folders(source: Path) -> dict[str, Path]:
    """Return `{language: folder}` for the `train_valid_test_<language>` folders in `source` or one level below."""
    if not source.is_dir():
        raise ValueError(f"`source` must be a folder, but {source} is none; check the path.")
    holders = [source, *sorted(child for child in source.iterdir() if child.is_dir())]
    found = {holder: folders for holder in holders if (folders := _languages_in(holder))}
    if source not in found and len(found) > 1:
        raise ValueError(f"`source` {source} has language folders in {[str(h) for h in found]}; name one of these.")
    if not found:
        raise ValueError(_no_languages(source, holders))
    folders = found.get(source) or next(iter(found.values()))
    if absent := [lang for lang in LANGUAGES if lang not in folders]:
        logger.info("No folder for %s under %s: the data set is built without.", ", ".join(absent), source)
    return folders


def _languages_in(holder: Path) -> dict[str, Path]:
    folders = {lang: holder / f"train_valid_test_{lang}" for lang in LANGUAGES}
    return {lang: folder for lang, folder in folders.items() if folder.is_dir()}


def _no_languages(source: Path, holders: list[Path]) -> str:
    if any((holder / COMBINED_FOLDER).is_dir() for holder in holders):
        return (
            f"`source` {source} holds only {COMBINED_FOLDER}, which does not tell the language of a sentence; "
            "add the authors' folders of single languages, such as train_valid_test_en."
        )
    return (
        f"`source` {source} holds none of the folders {[f'train_valid_test_{lang}' for lang in LANGUAGES]}, nor does "
        "a folder directly in it; name the folder that holds them."
    )


def _conll_files(folders: dict[str, Path]) -> dict[tuple[str, str], Path]:
    files = {(lang, split): folder / name for lang, folder in folders.items() for split, name in SPLIT_FILES.items()}
    if absent := [str(path) for path in files.values() if not path.is_file()]:
        raise ValueError(f"Files are missing: {', '.join(absent)}; each language needs {list(SPLIT_FILES.values())}.")
    return files


def _check_sentences(path: Path) -> int:
    """Read the whole file for its errors and return the number of sentences."""
    sentences = 0
    for sentence in read_conll(path):
        if unsafe := find_unsafe_part(sentence.image_id):
            raise ValueError(
                f"{path}:{sentence.line}: the image id {sentence.image_id!r} is not safe as a file name, it has "
                f"{unsafe}; rename it here and in the folder of pictures."
            )
        sentences += 1
    if not sentences:
        raise ValueError(f"{path} holds no sentence; get a complete copy of the file.")
    return sentences


def _rows_by_split(
    files: dict[tuple[str, str], Path],
    totals: dict[tuple[str, str], int],
    images: Path | None,
    problems: list[Problem],
) -> dict[tuple[str, str], Iterator[dict[str, Any]]]:
    used: dict[str, Counter[str]] = {lang: Counter() for lang, _ in files}
    return {
        (lang, split): tqdm(
            _rows(path, lang, images, used[lang], problems),
            total=totals[lang, split],
            desc=f"{lang} {split}",
            unit=" sentences",
            disable=None,
        )
        for (lang, split), path in files.items()
    }


def _rows(
    path: Path, lang: str, images: Path | None, used: Counter[str], problems: list[Problem]
) -> Iterator[dict[str, Any]]:
    for sentence in read_conll(path):
        image_id = sentence.image_id
        used[image_id] += 1
        repeat = f"#{used[image_id]}" if used[image_id] > 1 else ""
        row_id = f"{lang}/{image_id}{repeat}"
        picture = read_picture(images, image_id) if images else NO_PICTURE
        if images and picture.reason:
            problems.append(Problem(row_id, picture.status, picture.reason))
        yield {
            "id": row_id,
            "tokens": sentence.tokens,
            "ner_tags": sentence.tags,
            "image": picture.image,
            "image_id": image_id,
            "image_status": picture.status,
            "lang": lang,
            "source": source_of(image_id),
        }


def source_of(image_id: str) -> str:
    """Tell where a row comes from: captions have ids of eight digits, three hyphens and the stem of a URL."""
    return "cc12m" if re.match(r"[0-9]{8}---", image_id) else "twitter2017"


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m dataset_scripts.build",
        description="Build the MMNERD data set folder (parquet files and a card) from the authors' files.",
        epilog="Afterwards, in the folder that holds the output: load_dataset('mmnerd'), load_dataset('mmnerd', 'en').",
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        help="folder that holds train_valid_test_en, _fr, _es, _de (those you have), or the folder above it",
    )
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", type=Path, help="folder with a picture <image id>.jpg for every sentence")
    pictures.add_argument("--no_images", action="store_true", help="build the text alone; all pictures are missing")
    parser.add_argument("--output", type=Path, default=Path("mmnerd"), help="folder to write (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output folder of an earlier build")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Build from the command line and print what was written."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        report = build(options.source, options.images, options.output, options.overwrite)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{text_table(report.counts)}\n\n{image_table(report.counts)}")
    for problem in report.problems[:SHOWN_PROBLEMS]:
        print(f"{problem.row_id}: {problem.status}, {problem.reason}")
    if len(report.problems) > SHOWN_PROBLEMS:
        print(f"... {len(report.problems)} rows without a picture in all; the column `image_status` marks them.")
    print(f"Written to {options.output}.")


if __name__ == "__main__":
    main()
