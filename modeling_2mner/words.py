"""Words to sub-word windows and back: every word keeps exactly one position, whatever the tokenizer does to it."""

import re
from dataclasses import dataclass

# Letters, digits and inner hyphens or dots belong together; any other visible character is a word of its own.
_WORD = re.compile(r"\w+(?:[-.]\w+)*|\S")


@dataclass(frozen=True)
class Windows:
    """The sub-word windows of a batch of sentences.

    Args:
        input_ids (`list[list[int]]`): one list of pieces a window, special tokens included.
        positions (`list[list[tuple[int, int]]]`): for each sentence and word, its window and its first piece there.
        first (`list[int]`): each sentence's first window.
    """

    input_ids: list[list[int]]
    positions: list[list[tuple[int, int]]]
    first: list[int]


def split_text(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Split raw text into words and their offsets: `text[start:end] == word`, in code points."""
    matches = list(_WORD.finditer(text))
    return [match.group() for match in matches], [match.span() for match in matches]


def encode_words(tokenizer, sentences: list[list[str]], max_length: int) -> Windows:
    """Encode sentences into windows of at most `max_length` pieces.

    A word that the tokenizer deletes (a control or zero-width character, say) becomes its unknown token. A sentence
    that does not fit is cut on word boundaries into windows that overlap; each word belongs to the one window that
    shows it with context. Nothing is lost, except the tail of a single word longer than a window.

    Raises:
        ValueError: if the tokenizer cannot give word positions, or has no token for a deleted word.
    """
    if not tokenizer.is_fast:
        raise ValueError(
            f"`tokenizer` is a {type(tokenizer).__name__}, which does not tell which word a piece belongs to; "
            "pass a fast tokenizer."
        )
    encoded = _encode(tokenizer, sentences)
    if any(_deleted_words(encoded, index, words) for index, words in enumerate(sentences)):
        sentences = [_replace_deleted_words(tokenizer, encoded, *sentence) for sentence in enumerate(sentences)]
        encoded = _encode(tokenizer, sentences)
    room = max_length - tokenizer.num_special_tokens_to_add()
    input_ids, positions, first = [], [], []
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


def plan_windows(pieces: list[int], room: int) -> list[tuple[int, int, int, int]]:
    """Cut a sentence whose words have so many `pieces` each into windows of `room` pieces.

    Returns:
        For each window `(start, end, core_start, core_end)` in words: it shows `start:end` and decides
        `core_start:core_end`. The cores follow each other without gap; an eighth of the room on either side is
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


def _append_windows(tokenizer, words, windows, max_length: int, input_ids: list[list[int]]) -> list[tuple[int, int]]:
    encoded = _encode(tokenizer, [words[start:end] for start, end, _, _ in windows], max_length)
    positions = []
    for index, (start, _, core_start, core_end) in enumerate(windows):
        first_pieces = _first_pieces(encoded.word_ids(index))
        core = first_pieces[core_start - start : core_end - start]
        positions.extend((len(input_ids), piece) for piece in core)
        input_ids.append(encoded["input_ids"][index])
    return positions


def _encode(tokenizer, sentences: list[list[str]], max_length: int | None = None):
    return tokenizer(
        sentences,
        is_split_into_words=True,
        truncation=max_length is not None,
        max_length=max_length,
        return_token_type_ids=False,
        verbose=False,
    )


def _deleted_words(encoded, index: int, words: list[str]) -> set[int]:
    return set(range(len(words))) - set(encoded.word_ids(index))


def _replace_deleted_words(tokenizer, encoded, index: int, words: list[str]) -> list[str]:
    deleted = _deleted_words(encoded, index, words)
    return [_unknown_token(tokenizer, word) if place in deleted else word for place, word in enumerate(words)]


def _unknown_token(tokenizer, word: str) -> str:
    if tokenizer.unk_token is None:
        raise ValueError(
            f"`tokenizer` deletes the word {word!r} and has no unknown token to put in its place; replace the word."
        )
    return tokenizer.unk_token


def _first_pieces(word_ids: list[int | None]) -> list[int]:
    first = {}
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


__all__ = ["Windows", "encode_words", "plan_windows", "split_text"]
