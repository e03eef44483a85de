"""One annotated sentence, whatever form it comes in, and the account of what cannot be read.

Places in the text count Unicode code points, as Python does: an emoji of several code points counts as several. Readers
of all forms are used alike:

    with collected_faults() as faults:
        for sentence in read_annotations(path, faults):
            print(sentence.words, sentence.entities, sentence.annotator)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

from reports_2mner.tags import find_iob2_violation

OPEN, DONE, SKIPPED, REFUSED = "open", "done", "skipped", "refused"
FLAGS = ("translation wrong", "picture missing", "not this language")
FAULTS_SHOWN = 10

Entity = tuple[int, int, str]  # the first word, the one behind the last, the type
Offsets = tuple[tuple[int, int], ...]
# Splits a text in a language ("" for unknown) into words and the start and end of each.
Splitter = Callable[[str, str], tuple[Sequence[str], Sequence[tuple[int, int]]]]


class UnusableError(ValueError):
    """Entities that fit no sentence: the sentence can be read, and is kept with this as its `fault`."""


class Mention(NamedTuple):
    """An entity by its place in the text: code points `start` to `end`, exclusive."""

    start: int
    end: int
    type: str
    score: float | None = None


@dataclass(frozen=True)
class Sentence:
    """What one person, or nobody in particular, said about one sentence.

    Args:
        words: its words.
        text: the sentence; the words joined by blanks if the form holds only words.
        offsets: start and end of each word in `text`, in code points.
        mentions: the entities; none unless the status is `done`.
        tags: one tag a word, as they stand in a form of tags, whatever their scheme; empty in other forms.
        uid: its name; "" if the form gives none.
        lang: ISO 639; "" if unknown.
        image: path or address of its picture; "" for none.
        annotator: who said it; "" if the form does not tell.
        status: `open` (no answer yet), `done`, `skipped` or `refused`.
        flags: remarks, such as those of `FLAGS`.
        round: the folder of the file, or the title of the project.
        fault: why the entities cannot be used, which are then left out; "" if they can.
        place: file and line, for messages.
        lines: the line of each word in forms of one word a line, otherwise empty.
        part: the split that the form states, such as train; "" if it states none.
        settled: whether this is the answer that counts (`ground_truth` in Label Studio).
    """

    words: tuple[str, ...]
    text: str
    offsets: Offsets
    mentions: tuple[Mention, ...] = ()
    tags: tuple[str, ...] = ()
    uid: str = ""
    lang: str = ""
    image: str = ""
    annotator: str = ""
    status: str = DONE
    flags: tuple[str, ...] = ()
    round: str = ""
    fault: str = ""
    place: str = ""
    lines: tuple[int, ...] = ()
    part: str = ""
    settled: bool = False

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The entities in words, in order; each has all words with which it shares a character."""
        return tuple(sorted((*self.words_of(mention), mention.type) for mention in self.mentions))

    @property
    def misfits(self) -> tuple[Mention, ...]:
        """The mentions that begin or end inside a word, and are widened in `entities`."""
        return tuple(mention for mention in self.mentions if mention[:2] != self._borders(*self.words_of(mention)))

    def words_of(self, mention: Mention) -> tuple[int, int]:
        """Return the first word that shares a character with a mention, and the one behind the last; (0, 0) if none does."""
        touched = [n for n, (start, end) in enumerate(self.offsets) if start < mention.end and end > mention.start]
        return (touched[0], touched[-1] + 1) if touched else (0, 0)

    def string(self, entity: Entity) -> str:
        """Return the text of an entity that is counted in words."""
        first, behind = self._borders(entity[0], entity[1])
        return self.text[first:behind]

    def checked(self) -> Sentence:
        """Return the sentence, or one with a `fault` and without entities if they fit neither text nor each other."""
        fault = self.fault or self._fault()
        return replace(self, mentions=(), fault=fault) if fault else self

    def _borders(self, first: int, behind: int) -> tuple[int, int]:
        return self.offsets[first][0], self.offsets[behind - 1][1]

    def _fault(self) -> str:
        for start, end, *_ in self.mentions:
            if not 0 <= start < end <= len(self.text):
                return f"an entity lies outside the sentence, at {start} to {end}"
        for mention in self.mentions:
            if self.words_of(mention) == (0, 0):
                return f"an entity without words, at {mention.start} to {mention.end}"
        inside = sorted(self.mentions, key=self.words_of)
        for one, other in pairwise(inside):
            if self.words_of(other)[0] < self.words_of(one)[1]:
                how = "overlap" if other.start < one.end and one.start < other.end else "share a word"
                return f"the entities {self._told(one)} and {self._told(other)} {how}"
        return ""

    def _told(self, mention: Mention) -> str:
        return f"{self.text[mention.start : mention.end]!r} ({mention.type}, {mention.start} to {mention.end})"


