"""The record that all stages read and write: one sentence, its words, its entities and what was done to it.

    {"uid": "es/O_1", "image_id": "O_1", "lang": "es", "source": "twitter2017", "url": null, "text": "Ana en Roma",
     "tokens": ["Ana", "en", "Roma"], "offsets": [[0, 3], [4, 6], [7, 11]], "parent": {"uid": "en/O_1", ...},
     "spans": [{"start": 0, "end": 1, "type": "PER", "by": "project:exact", "from": 0, ...}], ...}

Records are lines of JSON in UTF-8. `read_records` checks every one of them, and refuses the file at the first fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from dataset_scripts.annotations.sentence import joined as joined
from dataset_scripts.annotations.sentence import read_entities, tags_of_entities
from dataset_scripts.schema import is_type
from reports_2mner.files import write_lines
from reports_2mner.language_table import CODE

STATUSES = ("projected", "missing", "ambiguous", "collided", "human")
LABELLED = (None, "projected", "human")  # with another status a span is a question to people, and no label


@dataclass(frozen=True)
class Span:
    """An entity: words `start` to `end`, exclusive, of its record.

    Args:
        start: its first word, from 0; equal to `end` for an entity that was not found (`missing`).
        end: the word behind its last.
        type: such as PER.
        by: who or what set it, such as `released` or `project:exact`.
        parent: the number of the same entity in the parent's `spans`; `from` in the file.
        score: of whoever set it, from 0 to 1.
        status: one of `STATUSES`; None for a span that was not projected.
        raw: the label before it was mapped to `type`.
    """

    start: int
    end: int
    type: str
    by: str = ""
    parent: int | None = None
    score: float | None = None
    status: str | None = None
    raw: str | None = None

    @property
    def is_label(self) -> bool:
        """Whether it counts as an entity; all others wait for people."""
        return self.status in LABELLED

    def to_json(self) -> dict[str, Any]:
        """Return the plain values, with the key `from`."""
        return {"from" if name == "parent" else name: value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Span:
        """Read what `to_json` returned; raises TypeError for missing or unknown keys."""
        return cls(**{"parent" if name == "from" else name: value for name, value in values.items()})


@dataclass(frozen=True)
class Record:
    """One sentence, as in the module's example; offsets count code points, spans count words.

    Args:
        uid: `<lang>/<image_id>`, with `#2` and so on for further sentences of the same picture; unique in a stage.
        image_id: names the picture.
        lang: ISO 639.
        source: one of `schema.SOURCES`.
        text: the sentence.
        tokens: its words.
        offsets: start and end of every word: `text[start:end] == token`.
        url: of the picture.
        parent: `uid`, `text` and whatever a stage needs of the record that this one was translated from.
        spans: its entities, in any order.
        steps: what every stage did to it, in order; no times, so that equal work gives equal files.
        annotations: what people said, one mapping each.
        gold: the entities that people settled on; None while they have not.
        flags: what is wrong with it.
        more: all other keys, which are kept.
    """

    uid: str
    image_id: str
    lang: str
    source: str
    text: str
    tokens: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    url: str | None = None
    parent: Mapping[str, Any] | None = None
    spans: tuple[Span, ...] = ()
    steps: tuple[Mapping[str, Any], ...] = ()
    annotations: tuple[Mapping[str, Any], ...] = ()
    gold: tuple[Span, ...] | None = None
    flags: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ValueError(f"Record {self.uid!r}: {fault}")

    @property
    def labels(self) -> tuple[Span, ...]:
        """The entities that count, in the order of their words: those of people, if they have settled on them."""
        spans = self.spans if self.gold is None else self.gold
        return tuple(sorted((span for span in spans if span.is_label), key=lambda span: (span.start, span.end)))

    def words(self, span: Span) -> str:
        """Return the text of a span."""
        return self.text[self.offsets[span.start][0] : self.offsets[span.end - 1][1]] if span.end > span.start else ""

    def step(self, stage: str, **values: Any) -> Record:
        """Return the record with one more step."""
        return replace(self, steps=(*self.steps, {"stage": stage, **values}))

    def to_json(self) -> dict[str, Any]:
        """Return the plain values."""
        values = {**vars(self), "spans": [span.to_json() for span in self.spans]}
        values["gold"] = None if self.gold is None else [span.to_json() for span in self.gold]
        return {**{name: values[name] for name in _KEYS}, **self.more}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """Read what `to_json` returned; raises ValueError for anything else."""
        try:
            known = {name: values[name] for name in _KEYS if name in values}
            for name in ("tokens", "steps", "annotations", "flags"):
                known[name] = tuple(known.get(name) or ())
            known["offsets"] = tuple((start, end) for start, end in known["offsets"])
            known["spans"] = tuple(map(Span.from_json, known.get("spans") or ()))
            if known.get("gold") is not None:
                known["gold"] = tuple(map(Span.from_json, known["gold"]))
            return cls(**known, more={name: value for name, value in values.items() if name not in _KEYS})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a record ({type(error).__name__}: {error})") from error


# The keys in the file, in this order; all others are `more`.
_KEYS = tuple(entry.name for entry in fields(Record) if entry.name != "more")


def read_records(path: Path | str) -> Iterator[Record]:
    """Yield the records of a file; ValueError names the file and the line of the first that breaks a rule."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Record.from_json(json.loads(line))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}; run the stage that wrote it again (`--redo`).") from error


