"""CoNLL files as they are found: one word a line, an empty line behind each sentence.

    -DOCSTART- -X- O                  # left out
    IMGID:photo_1                     # the picture of the next sentence; may be missing everywhere
    Ana NNP B-PER                     # the word first, its tag last; columns separated by TAB or blanks

Byte order mark, CRLF and comments (`# text` with no tag at its end) are understood. All lines of a file must have the
same number of columns, so that no word is taken for a tag. The strict reader of the authors' files, which gives them
back byte for byte, is `dataset_scripts.conll`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataset_scripts.annotations.schemes import OUTSIDE, part_and_type
from dataset_scripts.annotations.sentence import Faults, Sentence, joined
from reports_2mner.conll_format import ID_PREFIX

DOCUMENT = "-DOCSTART-"
COMMENT = "#"
_SNIFFED = 20_000  # characters that are looked at to recognise a file
LEAST_SHARE = 0.25  # of them that have a tag; the others are faults, which are reported only if the file is read


def looks_like_conll(path: Path, tag_column: int | None = None) -> bool:
    """Return whether the first lines of a file have words and tags: one `O` at least, or prefixes such as `B-` alone.

    Args:
        path: the file.
        tag_column: of the tags, from 1; by default the last.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_SNIFFED)
    lines = text.split("\n")
    lines = lines[:-1] if len(text) == _SNIFFED else lines  # the last one may be cut off
    rows = [_cells(line) for line in lines if line.strip() and not _is_mark(line) and not _is_comment(line, 2)]
    tagged = [row for row in rows if len(row) > 1]
    place = -1 if tag_column is None else tag_column - 1
    tags = [row[place] for row in tagged if -1 <= place < len(row)]
    has_tags = OUTSIDE in tags or (bool(tags) and all(part_and_type(tag)[0] for tag in tags))
    return has_tags and len(tagged) >= LEAST_SHARE * len(rows)


def read_plain_conll(
    path: Path, faults: Faults, word_column: int | None = None, tag_column: int | None = None
) -> Iterator[Sentence]:
    """Yield the sentences of a file, with their `tags` in whatever scheme they are.

    Args:
        path: the file, UTF-8.
        faults: takes the lines that are neither words, pictures, nor marks of documents; their sentence is left out.
        word_column: of the words, from 1; by default the first.
        tag_column: of the tags, from 1; by default the last.
    """
    reader = _Reader(path, faults, (word_column or 1) - 1, -1 if tag_column is None else tag_column - 1)
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
            except UnicodeDecodeError:
                reader.refuse(number, f"bytes that are not UTF-8: {raw[:40]!r}", "save the file as UTF-8")
                continue
            if (sentence := reader.take(number, line)) is not None:
                yield sentence
    if (sentence := reader.finish()) is not None:
        yield sentence


@dataclass
class _Draft:
    image: str = ""
    line: int = 0  # of IMGID
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    is_faulty: bool = False


class _Reader:
    def __init__(self, path: Path, faults: Faults, word_column: int, tag_column: int) -> None:
        self._path, self._faults = path, faults
        self._columns = word_column, tag_column
        self._draft = _Draft()
        self._width: tuple[int, int] | None = None  # columns, and the line that shows their number
        self._first_id = 0  # the line of the first IMGID

    def take(self, number: int, line: str) -> Sentence | None:
        """Take a line; return the sentence that it ends."""
        if not line.strip(" \t") or line.startswith(DOCUMENT):
            # An empty line between IMGID and the words belongs to neither.
            return self.finish() if self._draft.words or self._draft.is_faulty or line.startswith(DOCUMENT) else None
        if line.startswith(ID_PREFIX) and "\t" not in line:
            done = self.finish()
            self._begin(number, line.removeprefix(ID_PREFIX).strip())
            return done
        if not _is_comment(line, self._width[0] if self._width else 2):
            self._add(number, line)
        return None

    def refuse(self, number: int, cause: str, remedy: str) -> None:
        """Report a line; its sentence is left out."""
        self._draft.is_faulty = True
        self._faults.add(f"{self._path}:{number}", cause, remedy)

    def finish(self) -> Sentence | None:
        """End the sentence; return it if it is sound."""
        draft, self._draft = self._draft, _Draft()
        if draft.line and not draft.words and not draft.is_faulty:
            cause = f"a picture without a sentence: {draft.image!r}"
            self._faults.add(f"{self._path}:{draft.line}", cause, "add the words of the sentence, or remove the line")
        if draft.words and self._first_id and not draft.line:
            cause = f"a sentence without a picture, while line {self._first_id} names one"
            remedy = f"write a line {ID_PREFIX}<picture> before it"
            self._faults.add(f"{self._path}:{draft.lines[0]}", cause, remedy)
            return None
        if draft.is_faulty or not draft.words:
            return None
        text, offsets = joined(draft.words)
        return Sentence(
            tuple(draft.words),
            text,
            offsets,
            tags=tuple(draft.tags),
            image=draft.image,
            place=f"{self._path}:{draft.lines[0]}",
            lines=tuple(draft.lines),
        )

    def _begin(self, number: int, image: str) -> None:
        self._draft = _Draft(image, number)
        self._first_id = self._first_id or number
        if not image:
            self.refuse(number, "a line IMGID without a name", f"write {ID_PREFIX}<picture>")

    def _add(self, number: int, line: str) -> None:
        cells = _cells(line)
        if "\r" in line:
            return self.refuse(number, f"a carriage return inside a line: {line[:40]!r}", "end lines with LF or CRLF")
        if len(cells) < 2:
            cause = f"no tag beside the word: {line[:40]!r}"
            return self.refuse(number, cause, "write the word, TAB or a blank, and its tag")
        self._width = self._width or (len(cells), number)
        if len(cells) != self._width[0]:
            cause = f"{len(cells)} columns where line {self._width[1]} has {self._width[0]}: {line[:40]!r}"
            return self.refuse(number, cause, "give all lines the same columns, separated by TAB if words have blanks")
        word, tag = self._columns
        if not (0 <= word < len(cells) and -1 <= tag < len(cells)):
            remedy = "name other columns with `--columns tokens=NUMBER ner_tags=NUMBER`"
            return self.refuse(number, f"only {len(cells)} columns: {line[:40]!r}", remedy)
        if not cells[word] or not cells[tag]:
            return self.refuse(number, f"an empty word or tag: {line[:40]!r}", "write both")
        self._draft.words.append(cells[word])
        self._draft.tags.append(cells[tag])
        self._draft.lines.append(number)
        return None


def _cells(line: str) -> list[str]:
    """Return the columns of a line, without empty ones at its end; blanks separate them where no TAB does."""
    if "\t" not in line:
        return [cell for cell in line.split(" ") if cell]
    cells = [cell.strip(" ") for cell in line.split("\t")]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _is_mark(line: str) -> bool:
    return line.startswith(DOCUMENT) or (line.startswith(ID_PREFIX) and "\t" not in line)


def _is_comment(line: str, width: int) -> bool:
    """Return whether a line is a comment; the word # has as many columns as other words, and a tag at the end."""
    if not line.startswith(COMMENT) or "\t" in line:
        return False
    cells: Sequence[str] = _cells(line)
    return len(cells) != width or not (cells[-1] == OUTSIDE or re.match("[A-Z]", part_and_type(cells[-1])[0]))
