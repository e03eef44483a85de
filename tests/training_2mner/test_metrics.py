from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from training_2mner.metrics import entity_scores, grouped_entity_scores, to_tag_names

GOLD = [
    ["B-PER", "I-PER", "O", "B-LOC"],
    ["O", "B-ORG", "O"],
    ["B-PER", "O", "B-MISC", "I-MISC"],
]
# Sentence by sentence: both right; a stray I-ORG; two entities with wrong ends.
PREDICTED = [
    ["B-PER", "I-PER", "O", "B-LOC"],
    ["O", "I-ORG", "O"],
    ["B-PER", "I-PER", "B-MISC", "O"],
]
LABELS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for prefix in "BI")]


@pytest.fixture(autouse=True)
def no_warnings():
    """seqeval and numpy warn when they divide by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def random_tags():
    """300 sentences of random tags, with stray I- tags."""
    generator = random.Random(0)
    return [[generator.choice(LABELS) for _ in range(generator.randint(1, 8))] for _ in range(300)]


def test_scores_computed_by_hand():
    scores = entity_scores(PREDICTED, GOLD)

    # Five gold entities. Strict: four predicted, two right. Lenient: the stray I-ORG is a fifth one, and right.
    expected = {
        "precision": 2 / 4,
        "recall": 2 / 5,
        "f1": 4 / 9,
        "f1_PER": 1 / 2,
        "f1_LOC": 1.0,
        "f1_ORG": 0.0,
        "f1_MISC": 0.0,
        "lenient_precision": 3 / 5,
        "lenient_recall": 3 / 5,
        "lenient_f1": 3 / 5,
        "lenient_f1_PER": 1 / 2,
        "lenient_f1_LOC": 1.0,
        "lenient_f1_ORG": 1.0,
        "lenient_f1_MISC": 0.0,
    }
    assert scores == pytest.approx(expected)
    assert all(type(value) is float for value in scores.values())


def test_stray_tag_in_the_gold_counts_leniently_only():
    scores = entity_scores([["O", "I-PER"], ["B-LOC"]], [["O", "I-PER"], ["B-LOC"]])

    assert scores["f1"] == 1.0
    assert "f1_PER" not in scores
    assert scores["lenient_f1_PER"] == 1.0


def test_a_change_of_type_inside_an_entity_is_stray():
    scores = entity_scores([["B-PER", "I-LOC"]], [["B-PER", "O"]])

    assert scores["f1"] == 1.0  # the strict scheme reads PER on the first word and nothing on the second
    assert scores["lenient_precision"] == 0.5


def test_agrees_with_seqeval(random_tags):
    generator = random.Random(1)
    predicted = [[tag if generator.random() < 0.6 else generator.choice(LABELS) for tag in row] for row in random_tags]
    scores = entity_scores(predicted, random_tags)

    for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        strict = function(random_tags, predicted, mode="strict", scheme=IOB2, average="micro", zero_division=0)
        assert scores[name] == pytest.approx(strict)
        assert scores[f"lenient_{name}"] == pytest.approx(function(random_tags, predicted, zero_division=0))
    assert 0.1 < scores["f1"] < scores["lenient_f1"] < 0.9  # or the comparison says nothing


def test_agrees_with_spans_read_off_by_hand(random_tags):
    """Strict spans: B-X and the I-X that follow it directly."""

    def spans(rows):
        found = set()
        for number, row in enumerate(rows):
            for start, tag in enumerate(row):
                if tag.startswith("B-"):
                    end = start + 1
                    while end < len(row) and row[end] == f"I-{tag[2:]}":
                        end += 1
                    found.add((number, start, end, tag[2:]))
        return found

    predicted = random_tags[::-1]
    predicted = [(row + ["O"] * 8)[: len(gold)] for row, gold in zip(predicted, random_tags, strict=True)]
    scores = entity_scores(predicted, random_tags)
    right = len(spans(predicted) & spans(random_tags))

    assert scores["precision"] == pytest.approx(right / len(spans(predicted)))
    assert scores["recall"] == pytest.approx(right / len(spans(random_tags)))


@pytest.mark.parametrize(
    ("predicted", "gold"),
    [
        ([], []),
        ([[]], [[]]),
        ([["O", "O"]], [["O", "O"]]),
        ([["O", "O"]], [["B-PER", "I-PER"]]),
        ([["B-PER", "O"]], [["O", "O"]]),
        ([["I-PER", "O"]], [["O", "O"]]),  # nothing but a stray tag: no entity at all in the strict scheme
        ([["O", "O"]], [["I-PER", "O"]]),
    ],
)
def test_nothing_right_is_zero(predicted, gold):
    scores = entity_scores(predicted, gold)

    assert {"precision", "recall", "f1", "lenient_precision", "lenient_recall", "lenient_f1"} <= set(scores)
    assert set(scores.values()) == {0.0}


def test_only_a_stray_tag_that_is_right():
    scores = entity_scores([["I-PER", "O"]], [["I-PER", "O"]])

    assert scores["f1"] == 0.0
    assert scores["lenient_f1"] == 1.0


def test_grouped_scores_are_those_of_each_group():
    scores = grouped_entity_scores(PREDICTED, GOLD, ["fr", "en", "fr"])

    assert list(scores) == ["en", "fr"]
    assert scores["en"] == entity_scores(PREDICTED[1:2], GOLD[1:2])
    assert scores["fr"] == entity_scores(PREDICTED[::2], GOLD[::2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entity_scores([["O"]], [["O"], ["O"]]), "1 sentences"),
        (lambda: entity_scores([["O"], ["O"]], [["O"], ["O", "O"]]), r"`predictions\[1\]` has 1 tags for 2 words"),
        (lambda: grouped_entity_scores([["O"]], [["O"]], ["en", "fr"]), "`groups` has 2 entries"),
    ],
)
def test_different_lengths_are_an_error(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_tag_names_drop_padding_and_call_a_missing_prediction_o():
    labels = np.array([[1, 2, 0], [3, -100, -100]])
    predictions = np.array([[1, -100, 4], [3, 0, 5]])

    assert to_tag_names(labels, labels, LABELS) == [["B-PER", "I-PER", "O"], ["B-LOC"]]
    assert to_tag_names(predictions, labels, LABELS) == [["B-PER", "O", "I-LOC"], ["B-LOC"]]


def test_missing_prediction_costs_recall():
    labels = np.array([[1, 2]])
    names = to_tag_names(np.array([[-100, -100]]), labels, LABELS)

    assert entity_scores(names, to_tag_names(labels, labels, LABELS))["recall"] == 0.0
