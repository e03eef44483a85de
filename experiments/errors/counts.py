"""Which predicted entity answers which gold one, and what is wrong with it (section 5.6 of the paper); and the strings
to which the annotators gave several types: errors on those may be errors of the annotation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from modeling_2mner.spans import Span, entity_spans
from training_2mner.data import tag_names

Places = dict[str, dict[str, list[str]]]  # type -> split -> ids of the sentences, one for each mention

SUSPECT_SPLITS = ("train", "test")
RIGHT, OUTSIDE = "right", "O"
ERROR_KINDS = {
    "wrong_type": "the right words with another type",
    "wrong_boundary": "the right type on words that overlap the right ones",
    "boundary_and_type": "another type on words that overlap the right ones",
    "missed": "a gold entity that no predicted one answers",
    "invented": "a predicted entity that answers no gold one",
}


@dataclass(frozen=True)
class Pair:
    """A gold entity and the predicted one that answers it, `(type, start, end)` each; one of them may be missing."""

    gold: Span | None
    predicted: Span | None

    @property
    def kind(self) -> str:
        """`"right"`, or one of `ERROR_KINDS`."""
        if self.predicted is None:
            return "missed"
        if self.gold is None:
            return "invented"
        same_type = self.gold[0] == self.predicted[0]
        if self.gold[1:] == self.predicted[1:]:
            return RIGHT if same_type else "wrong_type"
        return "wrong_boundary" if same_type else "boundary_and_type"

    @property
    def span(self) -> Span:
        """The gold entity if there is one, otherwise the predicted one."""
        return self.gold or self.predicted or Span(OUTSIDE, 0, 0)

    @property
    def gold_type(self) -> str:
        """The gold type, `"O"` for an invented entity."""
        return self.gold[0] if self.gold else OUTSIDE

    @property
    def predicted_type(self) -> str:
        """The predicted type, `"O"` for a missed entity."""
        return self.predicted[0] if self.predicted else OUTSIDE

    @property
    def type(self) -> str:
        """The type under which an error is counted: the gold type if there is one."""
        return self.span[0]


@dataclass(frozen=True)
class ScoredSentence:
    """A test sentence with its predicted entities.

    Args:
        row: its place in the test split.
        id: its name in the data set.
        pairs: its entities, in their order.
        groups: its language, its source and so on, by column.
        strays: predicted entities that begin with `I-`, if strict counting omits them.
    """

    row: int
    id: str
    words: list[str]
    pairs: list[Pair]
    groups: dict[str, str]
    strays: tuple[Span, ...] = ()

    @property
    def errors(self) -> list[Pair]:
        """The pairs that are not right."""
        return [pair for pair in self.pairs if pair.kind != RIGHT]

    def text(self, span: Span) -> str:
        """The words of an entity."""
        return " ".join(self.words[span[1] : span[2]])


def pair_entities(gold: Sequence[Span], predicted: Sequence[Span]) -> list[Pair]:
    """Pair the entities of a sentence one to one: first those that share most words, among equals those of one type.

    Each entity is in one pair, so that gold = right + wrong + missed and predicted = right + wrong + invented. If one
    entity was split into two, or two were joined, one part is left over and counts as missed or invented.
    """
    shared = [(_overlap(one, other), one, other) for one in gold for other in predicted]
    shared = [entry for entry in shared if entry[0] > 0]
    pairs, taken = [], set()
    for _, one, other in sorted(shared, key=lambda entry: (-entry[0], entry[1][0] != entry[2][0], entry[1][1])):
        if ("gold", one) not in taken and ("predicted", other) not in taken:
            pairs.append(Pair(one, other))
            taken |= {("gold", one), ("predicted", other)}
    pairs += [Pair(span, None) for span in gold if ("gold", span) not in taken]
    pairs += [Pair(None, span) for span in predicted if ("predicted", span) not in taken]
    return sorted(pairs, key=lambda pair: pair.span[1:])


def count_kinds(pairs: Iterable[Pair]) -> dict[str, int]:
    """The number of gold entities, of right ones, and of errors of each kind."""
    pairs = list(pairs)
    found = Counter(pair.kind for pair in pairs)
    gold = sum(pair.gold is not None for pair in pairs)
    return {"gold": gold, RIGHT: found[RIGHT], **{kind: found[kind] for kind in ERROR_KINDS}}


def confusion(sentences: Iterable[ScoredSentence], types: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each gold type (or no entity) was answered by each type (or no entity); boundaries may differ."""
    found = Counter((pair.gold_type, pair.predicted_type) for sentence in sentences for pair in sentence.pairs)
    names = (*types, OUTSIDE)
    return {one: {other: found[one, other] for other in names if (one, other) != (OUTSIDE, OUTSIDE)} for one in names}


