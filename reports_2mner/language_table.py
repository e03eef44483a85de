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
        translation: its code in each translation system, by the system's name; for `apertium` the modes, one after the
            other, that lead to it from English.
        function_words: articles, prepositions and the like, which may join an entity to its sentence or stand between
            its words; one that ends with an apostrophe is cut off the word behind it (l'Italie), one that begins with
            an apostrophe off the word before it (Italy's).
    """

    code: str
    name: str
    example: str | None = None
    translation: Mapping[str, str] = field(default_factory=dict)
    function_words: str = ""


LANGUAGE_TABLE = (
    Language(
        "en",
        "English",
        "Marie Curie worked in Paris for the Radium Institute.",
        {"mbart50": "en_XX", "nllb": "eng_Latn", "m2m100": "en"},
        "the a an of to in at on for by and or 's 're 've 'll 'd 'm",
    ),
    Language(
        "fr",
        "French",
        "Marie Curie a travaillé à Paris pour l'Institut du radium.",
        {"mbart50": "fr_XX", "nllb": "fra_Latn", "m2m100": "fr", "apertium": "eng-cat cat-fra"},
        "le la les un une de du des à a au aux en et par pour dans sur avec chez l' d' s' qu' c' j' n' m' t'",
    ),
    Language(
        "es",
        "Spanish",
        "Marie Curie trabajó en París para el Instituto del Radio.",
        {"mbart50": "es_XX", "nllb": "spa_Latn", "m2m100": "es", "apertium": "eng-spa"},
        "el la los las lo un una de del a al en y por para con",
    ),
    Language(
        "de",
        "German",
        "Marie Curie arbeitete in Paris für das Radium-Institut.",
        {"mbart50": "de_DE", "nllb": "deu_Latn", "m2m100": "de"},
        "der die das den dem des ein eine einen einem einer von vom in im am zu zum zur und",
    ),
    Language(
        "pt",
        "Portuguese",
        None,
        {"mbart50": "pt_XX", "nllb": "por_Latn", "m2m100": "pt", "apertium": "eng-spa es-pt"},
        "o a os as um uma de do da dos das em no na nos nas ao aos à às e por para com",
    ),
    Language(
        "it",
        "Italian",
        None,
        {"mbart50": "it_IT", "nllb": "ita_Latn", "m2m100": "it", "apertium": "eng-spa spa-ita"},
        "il lo la i gli le un uno una di del dello della dei degli delle a al alla ai in nel nella e da dal dalla per con su l' un' d' dell' all' "
        "nell' sull' dall'",
    ),
)


def find_language(code: str) -> Language | None:
    """Return the entry of a language, or None if the table has none."""
    return next((language for language in LANGUAGE_TABLE if language.code == code), None)


def language_name(code: str) -> str:
    """Return the English name of a language, or its code if the table has none."""
    language = find_language(code)
    return language.name if language else code