def write_records(path: Path | str, records: Iterable[Record]) -> None:
    """Write records as one file, which appears under its name only when it is complete."""
    write_lines(path, (json.dumps(record.to_json(), ensure_ascii=False) for record in records))


def spans_of_tags(tags: Sequence[str], by: str) -> tuple[Span, ...]:
    """Return the entities of tags, those of invalid IOB2 as everywhere in the project."""
    return tuple(Span(start, end, kind, by=by) for start, end, kind in read_entities(tags))


def tags_of_spans(length: int, spans: Iterable[Span]) -> tuple[str, ...]:
    """Return the IOB2 tags of a sentence of `length` words; the spans must not overlap."""
    return tags_of_entities(length, ((span.start, span.end, span.type) for span in spans))


def _fault(record: Record) -> str | None:
    """Return the first rule that a record breaks."""
    names = (record.uid, record.image_id, record.source, record.text, *record.tokens)
    if not all(isinstance(name, str) for name in names) or not record.uid or not record.image_id:
        return "`uid`, `image_id`, `source`, `text` and `tokens` must be text"
    if not isinstance(record.lang, str) or not CODE.fullmatch(record.lang):
        return f"`lang` must be a code such as en (ISO 639), got {record.lang!r}"
    if len(record.tokens) != len(record.offsets) or not record.tokens:
        return f"there are {len(record.tokens)} `tokens` and {len(record.offsets)} `offsets`"
    last = 0
    for token, (start, end) in zip(record.tokens, record.offsets, strict=True):
        if start < last or not token or record.text[start:end] != token:
            return f"`offsets` ({start}, {end}) give {record.text[start:end]!r} and not the word {token!r}"
        last = end
    spans = (*record.spans, *(record.gold or ()))
    faults = (fault for span in spans if (fault := _span_fault(span, len(record.tokens))))
    both = (f"two entities on one word: {a} and {b}" for a, b in pairwise(record.labels) if b.start < a.end)
    return next(faults, None) or next(both, None)


def _span_fault(span: Span, length: int) -> str | None:
    if span.status is not None and span.status not in STATUSES:
        return f"`status` must be one of {list(STATUSES)}, got {span.status!r}"
    if not isinstance(span.type, str) or not is_type(span.type):
        return f"`type` must be a name such as PER, got {span.type!r}"
    if not 0 <= span.start <= span.end <= length or (span.is_label and span.start == span.end):
        return f"`spans` has words {span.start} to {span.end} of {length}"
    return None
