"""The sentences of the mini data set: templates in four languages and the names that fill them, from `text.tsv`.

A row of that table is a template of `SENTENCE_TEMPLATES` or a name: one of `FILLERS`, or of any type for the use "X".
A name without translations is the same in all languages. Words are split at spaces. {X} and {Y} are names that could
be of any type; no word around them agrees with a gender or calls for a person, a place or a thing. {PER}, {LOC}, {ORG}
and {MISC} are names of a known type, {TIME} is a time and no entity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MINI_LANGUAGES = ("en", "fr", "es", "de")
MINI_TYPES = ("PER", "LOC", "ORG", "MISC")
AMBIGUOUS_SLOTS = ("{X}", "{Y}")
FIRST_NAMES = ["Anna", "Carmen", "Claire", "Diego", "Emma", "Felix", "Julien", "Lukas", "Maria", "Pablo"]
LAST_NAMES = ["Becker", "Dubois", "Fischer", "García", "Keller", "Lefèvre", "Moreau", "Navarro", "Ortega", "Wagner"]
Words = dict[str, tuple[str, ...]]


def _read_table() -> dict[str, list[Words]]:
    """Return the rows of each use, in order."""
    table: defaultdict[str, list[Words]] = defaultdict(list)
    for line in Path(__file__).with_name("text.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        use, *cells = line.split("\t")
        forms = [tuple(cell.split()) for cell in cells]
        table[use].append(
            dict(zip(MINI_LANGUAGES, forms if len(forms) > 1 else forms * len(MINI_LANGUAGES), strict=True))
        )
    return table


_TABLE = _read_table()
SENTENCE_TEMPLATES = {use: _TABLE[use] for use in ("one", "two", "mixed", "known", "none")}
AMBIGUOUS_NAMES = _TABLE["X"]
FILLERS: dict[str, list[Words]] = {
    "PER": [dict.fromkeys(MINI_LANGUAGES, (first, last)) for first in FIRST_NAMES for last in LAST_NAMES],
    **{use: _TABLE[use] for use in ("LOC", "ORG", "MISC", "TIME")},
}


@dataclass(frozen=True)
class FilledTemplate:
    """A template and the name for each of its slots, in all languages."""

    template: Words
    names: Mapping[str, Words]

    def types(self) -> list[str]:
        """Return the entity types that the words reveal."""
        return sorted({slot_type(slot) for slot in self.names} & set(MINI_TYPES))

    def render(self, language: str, subject: str | None) -> tuple[list[str], list[str]]:
        """Return tokens and tags in a language; ambiguous names get the type `subject`, which the picture shows."""
        tokens: list[str] = []
        tags: list[str] = []
        for word in self.template[language]:
            name = self.names[word][language] if word in self.names else (word,)
            kind = subject if word in AMBIGUOUS_SLOTS else slot_type(word)
            tokens += name
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)] if kind in MINI_TYPES else ["O"] * len(name)
        return tokens, tags


def slot_type(word: str) -> str:
    """Return the type of the names that fill a slot such as `{PER2}`, or an empty string for an ordinary word."""
    return word.strip("{}2") if word.startswith("{") else ""


def slots(template: Words) -> list[str]:
    """Return the slots of a template, in the order of its first language."""
    return [word for word in template[MINI_LANGUAGES[0]] if word.startswith("{")]
