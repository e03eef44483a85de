"""Recognise the scheme of tags, and convert it to IOB2.

| Scheme | An entity of one, and of three words |
| --- | --- |
| `iob2` | B / B I I |
| `iob1` | I / I I I; B only begins an entity that follows another one |
| `io` | I / I I I, or the type alone; neighbours of one type are one entity |
| `bioes` | S / B I E |
| `bilou` | U / B I L |
| `bmes` | S / B M E |

Prefix and type are joined by `-` or `_`. The scheme belongs to a whole source: a single sentence rarely shows it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SCHEMES = ("iob2", "iob1", "io", "bioes", "bilou", "bmes")
OUTSIDE = "O"
_TAG = re.compile(r"([BIOESMLU])[-_](.+)", re.DOTALL)
SINGLE, _LAST = "SU", "EL"
_CLOSED = ("bioes", "bilou", "bmes")  # schemes that mark the last word of an entity


@dataclass
class Evidence:
    """What the tags of many sentences say about their scheme.

    Args:
        parts: tags by prefix; "" for a type alone.
        stray: tags I- that continue no entity.
        first: tags B- behind no entity, which IOB1 does not have.
    """

    parts: Counter[str] = field(default_factory=Counter)
    stray: int = 0
    first: int = 0

    def add(self, tags: Iterable[str]) -> None:
        """Take the tags of one sentence into account."""
        before = OUTSIDE, ""
        for tag in tags:
            part, kind = part_and_type(tag)
            self.parts[part] += 1
            self.stray += part == "I" and (before[0] == OUTSIDE or before[1] != kind)
            self.first += part == "B" and before[0] == OUTSIDE
            before = part, kind

    @property
    def scheme(self) -> str:
        """The name of the scheme; `iob2` where several fit, since they then say the same."""
        found = {part for part, number in self.parts.items() if number}
        if found & {"L", "U"}:
            return "bilou"
        if "M" in found:
            return "bmes"
        if found & {"E", "S"}:
            return "bioes"
        if not self.stray and "" not in found:
            return "iob2"
        if "B" not in found:
            return "io"
        return "iob2" if self.first else "iob1"

    def is_odd(self, tag: str) -> bool:
        """Return whether a tag has no prefix where most have one, or has one where most are types alone."""
        part, _ = part_and_type(tag)
        alone = self.parts[""]
        return part != OUTSIDE and (part == "") == (alone <= self.parts.total() - self.parts[OUTSIDE] - alone)


@dataclass(frozen=True)
class Converted:
    """IOB2 tags of one sentence.

    Args:
        tags: one a word.
        changed: how many differ from the tags of the source.
        stray: places of tags that the scheme forbids there, since they continue no entity; each begins one.
        open: entities whose last word is not marked as such, in a scheme that marks it.
    """

    tags: tuple[str, ...]
    changed: int = 0
    stray: tuple[int, ...] = ()
    open: int = 0


def part_and_type(tag: str) -> tuple[str, str]:
    """Return prefix and type of a tag: ("B", "PER"), ("O", ""), or ("", "PER") for a type alone."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    found = _TAG.fullmatch(tag)
    return (found[1], found[2]) if found and found[1] != OUTSIDE else ("", tag)


def to_iob2(tags: Sequence[str], scheme: str) -> Converted:
    """Convert the tags of one sentence; no entity is lost, and none is joined with the one before.

    Args:
        tags: one a word.
        scheme: one of `SCHEMES`.
    """
    result: list[str] = []
    stray: list[int] = []
    unclosed = 0
    current = ""  # the type of the entity that the next word can continue
    for place, tag in enumerate(tags):
        part, kind = part_and_type(tag)
        continues = part not in ("B", OUTSIDE, *SINGLE) and kind == current
        if not continues:
            unclosed += bool(current)
            if part in ("I", "M", *_LAST) and scheme not in ("iob1", "io"):
                stray.append(place)
        result.append(OUTSIDE if part == OUTSIDE else f"{'I' if continues else 'B'}-{kind}")
        current = "" if part in (OUTSIDE, *SINGLE, *_LAST) else kind
    unclosed += bool(current)
    changed = sum(new != old for new, old in zip(result, tags, strict=True))
    return Converted(tuple(result), changed, tuple(stray), unclosed if scheme in _CLOSED else 0)
