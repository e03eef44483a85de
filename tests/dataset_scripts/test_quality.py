import unicodedata

import pytest

from dataset_scripts.quality import find_text_flags, is_invisible
from dataset_scripts.schema import QUALITY_FLAGS

# The words without anything visible in the English files, then what the authors' files of other languages must hold.
INVISIBLE = ["\uf0d8", "\uf0a7", "\u200b", "\ufffd", "\xad", "\x80", "\uf02d", "\uf0d6"]


@pytest.mark.parametrize("word", [*INVISIBLE, "\u200b\uf0d8\ufffd", "\u00a0", "\u2028", "\u200d", "\ufeff"])
def test_words_that_vanish(word, tokenizer):
    assert is_invisible(word)
    assert tokenizer.tokenize(word) == []


@pytest.mark.parametrize("word", ["a", "\u200ba", ".", "#", "👩‍🔬", "\ufe0f", "\u0301", "中", "\U0001fae8", "\u0378"])
def test_words_that_stay(word, tokenizer):
    assert not is_invisible(word)
    assert tokenizer.tokenize(word) != []


def test_invisible_is_what_the_tokenizer_deletes(tokenizer):
    old = unicodedata.ucd_3_2_0  # characters that every tokenizer knows
    characters = [chr(code) for code in range(0x10000) if old.category(chr(code)) not in ("Cn", "Cs")]
    clean = tokenizer.backend_tokenizer.normalizer.normalize_str
    wrong = [character for character in characters if is_invisible(character) == bool(clean(character).strip())]
    assert len(characters) > 50_000
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["Paris", "is", "nice"], []),
        (["replacestrstr0", "is", "nice"], ["placeholder"]),
        (["ea", "xreplacestrstr", "1"], ["placeholder"]),
        (["replacestr", "str0", "Replacestrstr"], []),
        (["a", "\u200b"], ["invisible_word"]),
        (["a\u200b", "b"], []),
        (["\uf0d8", "replacestrstr12", "replacestrstr13", "\uf0d8"], ["placeholder", "invisible_word"]),
    ],
)
def test_flags_of_sentences(words, flags):
    assert find_text_flags(words) == flags
    assert set(flags) <= set(QUALITY_FLAGS)
