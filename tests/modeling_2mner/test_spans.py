from __future__ import annotations

import pytest

from modeling_2mner.spans import Span, entity_spans


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
