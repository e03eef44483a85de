"""Sentences to predict from text files. Only their positions are kept; errors give file and line.

- `.jsonl`: one object per line, with `text` (a string) or `words` or `tokens` (lists of strings). `image` or `images`
  is a path, a data URI, a base64 picture, or a list of these. Other fields pass through; empty lines are skipped.
- `.txt`: one sentence per line, including empty ones; or CoNLL, if the first line begins with `IMGID:`.
- `.conll`: the authors' format, a line `IMGID:<image id>`, a line for each word, an empty line. What follows a TAB
  after a word is ignored; it may be left out, as may the IMGID line.

All are UTF-8; a byte order mark and CRLF line ends are accepted.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from reports_2mner.conll_format import ID_PREFIX

WORD_FIELDS = ("text", "words", "tokens")
PICTURE_FIELDS = ("image", "images")
RESULT_FIELDS = ("entities", "word_tags")
STATUS_FIELD = "image_status"
MAX_QUOTE_LENGTH = 80  # characters of a bad line that an error quotes
# The base64 beginnings of JPEG, PNG, GIF, WEBP, BMP and TIFF. File names of pictures have a dot, which base64 lacks.
_BASE64 = re.compile(r"(?:/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk|SUkq|TU0A)[A-Za-z0-9+/]{60,}={0,2}")


@dataclass(frozen=True)
class InputRecord:
    """A sentence: the input of the pipeline, the fields that the output repeats, and its place in the file."""

    sentence: dict[str, Any]
    fields: dict[str, Any]
    place: str


class InputRecords(Protocol):
    """Sentences that are read when they are needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> InputRecord: ...


class TextRecords(InputRecords):
    """The sentences of a text file, all of which are checked at the start.

    Args:
        path (`Path`): a `.jsonl`, `.txt` or `.conll` file.
        images (`Path`, *optional*): the folder of the pictures: for paths in `.jsonl` (default: the folder of the
            file), and for `<image id>.jpg` of CoNLL.

    Raises:
        ValueError: for another ending, and for the first bad line, with file, line and remedy.
    """

    def __init__(self, path: Path, images: Path | None = None):
        self._path, self._images = path, images
        self._read = _reader(path)
        self._starts, self._numbers = array("Q"), array("Q")
        with open(path, "rb") as file:
            lines = _Lines(path, file, 0)
            start, number = 0, 0
            while self._read(lines, images):
                self._starts.append(start)
                self._numbers.append(number)
                start, number = file.tell(), lines.number

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> InputRecord:
        with open(self._path, "rb") as file:
            file.seek(self._starts[index])
            record = self._read(_Lines(self._path, file, self._numbers[index]), self._images)
        if record is None:
            raise ValueError(f"{self._path} became shorter while it was read; run the command again.")
        return record


class _Lines:
    """The lines of a file from its current position, without line ends; `number` is that of the last line read."""

    def __init__(self, path: Path, file: BinaryIO, number: int):
        self.path, self.file, self.number = path, file, number

    def read(self) -> str | None:
        """Return the next line, or None at the end."""
        raw = self.file.readline()
        if not raw:
            return None
        self.number += 1
        if self.number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error("bytes that are not UTF-8", raw, "save the file as UTF-8") from error

    def read_filled(self) -> str | None:
        """Return the next line that is not blank, or None at the end."""
        while (text := self.read()) is not None:
            if text.strip():
                return text
        return None

    def error(self, cause: str, value: Any, remedy: str) -> ValueError:
        """Make an error about the last line read."""
        return ValueError(f"{self.place}: {cause}: {repr(value)[:MAX_QUOTE_LENGTH]}; {remedy}.")

    @property
    def place(self) -> str:
        """The file and the number of the last line read."""
        return f"{self.path}:{self.number}"


_RecordReader = Callable[[_Lines, Path | None], InputRecord | None]


def _reader(path: Path) -> _RecordReader:
    if path.suffix == ".jsonl":
        return _read_json
    if path.suffix not in (".conll", ".txt"):
        raise ValueError(f"`input` {path} must end in .jsonl, .conll, .txt or .parquet, or be a folder; rename it.")
    with open(path, "rb") as file:
        begins_as_conll = file.read(64).removeprefix(codecs.BOM_UTF8).startswith(ID_PREFIX.encode())
    return _read_conll if path.suffix == ".conll" or begins_as_conll else _read_plain


