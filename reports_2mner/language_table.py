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
    """A language.

    Args:
        code: ISO 639.
        name: in English.
        example: an invented sentence for the cards of models, since sentences of the data may not be passed on.
        translation: its code in each translation system, by the system's name.
    """

    code: str
    name: str
    example: str | None = None
    translation: Mapping[str, str] = field(default_factory=dict)


LANGUAGE_TABLE = (
    Language("en", "English", "Marie Curie worked in Paris for the Radium Institute."),
    Language("fr", "French", "Marie Curie a travaillé à Paris pour l'Institut du radium."),
    Language("es", "Spanish", "Marie Curie trabajó en París para el Instituto del Radio."),
    Language("de", "German", "Marie Curie arbeitete in Paris für das Radium-Institut."),
)


def language_name(code: str) -> str:
    """Return the English name of a language, or its code if the table has none."""
    return next((language.name for language in LANGUAGE_TABLE if language.code == code), code)
