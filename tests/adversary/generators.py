"""Random input: mostly sound, with the kinds of damage that files and users do."""

from __future__ import annotations

import random
import sys
import unicodedata
from functools import cache

WORDS = (
    "Anna",
    "Meier",
    "l'",
    "été",
    "Köln",
    "#café",
    "@user_1",
    "http://t.co/abc",
    "$1,000.50",
    "…",
    "👍🏽",
    "🇫🇷",
    "中文",
)
TAGS = ("O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")
AWKWARD = (
    "\ufeff",
    "\u200d",
    "\u200b",
    "\x00",
    "\x85",
    "\u2028",
    "\xa0",
    "\r",
    "\x0c",
    "\t",
    "\n",
    " ",
    "\u0301",
    "\U000e0067",
)
BROKEN_BYTES = (b"\xff", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\r", b"\t", b"\n", b"\n\n")


@cache
def characters_by_category() -> dict[str, list[str]]:
    """Every code point of Unicode by its general category, but for surrogates, which are no characters."""
    found: dict[str, list[str]] = {}
    for number in range(sys.maxunicode + 1):
        found.setdefault(unicodedata.category(chr(number)), []).append(chr(number))
    found.pop("Cs")
    return found


def text(chance: random.Random, longest: int = 60) -> str:
    """Text of words, awkward characters and characters of all categories."""
    parts = []
    for _ in range(chance.randrange(longest)):
        kind = chance.random()
        if kind < 0.4:
            parts.append(chance.choice(WORDS))
        elif kind < 0.6:
            parts.append(" ")
        elif kind < 0.7:
            parts.append(chance.choice(AWKWARD))
        else:
            parts.append(chance.choice(characters_by_category()[chance.choice(sorted(characters_by_category()))]))
    return "".join(parts)


def tags(chance: random.Random, count: int) -> list[str]:
    """Tags in any order, valid IOB2 or not."""
    return [chance.choice(TAGS) for _ in range(count)]


def conll(chance: random.Random) -> bytes:
    """A CoNLL file that may be damaged."""
    sentences = []
    for number in range(chance.randrange(1, 4)):
        lines = [f"IMGID:{number}"]
        for _ in range(chance.randrange(1, 5)):
            lines.append(f"{chance.choice(WORDS)}\t{chance.choice(('O', 'O', 'B-PER', 'B-LOC'))}")
        sentences.append("\n".join(lines) + "\n")
    return damage(chance, "\n".join([*sentences, ""]).encode())


def damage(chance: random.Random, content: bytes) -> bytes:
    """Change nothing, or cut, double, swap and insert a few bytes or lines."""
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        place = chance.randrange(len(content) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            content = content[:place] + chance.choice(BROKEN_BYTES) + content[place:]
        elif kind == 1:
            content = content[:place] + content[place + chance.randrange(1, 4) :]
        elif kind == 2:
            content = content[:place]
        elif kind == 3:
            content = content[:place] + chance.choice(AWKWARD).encode() + content[place:]
        elif kind == 4:
            lines = content.split(b"\n")
            line = chance.randrange(len(lines))
            content = b"\n".join([*lines[:line], lines[line], *lines[line:]])
        else:
            content = content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
    return content


def json_value(chance: random.Random, depth: int = 0) -> object:
    """Any JSON, of moderate depth."""
    kinds = 7 if depth > 3 else 9
    kind = chance.randrange(kinds)
    if kind < 2:
        return text(chance, 6)
    if kind < 7:
        return (None, True, chance.choice((0, 1, -1, 10**30)), chance.choice((0.5, float("nan"), 1e308)), "")[kind - 2]
    if kind == 7:
        return [json_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = ("text", "words", "tokens", "image", "images", "inputs", "parameters", "threshold", "entities", "x")
    return {chance.choice(names): json_value(chance, depth + 1) for _ in range(chance.randrange(4))}
