"""Words to sub-word windows and back: every word has exactly one position, whatever the tokenizer does to it."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from transformers import BatchEncoding

_JOINER = "\u200d"
# As the tokens of MMNERD are: what is one word there is one here. The first that fits counts; any other visible
# character is a separate word. Bounded repetitions keep the time linear in the text.
_WORD = re.compile(
    "|".join(
        (
            r"(?:https?://|ftp://|www\.)[^\s<>\"“”«»]*[^\s<>\"“”«».,;:!?…'’)\]}]",  # web addresses
            r"(?<![\w.+-])[\w.+-]{1,64}@\w{1,63}(?:[-.]\w{1,63}){0,8}\.[^\W\d_]{2,24}(?!\w)",  # e-mail addresses
            r"(?:[^\W\d_]\.){2,}(?!\w)",  # U.S. and the like, with their last dot
            r"\baujourd['’]hui\b",
            r"(?<!\w)(?:[cdjlmnost]|qu|jusqu|lorsqu|puisqu|quoiqu)['’](?=[^\W\d_])",  # l'Espagne, qu'il, O'Brien
            r"(?<=\w)['’](?:s|t|d|m|re|ve|ll)(?!\w)",  # Trump's, don't
            r"\w+(?:[-.]\w+|(?<=\d),(?=\d)\w+)*",  # letters, digits, inner hyphens and dots; 1,000.50
            r"\.{2,}|''|``",  # dots and quotation marks of several characters
            r"[\U0001f1e6-\U0001f1ff]{2}",  # a flag
            rf"\S{_JOINER}*",
        )
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Windows:
    """The sub-word windows of a batch of sentences.

    Args:
        input_ids (`list[list[int]]`): one list of pieces per window, including special tokens.
        positions (`list[list[tuple[int, int]]]`): the window and first piece of each word of each sentence.
        first (`list[int]`): each sentence's first window.
    """

    input_ids: list[list[int]]
    positions: list[list[tuple[int, int]]]
    first: list[int]


def split_text(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Split raw text into words and their offsets: `text[start:end] == word`, in code points."""
    offsets = [match.span() for match in _WORD.finditer(text if text.isascii() else _join_marks(text))]
    return [text[start:end] for start, end in offsets], offsets


def _join_marks(text: str) -> str:
    """Replace characters that belong to the one before: accents, vowel signs, zero-width characters, skin tones.

    The result has the same length. Within a word such a character becomes a letter, after a symbol a joiner, since
    `re` does not regard any of them as part of a word.
    """
    joined: list[str] = []
    for index, character in enumerate(text):
        before = joined[-1] if joined else " "
        follows_joiner = text[index - 1] == before == _JOINER and unicodedata.category(character) == "So"
        if before.isspace() or not (_is_mark(character) or follows_joiner):
            joined.append(character)
        else:
            joined.append("_" if before.isalnum() or before == "_" else _JOINER)
    return "".join(joined)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf") or "\U0001f3fb" <= character <= "\U0001f3ff"


def surface(start: int, end: int, words: list[str], offsets: list[tuple[int, int]], text: str | None) -> str:
    """The surface form of the words `start:end`: their part of the raw text, or the words joined by spaces."""
    return " ".join(words[start:end]) if text is None else text[offsets[start][0] : offsets[end - 1][1]]


