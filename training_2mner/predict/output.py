"""Files of predictions: the form of a sentence in them, and how to continue an interrupted one.

- `.jsonl`: the object of the input with `entities` (as the pipeline returns them), `image_status` and, on request,
  `word_tags`; `prediction_error` for a sentence that has no tags because the model's scores are not finite.
- `.conll` and `.txt`: the authors' format, `IMGID:<image id>` if there is one, `WORD<TAB>TAG` for each word, and
  an empty line.
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
from training_2mner.predict.text import ERROR_FIELD, MAX_QUOTE_LENGTH, STATUS_FIELD, InputRecord, InputRecords

logger = logging.getLogger(__name__)


COMPLETE = "complete_sentences"  # beside the settings


@dataclass(frozen=True)
class Prediction:
    """The result of the pipeline for one sentence; `word_tags` only on request."""

    entities: Entities
    word_tags: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Form:
    """A file format: `write` formats a record, `ends` recognises its last line, `repeats` its text."""

    write: Callable[[InputRecord, Prediction], str]
    ends: Callable[[bytes], bool]
    repeats: Callable[[InputRecord, str], bool]


def form_of(output: Path) -> Form:
    """Return the format for the file name's ending; ValueError for an unknown ending."""
    if output.suffix == ".jsonl":
        return Form(_write_json, lambda line: line.endswith(b"\n"), _repeats_json)
    if output.suffix in (".conll", ".txt"):
        return Form(_write_conll, lambda line: line == b"\n", _repeats_conll)
    raise ValueError(f"`output` {output} must end in .jsonl, or in .conll or .txt for the authors' format; rename it.")


def _write_json(record: InputRecord, prediction: Prediction) -> str:
    results: dict[str, Any] = {"entities": prediction.entities, STATUS_FIELD: prediction.entities.image_status}
    if prediction.word_tags is not None:
        results["word_tags"] = prediction.word_tags
    if prediction.entities.error:
        results[ERROR_FIELD] = prediction.entities.error
    return f"{_to_json({**record.fields, **results})}\n"


def _repeats_json(record: InputRecord, text: str) -> bool:
    return text.startswith(_to_json({**record.fields, "entities": []}).removesuffix("]}"))


def _to_json(value: dict[str, Any]) -> str:
    """Keep non-ASCII characters as they are, unless a field holds a lone surrogate, which UTF-8 cannot encode."""
    text = json.dumps(value, ensure_ascii=False, default=str)  # dates, for example, become text
    return text if text.isascii() or _is_encodable(text) else json.dumps(value, default=str)


def _is_encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _write_conll(record: InputRecord, prediction: Prediction) -> str:
    words = conll_words(record)
    tags = ["O"] * len(words)
    for entity in prediction.entities:
        for place in range(entity["start"], entity["end"]):
            tags[place] = f"{'B' if place == entity['start'] else 'I'}-{entity['entity_group']}"
    return format_sentence(record.fields.get("image_id"), words, tags)


def _repeats_conll(record: InputRecord, text: str) -> bool:
    words = "".join(f"{line.partition(chr(9))[0]}\n" for line in text.removesuffix("\n").split("\n"))
    return words == format_sentence(record.fields.get("image_id"), conll_words(record))


def conll_words(record: InputRecord) -> list[str]:
    """Return the words of a record; ValueError if CoNLL cannot hold them."""
    words = record.sentence.get("words")
    if words is None:
        raise ValueError(f"{record.place}: text that is not split into words cannot be CoNLL; write to a .jsonl file.")
    cells = [*words, str(record.fields.get("image_id"))]
    bad = [cell for cell in cells if any(mark in cell for mark in "\t\r\n")]
    bad += [word for word in words if not word or word.startswith(ID_PREFIX)]
    if bad or not words:
        raise ValueError(
            f"{record.place}: CoNLL cannot hold a sentence without words, nor {repr(bad)[:MAX_QUOTE_LENGTH]} in one; "
            "write to a .jsonl file."
        )
    return words


class PartialFile:
    """The predictions of an unfinished run, in OUTPUT.partial, and its settings, in OUTPUT.partial.json.

    Args:
        output (`Path`): the file's name when it is finished.
        settings (`dict`): what must be equal for a run to continue; plain JSON.
    """

    def __init__(self, output: Path, settings: dict[str, Any]):
        self._output, self._settings = output, settings
        self._form = form_of(output)
        self.path = output.with_name(f"{output.name}.partial")
        self._settings_path = output.with_name(f"{output.name}.partial.json")

    def resume(self, records: InputRecords, overwrite: bool) -> int:
        """Truncate the file after the sentences that were marked as complete, and return their number.

        A file from another input or with other settings is an error or, with `overwrite`, is started from scratch.
        """
        try:
            kept, end = self._find_end(records, self._check_settings())
        except ValueError:
            if not overwrite:
                raise
            logger.warning("%s does not fit and is started from scratch.", self.path)
            kept = end = 0
        self._output.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.truncate(end)
            self.mark(kept, file)
        return kept

    def mark(self, sentences: int, file: BinaryIO) -> None:
        """Note that the file holds this many sentences, and that they are all those of the batches so far.

        A run continues from there, so that the batches remain the same and scores are reproduced to the last digit.
        """
        file.flush()
        os.fsync(file.fileno())  # or a power failure could leave a mark behind the end of the file
        write_json(self._settings_path, {**self._settings, COMPLETE: sentences})

    def open(self) -> BinaryIO:
        """Open the file to append to it."""
        return open(self.path, "ab")

    def encode(self, record: InputRecord, prediction: Prediction) -> bytes:
        """Return the bytes for one sentence; ValueError if the format cannot hold it."""
        return self._form.write(record, prediction).encode("utf-8")

    def finish(self) -> None:
        """Turn the file into the output."""
        os.replace(self.path, self._output)
        self._settings_path.unlink()

    def _check_settings(self) -> int:
        """Check that the file was started with these settings; return the number of its complete sentences."""
        if not self.path.exists() or not self.path.stat().st_size:
            return 0
        try:
            before = json.loads(self._settings_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        if not isinstance(before, dict) or not isinstance(before.get(COMPLETE, 0), int):
            before = {}
        if changed := [name for name, value in self._settings.items() if before.get(name) != value]:
            raise ValueError(
                f"{self.path} was started with other settings ({', '.join(changed)}); use those, delete the file, "
                "or start from scratch with --overwrite."
            )
        return int(before.get(COMPLETE, 0))

    def _find_end(self, records: InputRecords, complete: int) -> tuple[int, int]:
        """Return how many of the first `complete` sentences are in the file, and where they end."""
        kept = end = position = 0
        for number, block in enumerate(self._blocks(), start=1):
            if number > len(records) or not self._form.repeats(records[number - 1], block.decode("utf-8", "replace")):
                raise ValueError(
                    f"{self.path} is from another input: its sentence {number} is not in this one; delete the file, "
                    "or start from scratch with --overwrite."
                )
            position += len(block)
            if number == complete:
                kept, end = number, position
        return kept, end

    def _blocks(self) -> Iterator[bytes]:
        """Yield the complete records of the file."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            block = b""
            for line in file:
                block += line
                if self._form.ends(line):
                    yield block
                    block = b""
