"""The languages that the project knows by name: the only place where a language is added.

Only append, at the end. A data set needs no entry here: a language that is not listed is shown by its code. No number
or order follows from a position in this table: `schema.LANGUAGES` fixes those of the paper's four languages, and a
data set with others stores its own names (`schema.Schema`), so an appended language changes no existing file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CODE = re.compile(r"(?!all\b)[a-z]{2,3}")  # as in ISO 639; "all" is the configuration of all languages


@dataclass(frozen=True)
class Language:
    """A language: its code (ISO 639), its English name, and its code in each translation system by name."""

    code: str
    name: str
    translation: Mapping[str, str] = field(default_factory=dict)


LANGUAGE_TABLE = (
    Language("en", "English"),
    Language("fr", "French"),
    Language("es", "Spanish"),
    Language("de", "German"),
)


def language_name(code: str) -> str:
    """Return the English name of a language, or its code if the table has none."""
    return next((language.name for language in LANGUAGE_TABLE if language.code == code), code)
