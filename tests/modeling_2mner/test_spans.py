from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from modeling_2mner.spans import Span, choose_entities, entity_spans, spans_to_tags


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("", []),
        ("O O", []),
        ("B-PER", [("PER", 0, 1)]),
        ("O B-PER I-PER O", [("PER", 1, 3)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("B-PROD I-PROD", [("PROD", 0, 2)]),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_valid_tags_are_read_alike(tags, spans, strict):
    assert entity_spans(tags.split(), strict) == spans


@pytest.mark.parametrize(
    ("tags", "lenient", "strict"),
    [
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)], [("PER", 0, 1)]),
        ("I-PER I-PER O I-PER", [("PER", 0, 2), ("PER", 3, 4)], []),
        ("I-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)], [("PER", 1, 2)]),
        ("B-a-b I-a-b I-b", [("a-b", 0, 2), ("b", 2, 3)], [("a-b", 0, 2)]),
    ],
)
def test_a_stray_inner_tag_opens_an_entity_only_leniently(tags, lenient, strict):
    assert entity_spans(tags.split(), strict=False) == lenient
    assert entity_spans(tags.split(), strict=True) == strict


def test_the_parts_of_a_span_have_names():
    (span,) = entity_spans(["O", "B-PER"], strict=True)
    assert span == Span(type="PER", start=1, end=2)


@pytest.mark.parametrize("tags", ["", "O O", "O B-PER I-PER O B-PER", "B-PER B-PER I-PER B-LOC I-LOC"])
def test_spans_become_the_tags_that_they_came_from(tags):
    names = tags.split()
    assert spans_to_tags(entity_spans(names, strict=True), len(names)) == names


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.4, 0.6])
@pytest.mark.parametrize("seed", range(8))
def test_the_chosen_entities_have_the_highest_sum_of_all_that_do_not_overlap(seed, threshold):
    generator = random.Random(seed)
    places = [Span(kind, *ends) for kind in ("LOC", "PER") for ends in combinations(range(6), 2)]
    posteriors = {span: generator.random() for span in generator.sample(places, 9)}
    sums = {}
    for count in range(7):
        for some in combinations(sorted(posteriors, key=lambda span: span.start), count):
            if all(first.end <= second.start for first, second in pairwise(some)):
                sums[some] = sum(posteriors[span] - threshold for span in some)
    chosen = choose_entities(posteriors, threshold)
    assert sum(posteriors[span] - threshold for span in chosen) == pytest.approx(max(sums.values()))
    assert tuple(chosen) in sums
    assert all(posteriors[span] > threshold for span in chosen)


def test_nothing_is_chosen_from_nothing():
    assert choose_entities({}, 0.4) == []
    assert choose_entities({Span("PER", 0, 1): 0.4}, 0.4) == []


def test_two_sure_names_are_chosen_before_a_long_one_that_is_surer_than_each():
    posteriors = {Span("ORG", 0, 3): 0.5, Span("LOC", 0, 1): 0.45, Span("PER", 1, 3): 0.48}
    assert choose_entities(posteriors, 0.3) == [("LOC", 0, 1), ("PER", 1, 3)]
    assert choose_entities(posteriors, 0.44) == [("ORG", 0, 3)]


def test_of_equal_choices_the_one_with_fewer_entities_is_taken_whatever_the_order():
    one, other = (Span("LOC", 0, 1), 0.5), (Span("PER", 0, 1), 0.5)
    assert choose_entities(dict([one, other]), 0.25) == choose_entities(dict([other, one]), 0.25) == [one[0]]
    long, parts = (Span("ORG", 0, 2), 0.75), ((Span("LOC", 0, 1), 0.5), (Span("PER", 1, 2), 0.5))
    assert choose_entities(dict([long, *parts]), 0.25) == choose_entities(dict([*parts, long]), 0.25)
