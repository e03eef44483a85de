"""Files of predictions: what a sentence looks like in them, and how an interrupted one goes on.

- `.jsonl`: the object of the input with `entities` (as the pipeline gives them), `image_status` and, on request,
  `word_tags`.
- `.conll` and `.txt`: the authors' format, `IMGID:<image id>` if there is one, `WORD<TAB>TAG` for each word, an empty
  line.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from modeling_2mner.pipeline_2mner import Entities
from reports_2mner.conll_format import ID_PREFIX, format_sentence
from reports_2mner.files import write_json
from training_2mner.predict.text import SHOWN, STATUS_FIELD, Record, Records

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """What the pipeline says of one sentence; `word_tags` only on request."""

    entities: Entities
    word_tags: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Form:
    """A form of files: `write` a record, `ends` tells its last line, `repeats` whether written text is of a record."""

    write: Callable[[Record, Prediction], str]
    ends: Callable[[bytes], bool]
    repeats: Callable[[Record, str], bool]


def form_of(output: Path) -> Form:
    """Return the form that the ending of the file's name tells; ValueError for another ending."""
    if output.suffix == ".jsonl":
        return Form(_write_json, lambda line: line.endswith(b"\n"), _repeats_json)
    if output.suffix in (".conll", ".txt"):
        return Form(_write_conll, lambda line: line == b"\n", _repeats_conll)
    raise ValueError(f"`output` {output} must end in .jsonl, or in .conll or .txt for the authors' format; rename it.")


def _write_json(record: Record, prediction: Prediction) -> str:
    results: dict[str, Any] = {"entities": prediction.entities, STATUS_FIELD: prediction.entities.image_status}
    if prediction.word_tags is not None:
        results["word_tags"] = prediction.word_tags
    return f"{_to_json({**record.fields, **results})}\n"


def _repeats_json(record: Record, text: str) -> bool:
    return text.startswith(_to_json({**record.fields, "entities": []}).removesuffix("]}"))


def _to_json(value: dict[str, Any]) -> str:
    """Write other than English letters as they are, unless a field holds what is no character."""
    text = json.dumps(value, ensure_ascii=False, default=str)  # dates, say, become text
    return text if text.isascii() or _is_encodable(text) else json.dumps(value, default=str)


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _write_conll(record: Record, prediction: Prediction) -> str:
    words = conll_words(record)
    tags = ["O"] * len(words)
    for entity in prediction.entities:
        for place in range(entity["start"], entity["end"]):
            tags[place] = f"{'B' if place == entity['start'] else 'I'}-{entity['entity_group']}"
    return format_sentence(record.fields.get("image_id"), words, tags)


def _repeats_conll(record: Record, text: str) -> bool:
    words = "".join(f"{line.partition(chr(9))[0]}\n" for line in text.removesuffix("\n").split("\n"))
    return words == format_sentence(record.fields.get("image_id"), conll_words(record))


def conll_words(record: Record) -> list[str]:
    """Return the words of a record as CoNLL can hold them; ValueError where it cannot."""
    words = record.sentence.get("words")
    if words is None:
        raise ValueError(f"{record.place}: text that is not split into words has no CoNLL; write to a .jsonl file.")
    cells = [*words, str(record.fields.get("image_id"))]
    bad = [cell for cell in cells if any(mark in cell for mark in "\t\r\n")]
    bad += [word for word in words if not word or word.startswith(ID_PREFIX)]
    if bad or not words:
        raise ValueError(
            f"{record.place}: CoNLL cannot hold a sentence without words, nor {repr(bad)[:SHOWN]} in one; write to a "
            ".jsonl file."
        )
    return words


class PartialFile:
    """The predictions of a run that is not finished, in OUTPUT.partial, and its settings, in OUTPUT.partial.json.

    Args:
        output (`Path`): what the file becomes in the end.
        settings (`dict`): what must be equal for a run to go on; plain JSON.
    """

    def __init__(self, output: Path, settings: dict[str, Any]):
        self._output, self._settings = output, settings
        self._form = form_of(output)
        self._path = output.with_name(f"{output.name}.partial")
        self._settings_path = output.with_name(f"{output.name}.partial.json")

    def resume(self, records: Records, batch_size: int, overwrite: bool) -> int:
        """Cut the file after its last whole batch and return the number of sentences in it.

        Batches stay what they were, so that the scores come out the same to the last digit. A file of another input or
        with other settings is an error, or begins anew with `overwrite`.
        """
        try:
            self._check_settings()
            kept, end = self._find_end(records, batch_size)
        except ValueError:
            if not overwrite:
                raise
            logger.warning("%s does not fit and begins anew.", self._path)
            kept = end = 0
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with open(self._path, "ab") as file:
            file.truncate(end)
        if not kept:
            write_json(self._settings_path, self._settings)
        return kept

    def open(self) -> BinaryIO:
        """Open the file for what is to come."""
        return open(self._path, "ab")

    def encode(self, record: Record, prediction: Prediction) -> bytes:
        """Return what the file holds of one sentence; ValueError where its form cannot hold it."""
        return self._form.write(record, prediction).encode("utf-8")

    def finish(self) -> None:
        """Make the file the output."""
        os.replace(self._path, self._output)
        self._settings_path.unlink()

    def _check_settings(self) -> None:
        if not self._path.exists() or not self._path.stat().st_size:
            return
        try:
            before = json.loads(self._settings_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        if changed := [name for name, value in self._settings.items() if before.get(name) != value]:
            raise ValueError(
                f"{self._path} was begun with other settings ({', '.join(changed)}); use those, or delete the file, "
                "or begin anew with --overwrite."
            )

    def _find_end(self, records: Records, batch_size: int) -> tuple[int, int]:
        """Return the sentences in the whole batches of the file, and where these end."""
        kept = end = position = 0
        for number, block in enumerate(self._blocks(), start=1):
            if number > len(records) or not self._form.repeats(records[number - 1], block.decode("utf-8", "replace")):
                raise ValueError(
                    f"{self._path} is of another input: its sentence {number} is not there; delete the file, or begin "
                    "anew with --overwrite."
                )
            position += len(block)
            if number % batch_size == 0 or number == len(records):
                kept, end = number, position
        return kept, end

    def _blocks(self) -> Iterator[bytes]:
        """Yield the whole records of the file."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            block = b""
            for line in file:
                block += line
                if self._form.ends(line):
                    yield block
                    block = b""
