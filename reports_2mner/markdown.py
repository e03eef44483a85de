"""Put names that somebody else chose, such as those of folders, into Markdown so that they show as they are."""

from __future__ import annotations

import json
import re

_ACTIVE = re.compile(r"([\\`*\[\]<>|$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_]))")


def plain(name: object) -> str:
    """A name in running text or in a heading, on one line; one of letters, digits, `-`, `.` and inner `_` stays as it is."""
    return _ACTIVE.sub(r"\\\1", _one_line(name))


def code(name: object) -> str:
    """A name between backticks, which are the caller's, on one line."""
    return _one_line(name).replace("`", "'")


def quoted(name: object) -> str:
    """A name in a block of Python code, without the double quotes around it."""
    return json.dumps(str(name), ensure_ascii=False)[1:-1]


def _one_line(name: object) -> str:
    return "".join(character if character.isprintable() else " " for character in str(name))
