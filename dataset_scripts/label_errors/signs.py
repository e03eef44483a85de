"""Signs of a label error: what a model reads, the types of the same words elsewhere, the types of the original."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dataset_scripts.label_errors.sentences import LabelledSentence
from dataset_scripts.splits import stable_hash

SIGNS = ("model", "string", "languages")
LEAST_SCORE = 0.5  # a lower one is no sign

# How often the words of each entity with several types have each of them, by the hash of the words.
AmbiguousStrings = dict[int, Counter[str]]


@dataclass
class Survey:
    """What must be known of all sentences before one can be judged: hashes and types, twelve bytes an entity."""

    tags: set[str] = field(default_factory=lambda: {"O"})
    types: dict[str, int] = field(default_factory=dict)
    strings: array[int] = field(default_factory=lambda: array("Q"))  # of every entity: hash of its words ...
    kinds: array[int] = field(default_factory=lambda: array("I"))  # ... and number of its type

    def add(self, sentence: LabelledSentence) -> None:
        """Count the entities of a sentence."""
        self.tags.update(sentence.tags)
        for kind, start, end in sentence.entities:
            self.strings.append(_hash(sentence, start, end))
            self.kinds.append(self.types.setdefault(kind, len(self.types)))

    def ambiguous(self) -> AmbiguousStrings:
        """Return the strings with several types."""
        names = list(self.types)
        pairs, times = np.unique(np.array([self.strings, self.kinds], np.uint64), axis=1, return_counts=True)
        strings, places, sizes = np.unique(pairs[0], return_index=True, return_counts=True)
        found = {}
        for key, place, size in zip(strings[sizes > 1], places[sizes > 1], sizes[sizes > 1], strict=True):
            numbers = range(place, place + size)
            found[int(key)] = Counter({names[int(pairs[1, n])]: int(times[n]) for n in numbers})
        return found


def model_signs(sentence: LabelledSentence, posteriors: np.ndarray, labels: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield where the model reads another entity, or none; the score is that of the tag that it believes least.

    Args:
        sentence: the sentence.
        posteriors: `(words, labels)`.
        labels: the model's tags; `ValueError` if one of the sentence's is missing.
    """
    from modeling_2mner.spans import entity_spans

    numbers = {label: number for number, label in enumerate(labels)}
    if unknown := set(sentence.tags) - set(numbers):
        raise ValueError(f"`models`: a run lacks the tags {sorted(unknown)}; train it on entities of these types.")
    given = posteriors[range(len(sentence.tags)), [numbers[tag] for tag in sentence.tags]]
    now = {(start, end): kind for kind, start, end in sentence.entities}
    read = entity_spans([labels[best] for best in posteriors.argmax(-1)], strict=False)
    then = {(start, end): kind for kind, start, end in read}
    for start, end in sorted(now.keys() | then.keys()):
        if now.get((start, end)) != (other := then.get((start, end))):
            score = 1 - float(given[start:end].min())
            yield _sign("model", sentence, (start, end), score, type=now.get((start, end)), other=other)


def string_signs(
    sentence: LabelledSentence, ambiguous: AmbiguousStrings, texts: dict[int, str]
) -> Iterator[dict[str, Any]]:
    """Yield entities whose words have other types, too; the score is the share of the most frequent other one in both.

    `texts` gets the words of each ambiguous string.
    """
    for kind, start, end in sentence.entities:
        if types := ambiguous.get(key := _hash(sentence, start, end)):
            texts.setdefault(key, sentence.words(start, end))
            number, other = min((-number, name) for name, number in types.items() if name != kind)
            yield _sign("string", sentence, (start, end), -number / (types[kind] - number), type=kind, other=other)


def language_signs(sentence: LabelledSentence) -> Iterator[dict[str, Any]]:
    """Yield one sign if a translation has other types than its original; the score is the share that differs."""
    if sentence.origin is None:
        return
    theirs, ours = sentence.origin.types, Counter(kind for kind, _, _ in sentence.entities)
    missing, added = sorted((theirs - ours).elements()), sorted((ours - theirs).elements())
    if missing or added:
        score = max(LEAST_SCORE, (len(missing) + len(added)) / (theirs.total() + ours.total()))
        yield _sign("languages", sentence, (0, 0), score, origin=sentence.origin.uid, missing=missing, added=added)


def _sign(
    name: str, sentence: LabelledSentence, place: tuple[int, int], score: float, **values: Any
) -> dict[str, Any]:
    start, end = place
    words = sentence.words(start, end)
    return {"sign": name, "start": start, "end": end, "words": words, **values, "score": round(score, 6)}


def _hash(sentence: LabelledSentence, start: int, end: int) -> int:
    return stable_hash(sentence.words(start, end).lower())
