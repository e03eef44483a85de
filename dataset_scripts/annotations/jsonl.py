"""Tasks for people and their answers: what all formats share, and the two that are plain files.

JSONL has one line for each sentence. An annotator corrects `spans`, counted in words, and sets `status` to done:

    {"uid": "es/O_1", "lang": "es", "tokens": ["Liam", "en", "Bruma"], "image": "O_1.jpg", "note": "", "annotator": "ana",
     "status": "open", "flags": [], "spans": [{"start": 0, "end": 1, "type": "PER"}]}

CoNLL has one word a line and one column of IOB2 tags for each annotator. Columns in brackets are only to be looked at.
A line without TAB is no word; the annotator sets `# status` to done there:

    # uid = es/O_1
    # status = open
    # columns = word (proposed) ana
    Liam	B-PER	B-PER
    en	O	O
    Bruma	O	B-LOC

A status is `open`, which is no answer, `done` or `skipped`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from dataset_scripts.construct.records import Record, Span, spans_of_tags, tags_of_spans
from reports_2mner.files import write_lines

OPEN, DONE, SKIPPED, REFUSED = "open", "done", "skipped", "refused"
AGREED, CONFLICT, TOO_FEW = "agreed", "conflict", "too few answers"
FLAGS = ("translation wrong", "picture missing", "not this language")
Entity = tuple[int, int, str]  # the first word, the one behind the last, the type


@dataclass(frozen=True)
class Task:
    """A sentence for one person, or for whoever takes it.

    Args:
        record: the sentence.
        spans: what is proposed.
        annotator: the name of the person; "" if anyone may answer.
        note: what they should know: open questions, the sentence it was translated from.
        image: path or address of the picture; "" for none.
        others: what others answered, by name; only to be looked at.
    """

    record: Record
    spans: tuple[Span, ...] = ()
    annotator: str = ""
    note: str = ""
    image: str = ""
    others: Mapping[str, Sequence[Span]] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What one person said about one sentence.

    Args:
        uid: of the record.
        annotator: the name of the person.
        tokens: the words that the person saw.
        spans: the entities; empty unless the status is `done`.
        status: `open`, `done`, `skipped`, or `refused` with a `reason`.
        flags: remarks, such as those of `FLAGS`.
        round: the folder of the file, or the project.
        reason: why the answer cannot be used.
        widened: entities that were widened to whole words.
    """

    uid: str
    annotator: str
    tokens: tuple[str, ...]
    spans: tuple[Span, ...] = ()
    status: str = DONE
    flags: tuple[str, ...] = ()
    round: str = ""
    reason: str = ""
    widened: int = 0

    def checked(self, record: Record, types: Sequence[str]) -> Answer:
        """Return the answer, `refused` if it does not fit the record or names types that are not wanted."""
        reason = self.reason or (self.status == DONE and _fault(self, record, types)) or ""
        return replace(self, status=REFUSED, reason=reason, spans=()) if reason else self

    def to_json(self) -> dict[str, Any]:
        """Return the mapping that stands in `Record.annotations`."""
        spans = sorted((span.start, span.end, span.type) for span in self.spans)
        values: dict[str, Any] = {
            "annotator": self.annotator,
            "status": self.status,
            "round": self.round,
            "flags": list(self.flags),
        }
        values |= {"spans": [{"start": start, "end": end, "type": kind} for start, end, kind in spans]}
        return values | {name: value for name in ("reason", "widened") if (value := getattr(self, name))}


def _fault(answer: Answer, record: Record, types: Sequence[str]) -> str | None:
    """Return why an answer cannot be used."""
    if tuple(map(_one_word, answer.tokens)) != tuple(map(_one_word, record.tokens)):
        return "the words are not those of the sentence"
    spans = sorted(answer.spans, key=lambda span: (span.start, span.end))
    if unknown := sorted({span.type for span in spans} - set(types)):
        return f"unknown type {unknown[0]!r}"
    if any(not 0 <= span.start < span.end <= len(record.tokens) for span in spans):
        return "an entity lies outside the sentence"
    if any(left.end > right.start for left, right in pairwise(spans)):
        return "entities overlap"
    return None


def entities_of(annotation: Mapping[str, Any]) -> set[Entity]:
    """Return the entities of a mapping of `Record.annotations`."""
    return {(span["start"], span["end"], span["type"]) for span in annotation["spans"]}


def answers_of(record: Record) -> dict[str, set[Entity]]:
    """Return the entities that each person found, by name, without those who skipped the sentence."""
    return {said["annotator"]: entities_of(said) for said in record.annotations if said["status"] == DONE}


def verdict(record: Record, least: int) -> str:
    """Return what `least` or more people say together: `agreed`, `skipped`, `conflict`, or `too few answers`."""
    said = [entry for entry in record.annotations if entry["status"] in (DONE, SKIPPED)]
    if len(said) < least:
        return TOO_FEW
    opinions = {frozenset(entities_of(entry)) if entry["status"] == DONE else None for entry in said}
    if len(opinions) > 1:
        return CONFLICT
    return SKIPPED if None in opinions else AGREED


class AnnotationFormat(Protocol):
    """A way to hand out tasks and take back answers as files."""

    def write(self, folder: Path, name: str, tasks: Iterable[Task]) -> None:
        """Write tasks as one or more files whose names begin with `name`."""

    def read(self, path: Path) -> Iterator[Answer]:
        """Yield the answers of a file; ValueError names the file and the place of a fault in its form."""