def _read_plain(lines: _Lines, images: Path | None) -> InputRecord | None:
    text = lines.read()
    return None if text is None else InputRecord({"text": text}, {"text": text}, lines.place)


def _read_conll(lines: _Lines, images: Path | None) -> InputRecord | None:
    text = lines.read_filled()
    if text is None:
        return None
    place, fields, words = lines.place, {}, []
    image = None
    if text.startswith(ID_PREFIX):
        if "\t" in text or "\r" in text:
            raise lines.error("an IMGID line without a plain id", text, "write IMGID:<image id> and nothing else")
        fields["image_id"] = text.removeprefix(ID_PREFIX)
        image = find_picture(fields["image_id"], images)
        text = lines.read()
    while text:
        words.append(_word(lines, text))
        text = lines.read()
    if not words:
        raise ValueError(f"{place}: a sentence without words; add its words, or remove it.")
    return InputRecord({"words": words, "image": image}, {**fields, "words": words}, place)


def find_picture(image_id: str, images: Path | None) -> str | bytes | None:
    """The path of `<image id>.jpg` in a folder; an id that is not a plain file name gets an unreadable picture."""
    name = f"{image_id}.jpg"
    if images is None:
        return None
    return str(images / name) if Path(name).name == name else b""


def _word(lines: _Lines, text: str) -> str:
    word, tab, _ = text.partition("\t")
    if text.startswith(ID_PREFIX):
        raise lines.error("a second IMGID line in a sentence", text, "put an empty line before it")
    if not word or "\r" in word:
        raise lines.error("an empty word, or one with a line end", text, "write WORD<TAB>TAG, or only the word")
    if not tab and any(character.isspace() for character in word):
        raise lines.error("blanks but no TAB", text, "separate columns with a TAB, sentences with an empty line")
    return word


def _read_json(lines: _Lines, images: Path | None) -> InputRecord | None:
    text = lines.read_filled()
    if text is None:
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise lines.error(f"not valid JSON ({error})", text, "write one object per line") from error
    if not isinstance(fields, dict):
        raise lines.error("not an object", text, 'write {"text": "..."}')
    if taken := [field for field in RESULT_FIELDS if field in fields]:
        raise lines.error("a field that the prediction would replace", taken[0], "give it another name")
    name, words = _words(lines, fields)
    sentence = {name: words, "image": _pictures(lines, fields, images or lines.path.parent)}
    kept = {field: value for field, value in fields.items() if field != STATUS_FIELD}
    return InputRecord(sentence, kept, lines.place)


def _words(lines: _Lines, fields: dict[str, Any]) -> tuple[str, str | list[str]]:
    """Return "text" or "words", and the sentence."""
    given = [field for field in WORD_FIELDS if fields.get(field) is not None]
    if len(given) != 1:
        raise lines.error("not exactly one of text, words and tokens", given, "give one of them")
    value = fields[given[0]]
    is_text = given[0] == "text"
    words = [value] if is_text else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise lines.error(
            f"`{given[0]}` has the wrong type", value, "write a string as text, a list of strings as words or tokens"
        )
    if any("\ud800" <= character <= "\udfff" for word in words for character in word):
        raise lines.error("half a surrogate pair, which is not a character", value, "remove it")
    return "text" if is_text else "words", value


def _pictures(lines: _Lines, fields: dict[str, Any], folder: Path) -> str | bytes | list | None:
    given = [fields[field] for field in PICTURE_FIELDS if fields.get(field) is not None]
    if len(given) > 1:
        raise lines.error("both image and images", given, "give one of them")
    if given and isinstance(given[0], list):
        return [_picture(lines, picture, folder) for picture in given[0]]
    return _picture(lines, given[0], folder) if given else None


def _picture(lines: _Lines, value: Any, folder: Path) -> str | bytes | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise lines.error("not a picture", value, "write a path, a data URI or base64")
    if value[:5].lower() == "data:" or "://" in value[:16]:  # web addresses are not fetched; the pipeline reports that
        return value
    if len(value) % 4 == 0 and _BASE64.fullmatch(value):
        return base64.b64decode(value)
    return str(folder / value)
