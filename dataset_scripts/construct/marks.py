"""Send marked sentences through translators that know nothing of marks, and read the marks back.

A sentence is cut into runs at the borders of its entities and of the pieces that must not change (URLs, emoji, ...). Every
run carries the numbers of its entities; a piece is replaced by a word that no language has. How the numbers travel is
the matter of an encoding: tags, `<a>Rome</a>`, for networks; word-bound blanks, `[[t:b:e0]]Rome[[/]]`, for Apertium.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from string import ascii_lowercase
from typing import NamedTuple

Place = tuple[int, int]  # start and end in code points

TAGGED = 26  # entities that tags can tell apart
_TAG = re.compile(r"<\s*(/?)\s*([a-z])\s*>", re.IGNORECASE)
_BLANK = re.compile(
    r"\[\[(?P<ids>[^\]]*)\]\](?P<text>(?:\\.|\[(?!\[)[^\]]*\]|[^\\\[])*)\[\[/\]\]|\[[^\]]*\]|\\(?P<escaped>.)|(?P<other>.)",
    re.DOTALL,
)
_STAND_IN = re.compile(r"\bqz\s?(\d+)\s?x\b", re.IGNORECASE)


@dataclass(frozen=True)
class MarkedText:
    """A sentence to translate, the places of its entities, and those of the pieces that must come back as they are."""

    text: str
    spans: tuple[Place, ...] = ()
    pieces: tuple[Place, ...] = ()  # in order and apart from each other


@dataclass(frozen=True)
class Translation:
    """A translated sentence, the places of the parts of each entity, and what went wrong."""

    text: str
    places: tuple[tuple[Place, ...], ...] = ()  # in the order of the text; empty for an entity without marks
    flags: tuple[str, ...] = ()


class Run(NamedTuple):
    """A part of a sentence between two borders, the numbers of its entities, and that of the piece that it is."""

    text: str
    spans: list[int]
    piece: int | None


def cut(marked: MarkedText) -> Iterator[Run]:
    """Cut a sentence at the borders of its entities and pieces; a piece is not cut, and a stand-in takes its place."""
    inside = {place for start, end in marked.pieces for place in range(start + 1, end)}
    borders = {0, len(marked.text)}.union(*marked.spans, *marked.pieces) - inside
    ordered = sorted(borders)
    for start, end in pairwise(ordered):
        spans = [n for n, place in enumerate(marked.spans) if place[0] <= start and end <= place[1]]
        piece = marked.pieces.index((start, end)) if (start, end) in marked.pieces else None
        # Networks and Apertium copy a word that they have never seen.
        yield Run(marked.text[start:end] if piece is None else f"Qz{piece}x", spans, piece)


def to_blanks(marked: MarkedText) -> str:
    """Return the sentence with word-bound blanks, in the form of Apertium's streams."""
    stream = ""
    for text, spans, piece in cut(marked):
        ids = [f"t:b:e{span}" for span in spans]
        if piece is not None:
            ids.append(f"t:b:p{piece}")
            stream += " " * stream[-1:].isalnum()
        before, core, behind = map(_escape, _around(text))
        stream += f"{before}[[{'; '.join(ids)}]]{core}[[/]]{behind}" if ids and core else before + core + behind
    return stream


def from_blanks(output: str, marked: MarkedText) -> Translation:
    """Read a translation with word-bound blanks."""
    writer = _Writer(marked)
    for match in _BLANK.finditer(output):
        if match["ids"] is None:
            writer.add(match["escaped"] or match["other"] or "")
            continue
        pieces, spans = (sorted({int(n) for n in re.findall(rf"{kind}(\d+)", match["ids"])}) for kind in "pe")
        for number in pieces:
            writer.add_piece(number)
        if not pieces:
            writer.add(re.sub(r"\[[^\]]*\]|\\(.)", r"\1", match["text"]), spans)
    return writer.finish()


def to_tags(marked: MarkedText) -> str:
    """Return the sentence with a tag of one letter round each entity, for networks; entities beyond `TAGGED` have none."""
    text = ""
    for run in cut(marked):
        before, core, behind = _around(run.text)
        for span in reversed(run.spans):
            if core and span < TAGGED:
                core = f"<{ascii_lowercase[span]}>{core}</{ascii_lowercase[span]}>"
        text += before + core + behind
    return text


def from_tags(output: str, marked: MarkedText) -> Translation:
    """Read a translation with tags: whatever is between the first `<a>` and the next `</a>`, in any order or nesting."""
    writer, open_spans = _Writer(marked), set[int]()
    start = 0
    for tag in [*_TAG.finditer(output), None]:
        text = output[start : tag.start() if tag else len(output)]
        for n, part in enumerate(_STAND_IN.split(text) if marked.pieces else [text]):
            if n % 2:
                writer.add_piece(int(part))
            elif part:
                writer.add(part, sorted(open_spans))
        if tag is not None:
            start, span = tag.end(), ascii_lowercase.index(tag[2].lower())
            if tag[1]:
                open_spans.discard(span)
            elif span < len(marked.spans):
                open_spans.add(span)
    return writer.finish()


@dataclass
class _Writer:
    """Puts a translation together from runs, and notes where entities and pieces are."""

    marked: MarkedText
    text: str = ""
    places: dict[int, list[Place]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def add(self, text: str, spans: Iterable[int] = ()) -> None:
        """Add translated text that belongs to some entities; blanks at its edges do not belong to them."""
        before, core, _ = _around(text)
        start = len(self.text) + len(before)
        self.text += text
        for span in spans if core else ():
            self._note(span, start, start + len(core))

    def add_piece(self, number: int) -> None:
        """Add a protected piece as it was; the second time it is left out."""
        if number in self.seen or number >= len(self.marked.pieces):
            return
        self.seen.add(number)
        start, end = self.marked.pieces[number]
        self.text += " " * self.text[-1:].isalnum()
        shift = len(self.text) - start
        for span, (first, last) in enumerate(self.marked.spans):
            if first < end and start < last:
                self._note(span, max(start, first) + shift, min(end, last) + shift)
        self.text += self.marked.text[start:end]

    def finish(self) -> Translation:
        """Add pieces that did not come back at the end."""
        lost = [number for number in range(len(self.marked.pieces)) if number not in self.seen]
        for number in lost:
            self.text += " "
            self.add_piece(number)
        places = tuple(tuple(sorted(self.places.get(n, ()))) for n in range(len(self.marked.spans)))
        return Translation(self.text, places, ("protected text lost",) * bool(lost))

    def _note(self, span: int, start: int, end: int) -> None:
        """Note a part of an entity; one that only blanks divide from the last one is the same part."""
        parts = self.places.setdefault(span, [])
        if parts and parts[-1][1] <= start and not self.text[parts[-1][1] : start].strip():
            start = parts.pop()[0]
        parts.append((start, end))


def _around(text: str) -> tuple[str, str, str]:
    """Return the blanks before a text, what stands between them, and those behind it."""
    core = text.strip()
    before, _, behind = text.partition(core) if core else (text, "", "")
    return before, core, behind


def _escape(text: str) -> str:
    return re.sub(r"([\[\]{}^$/\\@<>])", r"\\\1", text)