@dataclass(frozen=True)
class Task:
    """A sentence for one person (`annotator`), or for whoever takes it, with what is proposed as its mentions.

    Args:
        sentence: words, text, picture and proposals.
        note: what the person should know: open questions, the sentence it was translated from.
        others: what others answered, by name; only to be looked at.
    """

    sentence: Sentence
    note: str = ""
    others: Mapping[str, Sequence[Entity]] = field(default_factory=dict)


@dataclass
class Faults:
    """The lines that cannot be read: their number, and the first ten with place and remedy."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, place: str, error: Exception | str, remedy: str = "correct it") -> None:
        """Count a line that cannot be read."""
        self.count += 1
        if len(self.shown) < FAULTS_SHOWN:
            cause = f"{error} is missing" if isinstance(error, KeyError) else f"{error}".rstrip(".")
            if isinstance(error, UnicodeDecodeError):
                cause, remedy = "bytes that are not UTF-8", "save the file as UTF-8"
            if isinstance(error, RecursionError):
                cause = "brackets nested too deeply"
            self.shown.append(f"{place}: {cause}; {remedy}.")


@contextmanager
def collected_faults() -> Iterator[Faults]:
    """Collect what cannot be read in one or more files, and raise one ValueError for all of it at the end."""
    faults = Faults()
    yield faults
    if faults.count == 1:
        raise ValueError(faults.shown[0])
    if faults.count:
        head = f"{faults.count:,} lines or sentences cannot be read"
        more = f"; the first {FAULTS_SHOWN} are" if faults.count > FAULTS_SHOWN else ""
        raise ValueError("\n".join([f"{head}{more}:", *faults.shown]))


def joined(words: Sequence[str]) -> tuple[str, Offsets]:
    """Return the words joined by blanks, and the offsets of each."""
    offsets, start = [], 0
    for word in words:
        offsets.append((start, start + len(word)))
        start += len(word) + 1
    return " ".join(words), tuple(offsets)


def one_word(word: str) -> str:
    """Return a word without what separates words and columns in text files."""
    return re.sub(r"\s", "_", word)


def located(words: Sequence[str], text: str) -> Offsets | None:
    """Return the offsets of words in their text, or None if it does not hold them in this order."""
    offsets, behind = [], 0
    for word in words:
        start = text.find(word, behind)
        if start < 0:
            return None
        behind = start + len(word)
        offsets.append((start, behind))
    return tuple(offsets)


def mentions_of(entities: Iterable[Entity], offsets: Offsets) -> tuple[Mention, ...]:
    """Return the places in the text of entities that are counted in words; UnusableError outside the sentence."""
    mentions = []
    for start, end, kind in entities:
        if not 0 <= start < end <= len(offsets):
            raise UnusableError(f"an entity lies outside the sentence: words {start} to {end} of {len(offsets)}")
        mentions.append(Mention(offsets[start][0], offsets[end - 1][1], kind))
    return tuple(mentions)


def entities_of_tags(tags: Sequence[str]) -> tuple[Entity, ...]:
    """Return the entities of tags; UnusableError unless they are IOB2."""
    odd = next((tag for tag in tags if not re.fullmatch(r"O|[BI]-.+", tag)), None)
    if odd is not None or find_iob2_violation(tags) is not None:
        raise UnusableError("the tags are not IOB2")
    return read_entities(tags)


def read_entities(tags: Sequence[str]) -> tuple[Entity, ...]:
    """Return the entities that valid IOB2 in tags makes up; a tag I- that continues none of its type belongs to none."""
    entities = []
    for start, tag in enumerate(tags):
        if tag.startswith("B-"):
            inside = f"I-{tag[2:]}"
            end = next((place for place in range(start + 1, len(tags)) if tags[place] != inside), len(tags))
            entities.append((start, end, tag[2:]))
    return tuple(entities)


def tags_of_entities(length: int, entities: Iterable[Entity]) -> tuple[str, ...]:
    """Return the IOB2 tags of a sentence of `length` words; the entities must not overlap."""
    tags = ["O"] * length
    for start, end, kind in entities:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tuple(tags)


def parse_json(text: str) -> Any:
    """Return the values of a text from strangers; ValueError for any fault: broken or nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def read_json(text: str) -> Any:
    """Return values as `parse_json` does; ValueError also for half of a surrogate pair, which is no character."""
    values = parse_json(text)
    json.dumps(values, ensure_ascii=False).encode()  # raises UnicodeEncodeError, a ValueError
    return values


def known_status(value: object) -> str:
    """Return a status; ValueError if it is none."""
    if value not in (OPEN, DONE, SKIPPED, REFUSED):
        raise ValueError(f"`status` must be {OPEN}, {DONE} or {SKIPPED}, got {value!r}")
    return str(value)
