"""Faults in the words of a sentence that show in the words themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# The authors' tokeniser replaced entities by numbered placeholders and did not always restore them.
PLACEHOLDER = re.compile("replacestrstr")

# Control, format and private characters, and blanks. Unassigned ones (Cn) differ between Unicode versions and are not
# deleted.
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Co", "Zs", "Zl", "Zp")


def is_invisible(word: str) -> bool:
    """Return whether BERT's text cleaning removes the word: control, format or private characters, blanks, U+FFFD."""
    return all(character == "\ufffd" or unicodedata.category(character) in INVISIBLE_CATEGORIES for character in word)


def find_text_flags(tokens: Sequence[str]) -> list[str]:
    """Return the flags of `schema.QUALITY_FLAGS` that apply to the words of a sentence."""
    flags = []
    if any(PLACEHOLDER.search(token) for token in tokens):
        flags.append("placeholder")
    if any(is_invisible(token) for token in tokens):
        flags.append("invisible_word")
    return flags
