"""How far annotators agree, from counts that can be added up.

Span F1 counts entities of which both have words and type. Cohen's kappa compares the tags of words: over all words, where
O alone makes it high, and over those that at least one of the two has marked. Krippendorff's alpha does the same for
any number of changing people. Whoever reads only one figure should read F1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

from dataset_scripts.annotations.sentence import Entity, tags_of_entities

OUTSIDE = "O"
Pairs = Counter[tuple[str, str]]


@dataclass
class Agreement:
    """Counts of sentences that several people annotated.

    Args:
        sentences: sentences that were compared.
        conflicts: those in which not all agree.
        common: entities that two people share, by type, over all pairs of people.
        found: entities of both people, by type, over all pairs.
        tags: pairs of tags that two people gave a word.
        coincidences: pairs of tags that any two people gave a word, weighted as alpha needs them.
    """

    sentences: int = 0
    conflicts: int = 0
    common: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    tags: Pairs = field(default_factory=Counter)
    coincidences: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))

    def add(self, answers: Sequence[Collection[Entity]], length: int) -> None:
        """Count a sentence of `length` words; needs at least two answers, in the order of people's names."""
        self.sentences += 1
        self.conflicts += any(set(answer) != set(answers[0]) for answer in answers)
        columns = [tags_of_entities(length, answer) for answer in answers]
        for (left, left_tags), (right, right_tags) in combinations(list(zip(answers, columns, strict=True)), 2):
            self.common.update(kind for _, _, kind in set(left) & set(right))
            self.found.update(kind for _, _, kind in (*left, *right))
            self.tags.update(zip(left_tags, right_tags, strict=True))
        for word in zip(*columns, strict=True):
            for pair in permutations(word, 2):
                self.coincidences[pair] += 1 / (len(answers) - 1)

    def figures(self) -> dict[str, Any]:
        """Return all figures by name."""
        counts = {"sentences": self.sentences, "conflicts": self.conflicts, "entities of both": self.found.total()}
        kappas = {"kappa, marked words": self.kappa(marked=True), "kappa, all words": self.kappa()}
        return {**counts, "span F1": self.f1(), "alpha": self.alpha(), **kappas}

    def figures_of(self, kind: str) -> dict[str, Any]:
        """Return the figures of one type by name."""
        return {"entities of both": self.found[kind], "span F1": self.f1(kind)}

    def f1(self, kind: str | None = None) -> float | None:
        """Return span F1, of one type or all; None if nothing was found."""
        common, found = (counts[kind] if kind is not None else counts.total() for counts in (self.common, self.found))
        return 2 * common / found if found else None

    def kappa(self, marked: bool = False) -> float | None:
        """Return Cohen's kappa of the words' tags, with `marked` only of words that are not O for both."""
        return cohen_kappa({pair: n for pair, n in self.tags.items() if not marked or pair != (OUTSIDE, OUTSIDE)})

    def alpha(self) -> float | None:
        """Return Krippendorff's alpha of the words' tags."""
        return krippendorff_alpha(self.coincidences)

    def confusion(self) -> dict[tuple[str, str], int]:
        """Return for each two types, O included and in both orders, how many words one person gave the one, another the
        other.
        """
        counts: Counter[tuple[str, str]] = Counter()
        for (left, right), number in self.tags.items():
            kinds = left[2:] or OUTSIDE, right[2:] or OUTSIDE
            counts[kinds] += number
            if kinds[0] != kinds[1]:
                counts[kinds[::-1]] += number
        return counts


def cohen_kappa(pairs: Mapping[tuple[str, str], int]) -> float | None:
    """Return Cohen's kappa; 1 if both only ever give one and the same label, None if there is nothing.

    Args:
        pairs: how often the two gave something these labels.
    """
    try:
        from sklearn.metrics import cohen_kappa_score
    except ImportError as error:
        raise ValueError("Cohen's kappa needs scikit-learn: pip install '2m-ner[construct]'") from error

    if len({label for pair in pairs for label in pair}) < 2:
        return 1.0 if pairs else None
    left, right = zip(*pairs, strict=True)
    return float(cohen_kappa_score(left, right, sample_weight=list(pairs.values())))


def krippendorff_alpha(coincidences: Mapping[tuple[str, str], float]) -> float | None:
    """Return Krippendorff's alpha for nominal labels; 1 if there is only one label, None if there is nothing.

    Args:
        coincidences: over all things that m >= 2 people labelled, for each ordered pair of different people's labels,
            1 / (m - 1).
    """
    values: dict[str, float] = defaultdict(float)
    for (left, _), weight in coincidences.items():
        values[left] += weight
    different = sum(weight for (left, right), weight in coincidences.items() if left != right)
    total = sum(values.values())
    expected = total**2 - sum(weight**2 for weight in values.values())
    if not expected:
        return 1.0 if values else None
    return 1 - (total - 1) * different / expected
