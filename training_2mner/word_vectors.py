"""Word vectors from GloVe and fastText text files, and the vocabulary that goes with them."""

from __future__ import annotations

import logging
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from transformers import PreTrainedModel

from modeling_2mner import WordTokenizer
from modeling_2mner.word_layers import WordEmbeddings

logger = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]")
_CHUNK = 2**16  # rows copied at a time


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors, in the order of the file.

    Args:
        words: the distinct words.
        rows: `(words, size)`, float32.
    """

    words: list[str]
    rows: np.ndarray


@dataclass(frozen=True)
class FoundVectors:
    """In which form the distinct training words were found among the vectors.

    Args:
        exact, lower, digits: words found as written, in lower case, and in lower case with 0 for each digit.
        random: words not found, which keep the model's random vector.
        others: words of the file that do not occur in training.
    """

    exact: int
    lower: int
    digits: int
    random: int
    others: int

    def __str__(self) -> str:
        words = self.exact + self.lower + self.digits + self.random
        return (
            f"of {words} training words, {self.exact} found as written, {self.lower} in lower case, {self.digits} "
            f"with 0 for digits, {self.random} not found (random vectors); {self.others} other words in the file"
        )


def read_word_vectors(path: str | Path, limit: int | None = None) -> WordVectors:
    """Read the first `limit` rows of a GloVe or fastText text file: UTF-8, with a word and its numbers in each row.

    A first line of two integers, as in fastText, gives the number of rows and their size; otherwise the size is that
    of the first row. A word may contain blanks, as a few in GloVe do: the numbers are the last fields of the row. If a
    word occurs twice, its first row counts.

    Raises:
        ValueError: for a malformed row, with its line; for a file without rows, and for a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"`limit` is {limit}; write the number of rows to read, or leave it out.")
    words: dict[str, None] = {}
    numbers, read = array("f"), 0
    with open(path, "rb") as file:
        promised, size = _read_header(file.readline())
        file.seek(0)
        for line, row in _rows(file, skip=promised is not None, limit=limit):
            size = size or row.count(b" ")
            word, values = _parse(row, size, f"{path}, line {line}")
            read += 1
            if word not in words:
                words[word] = None
                numbers.extend(values)
    if not words:
        raise ValueError(f"{path} holds no word vectors.")
    _compare(path, promised, read, limit)
    return WordVectors(list(words), np.frombuffer(numbers, dtype=np.float32).reshape(len(words), -1))


def build_vocabulary(sentences: Iterable[list[str]], vectors: WordVectors | None = None) -> WordTokenizer:
    """Number the words of the training sentences, most frequent first, then the other words that have a vector.

    Characters are those of the training words. Ties are broken by code points, so that the order of the sentences does
    not matter.
    """
    words = _count(sentences)
    characters: Counter[str] = Counter()
    for word, count in words.items():
        characters.update({character: occurs * count for character, occurs in Counter(word).items()})
    kept = dict.fromkeys(_by_frequency(words))
    kept.update(dict.fromkeys(vectors.words if vectors is not None else ()))
    return WordTokenizer(
        words=[word for word in kept if word not in SPECIAL_TOKENS], characters=_by_frequency(characters)
    )


