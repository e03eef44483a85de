from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from training_2mner.calibrate.reliability import Bin, Reliability, draw_reliability, equal_mass_bins, measure
from training_2mner.calibrate.temperature import ReadSentences


def reliability(scores: list[float], right: list[bool], count: int = 15) -> Reliability:
    return Reliability(1.0, equal_mass_bins(scores, right, count), loss=0.0, f1=0.0)


def test_the_error_is_that_computed_by_hand():
    found = reliability([0.9, 0.2, 0.6, 0.7], [True, False, True, False], count=2)
    # 0.2 wrong and 0.6 right; 0.7 wrong and 0.9 right
    assert [(one.count, one.score, one.right) for one in found.bins] == [
        (2, pytest.approx(0.4), 0.5),
        (2, pytest.approx(0.8), 0.5),
    ]
    assert found.error == pytest.approx((0.1 + 0.3) / 2)
    assert (found.count, found.score, found.right) == (4, pytest.approx(0.6), 0.5)


def test_bins_weigh_as_much_as_they_hold():
    found = reliability([0.1, 0.2, 0.6], [True, False, True], count=2)
    assert [one.count for one in found.bins] == [2, 1]
    assert found.error == pytest.approx(2 / 3 * abs(0.5 - 0.15) + 1 / 3 * 0.4)


def test_fifteen_bins_of_equal_mass():
    scores = np.random.default_rng(0).permutation(47) / 47
    bins = equal_mass_bins(scores, scores > 0.5)
    assert len(bins) == 15 and sum(one.count for one in bins) == 47
    assert {one.count for one in bins} == {3, 4}
    assert [one.score for one in bins] == sorted(one.score for one in bins)


def test_perfect_scores_have_no_error_and_few_or_no_entities_are_no_fault():
    assert reliability([1.0] * 20, [True] * 20).error == 0
    assert reliability([0.75, 0.5], [True, False]).error == pytest.approx((0.25 + 0.5) / 2)
    empty = reliability([], [])
    assert empty.count == 0 and all(math.isnan(value) for value in (empty.error, empty.score, empty.right))


def test_an_entity_is_right_with_its_words_and_its_type(make_model):
    """Each word is decided alone by this model, so that the score of a span is a product of shares known by hand."""
    model = make_model(use_crf=False)
    tags = {"O": 0, "B-PER": 1, "I-PER": 2}

    def emit(*words: dict[str, float]) -> torch.Tensor:
        rows = torch.full((len(words), 9), -200.0)
        for row, shares in zip(rows, words, strict=True):
            for tag, share in shares.items():
                row[tags[tag]] = math.log(share)
        return rows

    person = emit({"B-PER": 0.8, "O": 0.2}, {"I-PER": 0.6, "O": 0.4})
    single = emit({"B-PER": 0.8, "O": 0.2})
    gold = [["B-PER", "I-PER"], ["B-PER", "O"], ["B-LOC", "I-LOC"], ["B-PER"], ["O"]]
    found = measure(model, ReadSentences([person, person, person, single, single], gold), 1.0)
    assert [one.right for one in found.bins] == [1, 0, 0, 1, 0]
    assert [one.score for one in found.bins] == pytest.approx([0.48] * 3 + [0.8] * 2)
    assert found.error == pytest.approx((0.52 + 0.48 + 0.48 + 0.2 + 0.8) / 5)
    assert found.f1 == pytest.approx(2 * 2 / (5 + 4))
    # The first, fourth and fifth sentence alone: -log 0.48, -log 0.8 and -log 0.2.
    known = ReadSentences([person, single, single], [gold[0], gold[3], gold[4]])
    losses = [-math.log(share) for share in (0.48, 0.8, 0.2)]
    assert measure(model, known, 1.0).loss == pytest.approx(sum(losses) / 3)
    softer = measure(model, known, 2.0)  # shares grow with their square roots
    first = math.sqrt(0.8) / (math.sqrt(0.8) + math.sqrt(0.2))
    assert softer.bins[-1].score == pytest.approx(first) and softer.f1 == measure(model, known, 1.0).f1


def test_the_diagram_is_drawn_also_without_entities(tmp_path):
    some = Reliability(1.0, [Bin(3, 0.4, 0.5), Bin(2, 0.9, 0.8)], 0.5, 0.7)
    none = Reliability(2.0, [], 0.5, 0.0)
    for name, pair in {"some": (some, some), "none": (none, none)}.items():
        draw_reliability(*pair, "validation", tmp_path / f"{name}.png")
    sizes = {Image.open(tmp_path / f"{name}.png").size for name in ("some", "none")}
    assert sizes == {(1400, 720)}
    assert (tmp_path / "some.png").read_bytes() != (tmp_path / "none.png").read_bytes()
