"""Split sentences into words with offsets, and find what a translator must leave alone."""

from __future__ import annotations

import re
from functools import cache

from reports_2mner.language_table import find_language

Offsets = tuple[tuple[int, int], ...]

PERSON = re.compile(r"<\s*/?\s*person\w*\s*>", re.IGNORECASE)  # what Conceptual 12M put for names of people
PERSON_REMNANT = re.compile(r"<\s*person\w*|person\w*\s*>", re.IGNORECASE)
_URL = r"(?:https?://|www\.)\S*[^\s.,;:!?\"'’”»)\]}…]"
_EMOJI_PART = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u2190-\u21ff\u203c\u2049\u3030\u303d]"
_EMOJI = f"(?:{_EMOJI_PART}|[0-9#*](?=\ufe0f?\u20e3))(?:[\ufe0f\u20e3\U0001f3fb-\U0001f3ff]|\u200d{_EMOJI_PART})*"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_LETTER = "[\\w\u0300-\u036f]"
# What a translator must not touch: URLs, names of users, hashtags, the mark of a retweet, emoji, the mark of a person.
# A blank behind # and @ is that of data sets that cut it off.
PROTECTED = re.compile(
    rf"{_URL}|{PERSON.pattern}|[@＠#＃]\s?{_LETTER}+|(?<!\S)RT(?=\s|$)|(?:{_FLAG}|{_EMOJI})(?:\s*(?:{_FLAG}|{_EMOJI}))*",
    re.IGNORECASE,
)
_WORD = rf"{_LETTER}+(?:[-.&·]{_LETTER}+|[.,:]\d+)*"
_TOKEN = rf"{_URL}|{PERSON.pattern}|{_FLAG}|{_EMOJI}|(?:\b[^\W\d_]\.){{2,}}|{_WORD}|\S"


def split_words(text: str, lang: str) -> tuple[tuple[str, ...], Offsets]:
    """Return the words of a text, and start and end of each; function words with an apostrophe are words of their own."""
    offsets = tuple(match.span() for match in _pattern(lang).finditer(text))
    return tuple(text[start:end] for start, end in offsets), offsets


@cache
def function_words(lang: str) -> frozenset[str]:
    """Return the function words of a language, without those that the table does not know."""
    language = find_language(lang)
    return frozenset(language.function_words.split() if language else ())


def is_function_word(word: str, lang: str) -> bool:
    """Return whether this is a function word, in any case and with any apostrophe."""
    return word.lower().replace("’", "'") in function_words(lang)


@cache
def _pattern(lang: str) -> re.Pattern[str]:
    words = sorted(function_words(lang), key=len, reverse=True)
    before = "|".join(re.escape(word[:-1]) for word in words if word.endswith("'"))
    behind = "|".join(re.escape(word[1:]) for word in words if word.startswith("'"))
    parts = [rf"\b(?:{before})['’](?={_LETTER})"] if before else []
    parts += [rf"(?<={_LETTER})['’](?:{behind})\b"] if behind else []
    return re.compile("|".join([*parts, _TOKEN]), re.IGNORECASE)
