"""The languages that the project knows by name: the one place where a language is added.

Append only, at the end. A data set needs no entry here: a language that is not listed is shown by its code. No number
or order follows from a place in this table: `schema.LANGUAGES` fixes those of the paper's four languages, and a data set
with others stores its own names (`schema.Schema`), so that an appended language changes no file that is there already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

CODE = re.compile(r"(?!all\b)[a-z]{2,3}")  # as in ISO 639; "all" is the configuration of all languages


@dataclass(frozen=True)
class Language:
    """A language: its code (ISO 639), its English name, and its code in each translation system by the system's name."""

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
    """The English name of a language, or its code where the table has none."""
    return next((language.name for language in LANGUAGE_TABLE if language.code == code), code)
