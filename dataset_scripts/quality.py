"""What is wrong with the words of a sentence, told from the words alone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# The authors' tokeniser put numbered placeholders in the place of entities and did not always take them out again.
PLACEHOLDER = re.compile("replacestrstr")

# Control, format and private characters, and blanks. Those without a meaning yet, Cn, differ between Unicode versions and
# are not deleted.
INVISIBLE_CATEGORIES = ("Cc", "Cf", "Co", "Zs", "Zl", "Zp")


def is_invisible(word: str) -> bool:
    """Tell whether BERT's text cleaning leaves nothing of the word: control, format, private characters, blanks, U+FFFD."""
    return all(character == "\ufffd" or unicodedata.category(character) in INVISIBLE_CATEGORIES for character in word)


def find_text_flags(tokens: Sequence[str]) -> list[str]:
    """Return the flags of `schema.QUALITY_FLAGS` that the words of a sentence earn."""
    flags = []
    if any(PLACEHOLDER.search(token) for token in tokens):
        flags.append("placeholder")
    if any(is_invisible(token) for token in tokens):
        flags.append("invisible_word")
    return flags
