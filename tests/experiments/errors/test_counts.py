from __future__ import annotations

from random import Random

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from dataset_scripts.schema import ENTITY_TYPES, LABELS
from experiments.counts import count_entities
from experiments.errors.counts import (
    ERROR_KINDS,
    Pair,
    ScoredSentence,
    confusion,
    count_kinds,
    describe_suspects,
    find_suspects,
    pair_entities,
)
from modeling_2mner.spans import entity_spans


def kinds(gold, predicted) -> list[str]:
    return [pair.kind for pair in pair_entities(gold, predicted)]


def split(*sentences) -> Dataset:
    """A split of (id, "word/TAG word/TAG") sentences."""
    rows = [[pair.rsplit("/", 1) for pair in text.split()] for _, text in sentences]
    columns = {
        "id": [name for name, _ in sentences],
        "tokens": [[word for word, _ in row] for row in rows],
        "ner_tags": [[LABELS.index(tag) for _, tag in row] for row in rows],
    }
    tags = List(ClassLabel(names=list(LABELS)))
    features = Features({"id": Value("string"), "tokens": List(Value("string")), "ner_tags": tags})
    return Dataset.from_dict(columns, features=features)


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        (("LOC", 1, 3), ("LOC", 1, 3), "right"),
        (("LOC", 1, 3), ("ORG", 1, 3), "wrong_type"),
        (("LOC", 1, 3), ("LOC", 1, 2), "wrong_boundary"),
        (("LOC", 1, 3), ("ORG", 2, 5), "boundary_and_type"),
    ],
)
def test_an_answer_is_of_one_kind(gold, predicted, kind):
    assert kinds([gold], [predicted]) == [kind]


def test_entities_that_only_touch_are_no_pair():
    assert kinds([("LOC", 1, 3)], [("LOC", 3, 4)]) == ["missed", "invented"]


def test_a_split_entity_is_answered_by_its_larger_part():
    found = pair_entities([("LOC", 0, 3)], [("ORG", 0, 1), ("LOC", 1, 3)])
    assert found == [Pair(None, ("ORG", 0, 1)), Pair(("LOC", 0, 3), ("LOC", 1, 3))]


def test_of_equal_parts_the_one_of_its_type_answers():
    found = pair_entities([("LOC", 0, 2)], [("ORG", 0, 1), ("LOC", 1, 2)])
    assert Pair(("LOC", 0, 2), ("LOC", 1, 2)) in found and Pair(None, ("ORG", 0, 1)) in found


def test_joined_entities_leave_one_missed():
    assert sorted(kinds([("PER", 0, 1), ("PER", 1, 2)], [("PER", 0, 2)])) == ["missed", "wrong_boundary"]


@pytest.mark.parametrize("strict", [True, False])
def test_every_entity_is_counted_once(strict):
    generator = Random(3)
    tags = [[[generator.choice(LABELS) for _ in range(9)] for _ in range(60)] for _ in range(2)]
    table = count_entities(*tags, strict=strict).table.sum(axis=0)  # (types, 3): right, predicted, gold
    pairs = [pair_entities(entity_spans(g, strict), entity_spans(p, strict)) for g, p in zip(*tags, strict=True)]
    sentences = [ScoredSentence(row, str(row), ["w"] * 9, found, {}) for row, found in enumerate(pairs)]
    matrix = confusion(sentences, ENTITY_TYPES)
    assert [sum(matrix[kind].values()) for kind in ENTITY_TYPES] == table[:, 2].tolist()
    assert [sum(row[kind] for row in matrix.values()) for kind in ENTITY_TYPES] == table[:, 1].tolist()
    counts = count_kinds(pair for found in pairs for pair in found)
    assert counts["gold"] == table[:, 2].sum() and counts["right"] == table[:, 0].sum()
    assert counts["gold"] == sum(counts[kind] for kind in ("right", *ERROR_KINDS)) - counts["invented"]
    assert all(counts[kind] for kind in ERROR_KINDS)


def test_a_sentence_has_its_errors_in_order():
    found = pair_entities([("PER", 0, 1), ("LOC", 4, 5)], [("PER", 0, 1), ("ORG", 2, 3)])
    sentence = ScoredSentence(0, "a", ["x"] * 5, found, {})
    assert [pair.kind for pair in sentence.errors] == ["invented", "missed"]
    assert [pair.type for pair in sentence.errors] == ["ORG", "LOC"]


@pytest.fixture
def noisy():
    """London has three types, LONDON one; Paris has two, but not in test; Rome is LOC everywhere."""
    train = split(
        ("a", "London/B-LOC is/O big/O"),
        ("b", "London/B-ORG wins/O Paris/B-LOC not/O"),
        ("c", "Paris/B-ORG and/O Rome/B-LOC LONDON/B-PER"),
    )
    return train, split(("d", "London/B-MISC and/O Rome/B-LOC"), ("e", "LONDON/B-PER London/B-MISC"))


def test_suspects_are_strings_of_several_types_that_test_has(noisy):
    (suspect,) = find_suspects(*noisy, sentences=[])
    assert suspect.text == "London" and suspect.total == 4
    assert suspect.counts() == {
        "MISC": {"train": 0, "test": 2},
        "LOC": {"train": 1, "test": 0},
        "ORG": {"train": 1, "test": 0},
    }
    assert suspect.places["MISC"] == {"train": [], "test": ["d", "e"]}


def test_errors_on_suspects_are_counted(noisy):
    sentences = [
        ScoredSentence(
            0, "d", ["London", "and", "Rome"], pair_entities([("MISC", 0, 1), ("LOC", 2, 3)], [("ORG", 0, 1)]), {}
        ),
        ScoredSentence(1, "e", ["LONDON", "London"], pair_entities([("MISC", 1, 2)], [("PER", 1, 2)]), {}),
    ]
    suspects = find_suspects(*noisy, sentences=sentences)
    described = describe_suspects(suspects, sentences)
    assert suspects[0].errors == 2
    assert described["errors_on_gold_entities"] == 3 and described["of_these_on_suspects"] == 2
    assert described["wrong_types"] == 2 and described["of_these_a_type_the_string_has_elsewhere"] == 1


def test_the_most_frequent_suspect_comes_first():
    train = split(("a", "Nice/B-LOC Nice/B-ORG Cork/B-LOC"), ("b", "Nice/B-LOC"))
    test = split(("c", "Cork/B-MISC Nice/B-LOC"))
    assert [suspect.text for suspect in find_suspects(train, test, [])] == ["Nice", "Cork"]
