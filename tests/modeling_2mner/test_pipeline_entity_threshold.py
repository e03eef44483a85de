"""Entities chosen by their posteriors through the pipeline."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from modeling_2mner import TwoMNERPipeline

TEXT = "Das Louvre-Museum ist in Paris, nicht Köln!"
LONG = "Anna Meier besucht das Museum in Paris und São Paulo , danach Köln und den Louvre in Paris ."


def test_an_entity_threshold_chooses_those_with_the_highest_expected_score(pipe, make_picture):
    images, differs = (None, make_picture(0), [make_picture(0), None]), []
    for image in images:
        for threshold in (0.01, 0.1, 0.3, 0.9):
            found = pipe(LONG, image, entity_threshold=threshold, return_word_tags=True)
            entities = found["entities"]
            assert all(entity["score"] > threshold for entity in entities)
            assert all(first["end"] <= second["start"] for first, second in pairwise(entities))
            begins = [word["start"] for word in found["words"] if word["tag"].startswith("B-")]
            assert begins == [entity["start"] for entity in entities]
            differs.append(entities != pipe(LONG, image))
        assert pipe(LONG, image, entity_threshold=1) == []
    assert any(differs)
    together = pipe([LONG, TEXT], entity_threshold=0.1, batch_size=2)
    alone = [pipe(LONG, entity_threshold=0.1), pipe(TEXT, entity_threshold=0.1)]
    for first, second in zip(together, alone, strict=True):
        assert [entity["word"] for entity in first] == [entity["word"] for entity in second]
        assert [entity["score"] for entity in first] == pytest.approx([entity["score"] for entity in second], abs=1e-5)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"entity_threshold": 0}, "`entity_threshold` must be a probability from 0.01 to 1, got 0"),
        ({"entity_threshold": 10**400}, "`entity_threshold` must be a probability from 0.01 to 1, got 1000"),
        ({"threshold": 10**400}, "`threshold` must be a probability"),
        ({"entity_threshold": float("nan")}, "`entity_threshold` must be a probability"),
        ({"entity_threshold": True}, "`entity_threshold` must be a probability from 0.01 to 1, got True"),
        ({"entity_threshold": 0.4, "n_best": 2}, "`n_best` counts tag sequences"),
    ],
)
def test_other_thresholds_are_refused(pipe, parameters, message):
    with pytest.raises(ValueError, match=message):
        pipe(TEXT, **parameters)


def test_any_kind_of_number_is_a_threshold(pipe):
    assert pipe(TEXT, entity_threshold=Fraction(1, 4)) == pipe(TEXT, entity_threshold=0.25)


def test_a_threshold_of_the_pipeline_and_a_count_of_the_call_are_refused(model, processor):
    for given, asked in (({"entity_threshold": 0.4}, {"n_best": 2}), ({"n_best": 2}, {"entity_threshold": 0.4})):
        own = TwoMNERPipeline(model=model, processor=processor, device="cpu", **given)
        with pytest.raises(ValueError, match="`n_best` counts tag sequences"):
            own(TEXT, **asked)