def encode_words(tokenizer: Any, sentences: list[list[str]], max_length: int) -> Windows:
    """Encode sentences into windows of at most `max_length` pieces.

    A word that the tokenizer deletes (a control or zero-width character, say) or takes for a special token (`[SEP]`)
    becomes its unknown token. A sentence that does not fit is cut on word boundaries into overlapping windows; each
    word belongs to the window that shows it with context. Nothing is lost except the tail of a single word longer than
    a window.

    Raises:
        ValueError: if the tokenizer gives no word positions or has no token for a deleted word, or if `max_length`
            leaves no room for a word.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"`tokenizer` is a {type(tokenizer).__name__}, which does not report the word of each piece; "
            "pass a fast tokenizer."
        )
    room = max_length - tokenizer.num_special_tokens_to_add()
    if room < 1:
        raise ValueError(
            f"`max_length` is {max_length}, which leaves no room for a word; write {max_length - room + 1} or more."
        )
    sentences, encoded = _encode_every_word(tokenizer, well_formed(sentences))
    input_ids: list[list[int]] = []
    positions: list[list[tuple[int, int]]] = []
    first: list[int] = []
    for index, words in enumerate(sentences):
        first.append(len(input_ids))
        ids = encoded["input_ids"][index]
        if len(ids) <= max_length:
            positions.append([(len(input_ids), piece) for piece in _first_pieces(encoded.word_ids(index))])
            input_ids.append(ids)
        else:
            pieces = _count_pieces(encoded.word_ids(index), len(words))
            positions.append(_append_windows(tokenizer, words, plan_windows(pieces, room), max_length, input_ids))
    return Windows(input_ids, positions, first)


def well_formed(sentences: list[list[str]]) -> list[list[str]]:
    """Replace halves of surrogate pairs, which JSON can hold; the tokenizer would refuse all sentences for one."""
    return [[word.encode(errors="replace").decode() for word in words] for words in sentences]


def plan_windows(pieces: list[int], room: int) -> list[tuple[int, int, int, int]]:
    """Cut a sentence, given the number of `pieces` of each word, into windows of `room` pieces.

    Returns:
        For each window `(start, end, core_start, core_end)` in words: it shows `start:end` and decides
        `core_start:core_end`. The cores follow each other without gaps; an eighth of the room on either side is
        context.
    """
    pieces = [min(count, room) for count in pieces]
    context = room // 8
    windows, core_start = [], 0
    while core_start < len(pieces):
        core_end = _extend(pieces, core_start, room - 2 * context)
        core_end = max(core_end, core_start + 1)
        spare = room - sum(pieces[core_start:core_end])
        start = core_start - (_extend(pieces[:core_start][::-1], 0, min(context, spare)))
        end = _extend(pieces, core_end, room - sum(pieces[start:core_end]))
        windows.append((start, end, core_start, core_end))
        core_start = core_end
    return windows


def _extend(pieces: list[int], start: int, room: int) -> int:
    """The end of the longest run of words from `start` that fits into `room` pieces."""
    end = start
    while end < len(pieces) and pieces[end] <= room:
        room -= pieces[end]
        end += 1
    return end


def _append_windows(
    tokenizer: Any,
    words: list[str],
    windows: list[tuple[int, int, int, int]],
    max_length: int,
    input_ids: list[list[int]],
) -> list[tuple[int, int]]:
    encoded = _encode(tokenizer, [words[start:end] for start, end, _, _ in windows], max_length)
    positions: list[tuple[int, int]] = []
    for index, (start, _, core_start, core_end) in enumerate(windows):
        first_pieces = _first_pieces(encoded.word_ids(index))
        core = first_pieces[core_start - start : core_end - start]
        positions.extend((len(input_ids), piece) for piece in core)
        input_ids.append(encoded["input_ids"][index])
    return positions


def _encode(tokenizer: Any, sentences: list[list[str]], max_length: int | None = None) -> BatchEncoding:
    return tokenizer(
        sentences,
        is_split_into_words=True,
        truncation=max_length is not None,
        max_length=max_length,
        return_token_type_ids=False,
        verbose=False,
    )


def _encode_every_word(tokenizer: Any, sentences: list[list[str]]) -> tuple[list[list[str]], BatchEncoding]:
    """Encode sentences, with the unknown token for words that would get no piece."""
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id}
    special |= {tokenizer.pad_token_id, tokenizer.mask_token_id}
    special.discard(tokenizer.unk_token_id)
    encoded = _encode(tokenizer, sentences)
    lost = [_lost_words(encoded, index, len(words), special) for index, words in enumerate(sentences)]
    if not any(lost):
        return sentences, encoded
    sentences = [
        [_unknown_token(tokenizer, word) if place in places else word for place, word in enumerate(words)]
        for words, places in zip(sentences, lost, strict=True)
    ]
    return sentences, _encode(tokenizer, sentences)


def _lost_words(encoded: BatchEncoding, index: int, num_words: int, special: set[int]) -> set[int]:
    """The words that the tokenizer deletes or takes for one of its `special` tokens."""
    word_ids = encoded.word_ids(index)
    mistaken = {word for word, piece in zip(word_ids, encoded["input_ids"][index], strict=True) if piece in special}
    return {word for word in set(range(num_words)) - set(word_ids) | mistaken if word is not None}


def _unknown_token(tokenizer: Any, word: str) -> str:
    if tokenizer.unk_token is None:
        raise ValueError(
            f"`tokenizer` has no piece for the word {word!r} and no unknown token to replace it; replace the word."
        )
    return tokenizer.unk_token


def _first_pieces(word_ids: list[int | None]) -> list[int]:
    first: dict[int, int] = {}
    for piece, word in enumerate(word_ids):
        if word is not None:
            first.setdefault(word, piece)
    return [first[word] for word in sorted(first)]


def _count_pieces(word_ids: list[int | None], num_words: int) -> list[int]:
    counts = [0] * num_words
    for word in word_ids:
        if word is not None:
            counts[word] += 1
    return counts


__all__ = ["Windows", "encode_words", "plan_windows", "split_text", "surface", "well_formed"]
