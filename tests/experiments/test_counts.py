from __future__ import annotations

import json
import random

import numpy as np
import pytest

from experiments.counts import EntityCounts, count_entities, precision_recall_f1, scores
from modeling_2mner import LABELS
from modeling_2mner.spans import entity_spans
from training_2mner.metrics import entity_scores


@pytest.fixture(scope="module")
def tags() -> tuple[list[list[str]], list[list[str]]]:
    """Random gold tags, mostly valid, and predictions with every kind of mistake."""
    generator = random.Random(5)
    gold = [[generator.choice(LABELS) for _ in range(generator.randint(0, 9))] for _ in range(300)]
    predicted = [[tag if generator.random() < 0.7 else generator.choice(LABELS) for tag in row] for row in gold]
    return gold, predicted


@pytest.mark.parametrize("strict, prefix", [(True, ""), (False, "lenient_")])
def test_scores_are_seqevals(tags, strict, prefix):
    gold, predicted = tags
    expected = entity_scores(predicted, gold)
    found = scores(count_entities(gold, predicted, strict))
    for name, value in found.items():
        assert value == pytest.approx(expected[f"{prefix}{name}"], abs=1e-12), name


def test_counts_of_a_sentence():
    gold = ["B-PER", "I-PER", "O", "B-LOC", "O"]
    predicted = ["B-PER", "I-PER", "O", "B-ORG", "I-MISC"]
    strict, lenient = (count_entities([gold], [predicted], strict).table[0].tolist() for strict in (True, False))
    assert strict == [[1, 1, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]]  # PER, LOC, ORG, MISC: right, predicted, gold
    assert lenient == [[1, 1, 1], [0, 0, 1], [0, 1, 0], [0, 1, 0]]


def test_a_stray_tag_opens_an_entity_in_lenient_counting_alone():
    assert entity_spans(["O", "I-PER", "I-PER"], strict=True) == []
    assert entity_spans(["O", "I-PER", "I-PER"], strict=False) == [("PER", 1, 3)]


def test_counts_survive_json(tags):
    counts = count_entities(*tags)
    again = EntityCounts.from_json(json.loads(json.dumps(counts.to_json())))
    assert np.array_equal(again.table, counts.table) and again.types == counts.types


def test_groups_add_up(tags):
    counts = count_entities(*tags)
    mask = np.arange(300) % 3 == 0
    assert np.array_equal(counts.select(mask).table.sum(0) + counts.select(~mask).table.sum(0), counts.table.sum(0))


def test_nothing_is_zero_and_no_warning(recwarn):
    assert scores(count_entities([["O"]], [["O"]])) == dict.fromkeys(
        ("precision", "recall", "f1", "f1_PER", "f1_LOC", "f1_ORG", "f1_MISC"), 0.0
    )
    assert precision_recall_f1(1, 0, 2) == (0.0, 0.5, 1.0) and not recwarn.list