class Jsonl:
    """Lines of JSON, the format to which all others can be converted."""

    def write(self, folder: Path, name: str, tasks: Iterable[Task]) -> None:
        """Write one file; see `AnnotationFormat`."""
        write_lines(folder / f"{name}.jsonl", (json.dumps(self._line(task), ensure_ascii=False) for task in tasks))

    def read(self, path: Path) -> Iterator[Answer]:
        """Yield an answer for each line; see `AnnotationFormat`."""
        with open(path, encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield self._answer(json.loads(line), path.parent.name)
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{path}:{number}: not an answer ({type(error).__name__}: {error}); correct it."
                    ) from error

    @staticmethod
    def _line(task: Task) -> dict[str, Any]:
        record = task.record
        values: dict[str, Any] = {"uid": record.uid, "lang": record.lang, "text": record.text, "tokens": record.tokens}
        values |= {"image": task.image, "note": task.note, "annotator": task.annotator, "status": OPEN, "flags": []}
        values |= {"others": {name: _plain(spans) for name, spans in task.others.items()}} if task.others else {}
        return values | {"spans": _plain(task.spans)}

    @staticmethod
    def _answer(values: Mapping[str, Any], folder: str) -> Answer:
        if not isinstance(values["annotator"], str) or not values["annotator"].strip():
            raise ValueError("`annotator` must be the name of who answered")
        status = _status(values.get("status", DONE))
        found = values["spans"] if status == DONE else ()
        spans = tuple(Span(span["start"], span["end"], span["type"]) for span in found)
        if any(not isinstance(place, int) for span in spans for place in (span.start, span.end)):
            raise ValueError("`start` and `end` must be numbers of words")
        return Answer(
            values["uid"],
            values["annotator"],
            tuple(values["tokens"]),
            spans,
            status,
            tuple(values.get("flags", ())),
            values.get("round", folder),
            values.get("reason", ""),
            values.get("widened", 0),
        )


class Conll:
    """One word a line, one column of tags for each annotator."""

    def write(self, folder: Path, name: str, tasks: Iterable[Task]) -> None:
        """Write one file; see `AnnotationFormat`."""
        write_lines(folder / f"{name}.conll", (line for task in tasks for line in self._lines(task)))

    def read(self, path: Path) -> Iterator[Answer]:
        """Yield an answer for each sentence and column; see `AnnotationFormat`."""
        head: dict[str, str] = {}
        rows: list[list[str]] = []
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate([*file, ""], start=1):
                line = line.rstrip("\r\n")
                if "\t" in line:
                    rows.append(line.split("\t"))
                elif line.startswith("# "):
                    name, _, value = line[2:].partition("=")
                    head[name.strip()] = value.strip()
                elif not line.strip():
                    if rows:
                        yield from self._answers(head, rows, path, number - 1)
                    head, rows = {}, []
                else:
                    raise ValueError(f"{path}:{number}: neither a comment nor words and tags separated by TAB.")

    @staticmethod
    def _lines(task: Task) -> Iterator[str]:
        record = task.record
        columns = {"(proposed)": task.spans, **{f"({name})": spans for name, spans in task.others.items()}}
        tags = [tags_of_spans(len(record.tokens), spans) for spans in (*columns.values(), task.spans)]
        yield f"# uid = {record.uid}"
        for name in ("note", "image"):
            if value := getattr(task, name):
                yield f"# {name} = {' '.join(value.split())}"
        yield from (f"# status = {OPEN}", "# flags =")
        yield " ".join(["# columns = word", *map(_one_word, columns), task.annotator])
        yield from ("\t".join([_one_word(word), *row]) for word, *row in zip(record.tokens, *tags, strict=True))
        yield ""

    @staticmethod
    def _answers(head: Mapping[str, str], rows: list[list[str]], path: Path, last: int) -> Iterator[Answer]:
        columns = head.get("columns", "").split()
        if "uid" not in head or len(columns) < 2 or any(len(row) != len(columns) for row in rows):
            raise ValueError(
                f"{path}: the sentence that ends at line {last} needs `# uid`, `# columns`, and as many columns in each line."
            )
        words, *tags = zip(*rows, strict=True)
        flags = tuple(flag.strip() for flag in head.get("flags", "").split(",") if flag.strip())
        try:
            status = _status(head.get("status", DONE))
        except ValueError as error:
            raise ValueError(f"{path}: the sentence that ends at line {last}: {error}.") from error
        for by, column in zip(columns[1:], tags, strict=True):
            if not by.startswith("("):
                reason = "the tags are not IOB2" if status == DONE and not _is_iob2(column) else ""
                spans = spans_of_tags(column, by) if status == DONE and not reason else ()
                yield Answer(head["uid"], by, words, spans, status, flags, path.parent.name, reason)


def _plain(spans: Iterable[Span]) -> list[dict[str, Any]]:
    return [{"start": span.start, "end": span.end, "type": span.type} for span in spans]


def _status(value: Any) -> str:
    if value not in (OPEN, DONE, SKIPPED, REFUSED):
        raise ValueError(f"`status` must be {OPEN}, {DONE} or {SKIPPED}, got {value!r}")
    return value


def _is_iob2(tags: Sequence[str]) -> bool:
    """Return whether every I- continues an entity of its type."""
    before = ["O", *tags]
    return all(
        tag == "O" or re.fullmatch(r"B-.+", tag) or (tag[:2] == "I-" and last[1:] == tag[1:] and last[0] in "BI")
        for last, tag in zip(before, tags, strict=False)
    )


def _one_word(word: str) -> str:
    """Return a word without what separates words and columns."""
    return re.sub(r"\s", "_", word)