@dataclass(frozen=True)
class Suspect:
    """A string that is a gold entity of several types in train and test, and of at least one in test.

    Args:
        places: the sentences that hold it, by type and split.
        errors: how many errors concern a gold entity in test with this text.
    """

    text: str
    places: Places
    errors: int

    @property
    def total(self) -> int:
        """How often the string is a gold entity."""
        return sum(len(ids) for splits in self.places.values() for ids in splits.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """Mentions by type and split, the most frequent type first."""
        found = {kind: {split: len(splits[split]) for split in SUSPECT_SPLITS} for kind, splits in self.places.items()}
        return dict(sorted(found.items(), key=lambda entry: (-sum(entry[1].values()), entry[0])))


def find_suspects(
    train: Dataset, test: Dataset, sentences: Iterable[ScoredSentence], strict: bool = True
) -> list[Suspect]:
    """The strings of test entities that have several types, case-sensitive, the most frequent first.

    Args:
        train, test: the splits, with words and gold tags.
        sentences: of `test`, with their errors.
    """
    found: dict[str, Places] = defaultdict(lambda: defaultdict(lambda: {split: [] for split in SUSPECT_SPLITS}))
    for split, dataset in zip(SUSPECT_SPLITS, (train, test), strict=True):
        for name, words, tags in zip(sentence_ids(dataset), dataset["tokens"], tag_names(dataset), strict=True):
            for kind, start, end in entity_spans(tags, strict):
                found[" ".join(words[start:end])][kind][split].append(name)
    errors = Counter(s.text(pair.gold) for s in sentences for pair in s.errors if pair.gold)
    suspects = [
        Suspect(text, dict(places), errors[text])
        for text, places in found.items()
        if len(places) > 1 and any(splits["test"] for splits in places.values())
    ]
    return sorted(suspects, key=lambda suspect: (-suspect.total, suspect.text))


def describe_suspects(suspects: Sequence[Suspect], sentences: Iterable[ScoredSentence]) -> dict[str, Any]:
    """How many errors concern suspects, and how often a wrong type is one that the string has elsewhere."""
    known = {suspect.text: suspect.places for suspect in suspects}
    errors = [(s.text(pair.gold), pair) for s in sentences for pair in s.errors if pair.gold]
    wrong = [(text, pair) for text, pair in errors if pair.kind == "wrong_type"]
    return {
        "strings": len(suspects),
        "errors_on_gold_entities": len(errors),
        "of_these_on_suspects": sum(text in known for text, _ in errors),
        "wrong_types": len(wrong),
        "of_these_a_type_the_string_has_elsewhere": sum(
            pair.predicted_type in known.get(text, {}) for text, pair in wrong
        ),
        "suspects": [{"text": s.text, "mentions": s.counts(), "errors": s.errors} for s in suspects],
    }


def sentence_ids(dataset: Dataset) -> list[str]:
    """The names of the sentences in the data set; their rows if they have no names."""
    if "id" in dataset.column_names:
        return [str(name) for name in dataset["id"]]
    return [f"row {row}" for row in range(len(dataset))]


def _overlap(one: Span, other: Span) -> int:
    return min(one[2], other[2]) - max(one[1], other[1])
