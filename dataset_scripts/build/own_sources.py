"""Find and read the files of data of one's own: which form they have, and which split their names state."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_scripts.annotations.jsonl import KeyNames, read_jsonl
from dataset_scripts.annotations.label_studio import read_label_studio
from dataset_scripts.annotations.plain_conll import looks_like_conll, read_plain_conll
from dataset_scripts.annotations.sentence import Faults, Sentence
from dataset_scripts.build.named_pictures import SUFFIXES as PICTURE_SUFFIXES
from dataset_scripts.build.own import OwnSettings
from dataset_scripts.reading import STORED_ON_DISK
from dataset_scripts.splits import SPLIT_WORDS

logger = logging.getLogger(__name__)

METADATA = "metadata.jsonl"
LINES_OF_JSON = (".jsonl", ".ndjson")
STORED_ROWS = (".parquet", ".arrow")
NO_TEXT = (*PICTURE_SUFFIXES, *STORED_ROWS, ".zip", ".gz", ".tar", ".pdf", ".md", ".py", ".csv")


@dataclass(frozen=True)
class OwnFile:
    """A file, or a data set as a whole, its form, and the split that its name states ("" for none)."""

    path: Path
    form: str
    part: str = ""


def find_own_files(source: Path, own: OwnSettings) -> list[OwnFile]:
    """List the files under `source`, or the source itself; ValueError if there is none, or of several forms."""
    if own.form == "data_set" or (own.form is None and is_data_set(source)):
        return [OwnFile(source, "data_set")]
    if not source.exists():
        raise ValueError(
            f"`source` {source} is not there; check the path, or add `--form data_set` for a data set on the Hub."
        )
    if source.is_file():
        found = [(source, own.form or form_of(source, own))]
    else:
        found = [(path, form_of(path, own)) for path in _texts_in(source)]
        if others := [str(path.relative_to(source)) for path, form in found if not form]:
            logger.warning("Not recognised, and left out: %s; `--form` names the form of all files.", _some(others))
    files = [OwnFile(path, form, part_of(path, source)) for path, form in found if form and own.form in (None, form)]
    if own.form is None and any(file.form == "metadata" for file in files):
        files = [file for file in files if file.form == "metadata"]
    if not files:
        raise ValueError(
            f"`source` {source} holds nothing that was recognised: CoNLL (word and tag on each line), JSONL, {METADATA}, an "
            "export of Label Studio, or a data set; check the path, or name the form with `--form`."
        )
    forms = {file.form: file.path for file in files}
    if len(forms) > 1:
        named = ", ".join(f"{form} ({path})" for form, path in sorted(forms.items()))
        raise ValueError(
            f"`source` {source} holds several forms: {named}; choose one with `--form`, or name the file."
        )
    return _with_splits(files)


def is_data_set(source: Path) -> bool:
    """Return whether a folder holds the files of a data set, as `datasets` writes them."""
    if not source.is_dir():
        return False
    stored = any((source / name).is_file() for name in STORED_ON_DISK)
    return stored or any(next(source.rglob(f"*{suffix}"), None) for suffix in STORED_ROWS)


def form_of(path: Path, own: OwnSettings) -> str | None:
    """Return the form of a file by its name and first lines, or None for any other file.

    Raises:
        ValueError: for UTF-16 or UTF-32, in which nothing can be recognised.
    """
    with open(path, "rb") as file:
        if file.read(4).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
            raise ValueError(f"{path} is in UTF-16 or UTF-32; save the file as UTF-8, or take it out of `source`.")
    if path.name == METADATA:
        return "metadata"
    if path.suffix in LINES_OF_JSON:
        return "jsonl"
    if path.suffix == ".json":
        return "label_studio" if _first_character(path) == "[" else None
    tag_column = own.column_names.get("ner_tags", "")
    number = int(tag_column) if tag_column.isdecimal() else None
    # A wrong number is named by the reader, with the line.
    found = path.suffix not in NO_TEXT and (looks_like_conll(path, number) or looks_like_conll(path))
    return "conll" if found else None


def part_of(path: Path, source: Path) -> str:
    """Return the split that the name of a file states, or of the nearest folder up to `source`; "" for none."""
    names = [path.stem + path.suffix, *(parent.name for parent in path.parents if parent.is_relative_to(source))]
    words = (word for name in names for word in re.findall("[a-z]+", name.lower()))
    return next((SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS), "")


def read_own_file(
    file: OwnFile, own: OwnSettings, faults: Faults, pictures: Path, keys: KeyNames
) -> Iterator[Sentence]:
    """Yield the sentences of a file.

    Args:
        file: with its form.
        own: names of columns and the like.
        faults: takes what cannot be read.
        pictures: a folder for the pictures that a data set holds itself.
        keys: names of the keys of objects; remembers which there are.
    """
    if file.form == "conll":
        numbers = own.column_numbers
        return read_plain_conll(file.path, faults, numbers.get("tokens"), numbers.get("ner_tags"))
    if file.form == "label_studio":
        return read_label_studio(file.path, faults, split_into_words, columns=keys)
    if file.form == "data_set":
        from dataset_scripts.annotations.data_sets import read_data_set  # loads datasets, which other forms do without

        return read_data_set(str(file.path), own.dataset_config, own.column_names, faults, split_into_words, pictures)
    return read_jsonl(file.path, faults, split_into_words, columns=keys)


def split_into_words(text: str, lang: str) -> tuple[Sequence[str], Sequence[tuple[int, int]]]:
    """Split a text as the pipeline does, in every language alike: what is trained on is what will be predicted."""
    # The package of the models takes seconds to load, and files of words do not need it.
    from modeling_2mner.windows import split_text

    return split_text(text)


def _texts_in(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() not in NO_TEXT)
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts))


def _some(names: Sequence[str], number: int = 10) -> str:
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(names[:number]) + more


def _first_character(path: Path) -> str:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return file.read(1000).lstrip()[:1]


def _with_splits(files: list[OwnFile]) -> list[OwnFile]:
    """Keep the files that are named after splits, if there are any; say which are left out."""
    named = [file for file in files if file.part]
    if named and (others := [file.path for file in files if not file.part]):
        logger.warning(
            "Left out, since their names state no split, while those of other files do: %s.",
            ", ".join(map(str, others)),
        )
    return named or files
