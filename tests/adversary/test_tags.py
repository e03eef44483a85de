"""Tags in any order: one reading of them, and the scores that seqeval and conlleval give."""

from __future__ import annotations

import pytest
from seqeval.metrics.v1 import precision_recall_fscore_support
from seqeval.scheme import IOB2, Entities

from modeling_2mner.spans import entity_spans
from tests.adversary import generators
from tests.adversary.promises import chance_for, promise
from training_2mner.metrics import entity_scores

pytestmark = pytest.mark.slow


def test_spans():
    def compare(tags: list[str]) -> None:
        expected = [(entity.tag, entity.start, entity.end) for entity in Entities([tags], IOB2).entities[0]]
        assert [tuple(span) for span in entity_spans(tags, strict=True)] == expected
        lenient = entity_spans(tags, strict=False)
        covered = [place for span in lenient for place in range(span.start, span.end)]
        assert covered == [place for place, tag in enumerate(tags) if tag != "O"], "a tag belongs to no entity"

    with promise("Strict entities are seqeval's, and lenient ones leave no tag out") as held:
        chance = chance_for("spans")
        for _ in range(1500):
            held.check(compare, generators.tags(chance, chance.randrange(0, 15)))


@pytest.mark.filterwarnings("ignore")  # seqeval's, about divisions by zero
def test_scores():
    def compare(gold: list[list[str]], predicted: list[list[str]]) -> None:
        scores = entity_scores(predicted, gold)
        micro = precision_recall_fscore_support(gold, predicted, average="micro", scheme=IOB2, zero_division=0)
        for name, expected in zip(("precision", "recall", "f1"), micro[:3], strict=True):
            assert abs(scores[name] - float(expected)) < 1e-12, name

    with promise("Strict precision, recall and F1 are seqeval's") as held:
        chance = chance_for("scores")
        for _ in range(500):
            lengths = [chance.randrange(1, 10) for _ in range(chance.randrange(1, 6))]
            held.check(compare, *([generators.tags(chance, length) for length in lengths] for _ in range(2)))
