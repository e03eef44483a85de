"""Find sentences with similar words: every pair above a threshold, without comparing every pair.

A sentence is reduced to the matches of `\\w+` in its lower-cased text, with every digit replaced by 0, so that
punctuation and numbers do not count; its shingles are the sequences of three consecutive words (a shorter sentence is
one shingle, one without words is left out). The similarity of two sentences is that of their shingles: common ones
divided by all (Jaccard).

For a similarity of `t`, a set of `n` shingles shares at least `ceil(t n)` with another set, so at least one of its
`n - ceil(t n) + 1` rarest is among those of the other. Only sentences that share one are compared; this loses no pair.
(Chaudhuri, Ganti, Kaushik: A primitive operator for similarity joins in data cleaning, 2006.)
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORD_PATTERN = re.compile(r"\w+")
DIGIT = re.compile(r"\d")
SHINGLE = 3
_ROUNDING = 1e-9  # one shingle too many costs a comparison, one too few loses a pair


@dataclass(frozen=True)
class Match:
    """The most similar of the known sentences, by its position, and its similarity, up to 1."""

    position: int
    similarity: float


def fold_words(tokens: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a sentence that are compared: lower case, digits as 0, no punctuation."""
    return tuple(WORD_PATTERN.findall(DIGIT.sub("0", " ".join(tokens).lower())))


def find_similar(
    known: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]], threshold: float
) -> list[Match | None]:
    """Return for each of the `wanted` sentences the most similar of the `known`, or None below `threshold`.

    The first of several equally similar ones is returned. `threshold` is above 0 and at most 1.
    """
    sets = [_shingles(tokens) for tokens in (*known, *wanted)]
    counts = Counter(shingle for shingles in sets for shingle in shingles)
    rank = {shingle: place for place, shingle in enumerate(sorted(counts, key=counts.__getitem__))}
    ranked = [sorted(rank[shingle] for shingle in shingles) for shingles in sets]
    index: defaultdict[int, list[int]] = defaultdict(list)
    for position, shingles in enumerate(ranked[: len(known)]):
        for shingle in _prefix(shingles, threshold):
            index[shingle].append(position)
    return [_best(shingles, ranked, index, threshold) for shingles in ranked[len(known) :]]


def _shingles(tokens: Sequence[str]) -> set[tuple[str, ...]]:
    words = fold_words(tokens)
    if not words:
        return set()
    return {words[start : start + SHINGLE] for start in range(max(1, len(words) - SHINGLE + 1))}


def _prefix(shingles: Sequence[int], threshold: float) -> Sequence[int]:
    return shingles[: len(shingles) - math.ceil(threshold * len(shingles) - _ROUNDING) + 1] if shingles else ()


def _best(
    shingles: Sequence[int], known: Sequence[Sequence[int]], index: dict[int, list[int]], threshold: float
) -> Match | None:
    positions = {position for shingle in _prefix(shingles, threshold) for position in index.get(shingle, ())}
    own = set(shingles)
    matches = (Match(position, _jaccard(own, known[position])) for position in sorted(positions))
    best = max(matches, key=lambda match: match.similarity, default=None)
    return best if best and best.similarity >= threshold else None


def _jaccard(first: set[int], second: Iterable[int]) -> float:
    other = set(second)
    common = len(first & other)
    return common / (len(first) + len(other) - common)
