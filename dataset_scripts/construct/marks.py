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

Place = tuple[int, int]  # start and end in code points

TAGGED = 26  # entities that tags can tell apart
_TAG = re.compile(r"<\s*(/?)\s*([a-z])\s*>", re.IGNORECASE)
_BLANK = re.compile(
    r"\[\[(?P<ids>[^\]]*)\]\](?P<text>(?:\\.|\[(?!\[)[^\]]*\]|[^\\\[])*)\[\[/\]\]|\[[^\]]*\]|\\(?P<escaped>.)|(?P<other>.)",
    re.DOTALL,
)


@dataclass(frozen=True)
class MarkedText:
    """A sentence to translate.

    Args:
        text: the sentence.
        spans: the places of its entities.
        pieces: the places that must come back as they are, in order and apart from each other.
    """

    text: str
    spans: tuple[Place, ...] = ()
    pieces: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Translation:
    """A translated sentence.

    Args:
        text: the sentence.
        places: for each entity, the places of its parts in the order of the text; none if it was not marked.
        flags: what went wrong.
    """

    text: str
    places: tuple[tuple[Place, ...], ...] = ()
    flags: tuple[str, ...] = ()


@dataclass
class Run:
    """A part of a sentence between two borders; `piece` is the number of a protected piece."""

    text: str
    spans: frozenset[int] = frozenset()
    piece: int | None = None


def cut(marked: MarkedText) -> Iterator[Run]:
    """Cut a sentence at the borders of its entities and pieces; no border is inside a piece."""
    inside = {place for start, end in marked.pieces for place in range(start + 1, end)}
    borders = {0, len(marked.text)}.union(*marked.spans, *marked.pieces) - inside
    ordered = sorted(borders)
    for start, end in pairwise(ordered):
        spans = frozenset(n for n, place in enumerate(marked.spans) if place[0] <= start and end <= place[1])
        piece = marked.pieces.index((start, end)) if (start, end) in marked.pieces else None
        yield Run(marked.text[start:end], spans, piece)


def stand_in(number: int) -> str:
    """Return a word that stands for a protected piece: networks and Apertium copy what they have never seen."""
    return f"Qz{number}x"


@dataclass
class _Writer:
    """Puts a translation together from runs, and notes where entities and pieces are."""

    marked: MarkedText
    text: str = ""
    places: dict[int, list[Place]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def add(self, text: str, spans: Iterable[int] = ()) -> None:
        """Add translated text that belongs to some entities; blanks at its edges do not belong to them."""
        start = len(self.text) + len(text) - len(text.lstrip())
        self.text += text
        for span in spans if text.strip() else ():
            self._note(span, start, start + len(text.strip()))

    def add_piece(self, number: int) -> None:
        """Add a protected piece as it was; the second time it is left out."""
        if number in self.seen or number >= len(self.marked.pieces):
            return
        self.seen.add(number)
        start, end = self.marked.pieces[number]
        if self.text[-1:].isalnum():
            self.text += " "
        for span, (first, last) in enumerate(self.marked.spans):
            if first < end and start < last:
                shift = len(self.text) - start
                self._note(span, max(start, first) + shift, min(end, last) + shift)
        self.text += self.marked.text[start:end]

    def finish(self) -> Translation:
        """Add pieces that did not come back at the end, and tidy blanks."""
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


def to_blanks(marked: MarkedText) -> str:
    """Return the sentence with word-bound blanks, in the form of Apertium's streams."""
    parts: list[str] = []
    for run in cut(marked):
        ids = [f"t:b:e{span}" for span in sorted(run.spans)]
        text = run.text
        if run.piece is not None:
            ids.append(f"t:b:p{run.piece}")
            text = f"{' ' * parts[-1][-1:].isalnum() if parts else ''}{stand_in(run.piece)}"
        core = text.strip()
        before, _, behind = text.partition(core) if core else (text, "", "")
        blank = f"[[{'; '.join(ids)}]]" if ids and core else ""
        parts.append(f"{_escape(before)}{blank}{_escape(core)}{'[[/]]' if blank else ''}{_escape(behind)}")
    return "".join(parts)


def from_blanks(output: str, marked: MarkedText) -> Translation:
    """Read a translation with word-bound blanks."""
    writer = _Writer(marked)
    for match in _BLANK.finditer(output):
        if match["ids"] is None:
            writer.add(match["escaped"] or match["other"] or "")
            continue
        names = set(re.findall(r"[ep]\d+", match["ids"]))
        pieces = sorted(int(name[1:]) for name in names if name[0] == "p")
        text = re.sub(r"\[[^\]]*\]|\\(.)", r"\1", match["text"])
        for number in pieces:
            writer.add_piece(number)
        if not pieces:
            writer.add(text, sorted(int(name[1:]) for name in names if name[0] == "e"))
    return writer.finish()


def to_tags(marked: MarkedText) -> str:
    """Return the sentence with a tag of one letter round each entity, for networks; entities beyond `TAGGED` have none."""
    parts: list[str] = []
    for run in cut(marked):
        text = run.text if run.piece is None else stand_in(run.piece)
        core = text.strip()
        before, _, behind = text.partition(core) if core else (text, "", "")
        letters = [ascii_lowercase[span] for span in sorted(run.spans) if span < TAGGED] if core else []
        opened, closed = "".join(f"<{a}>" for a in letters), "".join(f"</{a}>" for a in reversed(letters))
        parts.append(f"{before}{opened}{core}{closed}{behind}")
    return "".join(parts)


def from_tags(output: str, marked: MarkedText) -> Translation:
    """Read a translation with tags: whatever is between the first `<a>` and the next `</a>`, in any order or nesting."""
    writer, open_spans = _Writer(marked), set[int]()
    stand_ins = re.compile(r"\bqz\s?(\d+)\s?x\b", re.IGNORECASE)
    start = 0
    for tag in [*_TAG.finditer(output), None]:
        text = output[start : tag.start() if tag else len(output)]
        for n, part in enumerate(stand_ins.split(text) if marked.pieces else [text]):
            if n % 2:
                writer.add_piece(int(part))
            elif part:
                writer.add(part, sorted(open_spans))
        if tag is not None:
            start, span = tag.end(), ascii_lowercase.index(tag[2].lower())
            known = span < len(marked.spans)
            (open_spans.discard if tag[1] or not known else open_spans.add)(span)
    return writer.finish()


def _escape(text: str) -> str:
    return re.sub(r"([\[\]{}^$/\\@<>])", r"\\\1", text)
