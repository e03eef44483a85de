"""Find the text files of a distribution: the authors' eleven folders, or three files side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_scripts.schema import LANGUAGES, SPLITS, sort_languages
from reports_2mner.language_table import CODE

logger = logging.getLogger(__name__)

TRAIN_FILE = "train_conll_format.txt"
FOLDER_PREFIX = "train_valid_test_"
ALL_KIND, BETWEEN = "all_lang", "_plus_"  # as in train_valid_test_all_lang and train_valid_test_en_plus_de
# Names of train, validation and test files: the authors', and those of Twitter-2015/2017.
FILE_NAMES = (
    (TRAIN_FILE, "valid_conll_format.txt", "test_conll_format.txt"),
    ("train.txt", "valid.txt", "test.txt"),
    ("train.txt", "dev.txt", "test.txt"),
)


@dataclass(frozen=True)
class SourceFile:
    """A text file, its split, and the languages that its sentences may have."""

    path: Path
    split: str
    languages: tuple[str, ...]


def find_source_files(
    source: Path, languages: Sequence[str] | None = LANGUAGES, train_file: str | None = None
) -> list[SourceFile]:
    """List the files of a distribution, folders of one language first.

    `source` holds `train_valid_test_*` folders, is one of them, is the parent of a folder that holds them, or holds
    three files such as train.txt, valid.txt and test.txt, which are taken as English unless `languages` names another
    single language. `languages` of None are all that the folders name. Folders that neither have any of `languages`
    nor help to tell the languages of the others apart are skipped. `train_file` is another name for the train file, as
    the authors' `--train_file`. Raises ValueError that states what is missing or ambiguous.
    """
    if not source.is_dir():
        raise ValueError(f"`source` must be a folder, but {source} is not; check the path.")
    folders = language_folders(source)
    if not folders:
        return _files_side_by_side(source, languages or ("en",), train_file)
    languages = languages or sort_languages(language for group in folders.values() for language in group)
    wanted = _wanted(folders, languages)
    found = {language for group in wanted.values() for language in group}
    if absent := [language for language in languages if language not in found]:
        logger.info("No folder for %s under %s: the data set is built without.", ", ".join(absent), source)
    if not wanted:
        raise ValueError(f"`source` {source} has no folder for any of `languages` {list(languages)}; check both.")
    return [file for folder, group in wanted.items() for file in _files(folder, group, train_file)]


def language_folders(source: Path) -> dict[Path, tuple[str, ...]]:
    """Return the language folders in `source`, or `source` itself, or those in its only subfolder that has any."""
    if here := _folders_in(source):
        return here
    if group := _languages_of_folder(source.resolve().name):
        return {source: group}
    below = {child: found for child in sorted(source.iterdir()) if (found := _folders_in(child))}
    if len(below) > 1:
        raise ValueError(
            f"`source` {source} has language folders in {[str(child) for child in below]}; name one of these."
        )
    return next(iter(below.values()), {})


def has_three_files(source: Path) -> bool:
    """Return whether a folder holds files such as train.txt, valid.txt and test.txt."""
    return source.is_dir() and _names(source) is not None


def _folders_in(holder: Path) -> dict[Path, tuple[str, ...]]:
    """Return folders with one language first, so that their sentences identify the languages in the mixed folders."""
    folders = holder.iterdir() if holder.is_dir() else ()
    found = {folder: group for folder in folders if folder.is_dir() and (group := _languages_of_folder(folder.name))}
    order = sort_languages({*LANGUAGES, *(language for group in found.values() for language in group)})
    if (everything := holder / f"{FOLDER_PREFIX}{ALL_KIND}") in found:
        found[everything] = order
    places = {folder: [len(group), *map(order.index, group)] for folder, group in found.items()}
    return {folder: found[folder] for folder in sorted(found, key=places.__getitem__)}


def _languages_of_folder(name: str) -> tuple[str, ...]:
    """Return the languages in a folder's name; none for another kind of folder."""
    kind = name.removeprefix(FOLDER_PREFIX) if name.startswith(FOLDER_PREFIX) else ""
    if kind == ALL_KIND:
        return LANGUAGES
    group = tuple(kind.split(BETWEEN))
    return group if len(set(group)) == len(group) <= 2 and all(map(CODE.fullmatch, group)) else ()


def _wanted(folders: dict[Path, tuple[str, ...]], languages: Sequence[str]) -> dict[Path, tuple[str, ...]]:
    """Keep the folders with any of the languages, and those of one language that help to separate mixed folders."""
    wanted = {folder: group for folder, group in folders.items() if set(group) & set(languages)}
    singles = {(language,) for group in wanted.values() for language in group}
    return {folder: group for folder, group in folders.items() if folder in wanted or group in singles}


def _files_side_by_side(source: Path, languages: Sequence[str], train_file: str | None) -> list[SourceFile]:
    if not _names(source):
        raise ValueError(
            f"Neither `source` {source} nor a folder directly in it holds any of the folders "
            f"{[*map(FOLDER_PREFIX.__add__, LANGUAGES)]} or others of that form (with another language, "
            f"{FOLDER_PREFIX}en{BETWEEN}de, {FOLDER_PREFIX}{ALL_KIND}), and `source` does not hold files such as "
            f"{', '.join(FILE_NAMES[1])}; name the folder that does."
        )
    return _files(source, (languages[0] if len(languages) == 1 else "en",), train_file)


def _names(folder: Path) -> tuple[str, ...] | None:
    """Return the names of the folder's three files, recognised by those of validation and test."""
    return next((names for names in FILE_NAMES if all((folder / name).is_file() for name in names[1:])), None)


def _files(folder: Path, languages: tuple[str, ...], train_file: str | None) -> list[SourceFile]:
    usual = _names(folder) or FILE_NAMES[0]
    names = (train_file or usual[0], *usual[1:])
    files = [SourceFile(folder / name, split, languages) for split, name in zip(SPLITS, names, strict=True)]
    if absent := [str(file.path) for file in files if not file.path.is_file()]:
        raise ValueError(f"Files are missing: {', '.join(absent)}; {folder} needs {', '.join(names)}.")
    return files