def fill_embeddings(
    model: PreTrainedModel,
    tokenizer: WordTokenizer,
    sentences: Iterable[list[str]],
    vectors: WordVectors | None = None,
) -> FoundVectors:
    """Give a model the vectors of its words, and mark the words that occur only once in training.

    A word gets the vector of the first of its forms (`WordTokenizer.forms`) that has one. All others, including the
    unknown word and padding, keep the random vectors that the model was initialised with.

    Args:
        model: a model with new weights, whose vocabulary is the tokenizer's.
        tokenizer: from [`build_vocabulary`] for the same sentences and vectors.
        sentences: the training sentences.
        vectors: by default, all words keep random vectors.

    Raises:
        ValueError: if the model's vectors do not match the tokenizer's words in number, or the file's vectors in size.
    """
    (embeddings,) = (part for part in model.modules() if isinstance(part, WordEmbeddings))
    weight = embeddings.vectors.get_parameter("weight")
    _check_shape(weight.shape, tokenizer, vectors)
    counts = _count(sentences)
    places = {word: place for place, word in enumerate(vectors.words)} if vectors is not None else {}
    found: Counter[str] = Counter()
    targets, sources, once = [], [], []
    for number, word in enumerate(tokenizer.words[len(SPECIAL_TOKENS) :], start=len(SPECIAL_TOKENS)):
        kind, source = _find(tokenizer.forms(word), places)
        found[kind if word in counts else "others"] += 1
        if source is not None:
            targets.append(number)
            sources.append(source)
        if counts[word] == 1:
            once.append(number)
    embeddings.singletons.zero_()
    embeddings.singletons[once] = True
    if vectors is not None:
        _copy_rows(vectors.rows, sources, weight, targets)
    return FoundVectors(**{kind: found[kind] for kind in ("exact", "lower", "digits", "random", "others")})


def _read_header(line: bytes) -> tuple[int | None, int | None]:
    """The number of rows and their size, or `None` for both if the line is a row itself."""
    fields = line.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None, None


def _rows(file: BinaryIO, skip: bool, limit: int | None) -> Iterator[tuple[int, bytes]]:
    """The rows with their line numbers, without the trailing blanks of fastText."""
    for line, row in enumerate(file, start=1):
        if limit is not None and line > limit + skip:
            return
        if not (skip and line == 1):
            yield line, row.rstrip(b" \r\n")


def _parse(row: bytes, size: int, place: str) -> tuple[str, list[float]]:
    word, *fields = row.rsplit(b" ", size) if size else [row]
    try:
        values = [float(field) for field in fields]
        if size and word and len(values) == size and all(map(math.isfinite, values)):
            return word.decode("utf-8"), values
    except ValueError as error:  # an invalid number or invalid UTF-8
        raise ValueError(f"{place} is not a word followed by {size} numbers: {error}; remove it.") from error
    raise ValueError(f"{place} is not a word followed by {size or 'some'} finite numbers: {row[:60]!r}; remove it.")


def _compare(path: str | Path, promised: int | None, read: int, limit: int | None) -> None:
    expected = promised if promised is None or limit is None else min(promised, limit)
    if expected is not None and read != expected:
        logger.warning(
            "%s promises %d rows in its first line, but there are %d of %d; if it was cut short, download it again.",
            *(path, promised, read, expected),
        )


def _count(sentences: Iterable[list[str]]) -> Counter[str]:
    return Counter(word for sentence in sentences for word in sentence)


def _by_frequency(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda entry: (-counts[entry], entry))


def _find(forms: tuple[str, str, str], places: dict[str, int]) -> tuple[str, int | None]:
    for kind, form in zip(("exact", "lower", "digits"), forms, strict=True):
        if form in places:
            return kind, places[form]
    return "random", None


def _check_shape(shape: torch.Size, tokenizer: WordTokenizer, vectors: WordVectors | None) -> None:
    if shape[0] != len(tokenizer):
        raise ValueError(
            f"the model has {shape[0]} word vectors; write `vocab_size={len(tokenizer)}`, as the tokenizer has."
        )
    if vectors is not None and shape[1] != vectors.rows.shape[1]:
        raise ValueError(
            f"`word_embedding_size` is {shape[1]}, but the file's vectors have {vectors.rows.shape[1]} numbers; "
            "write that size."
        )


@torch.no_grad()
def _copy_rows(rows: np.ndarray, sources: Sequence[int], weight: torch.Tensor, targets: Sequence[int]) -> None:
    for start in range(0, len(sources), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        weight[targets[chunk]] = torch.from_numpy(rows[sources[chunk]]).to(weight)
