from __future__ import annotations

import itertools

import numpy as np
import pytest

from experiments.bootstrap import PairedComparison, compare_drawn, compare_systems, draw_samples, interval
from experiments.counts import EntityCounts, count_entities, scores


def one_type(right: list[int], predicted: list[int], gold: list[int]) -> EntityCounts:
    return EntityCounts(np.stack([right, predicted, gold], axis=1)[:, None, :], ("PER",))


@pytest.fixture(scope="module")
def small() -> tuple[EntityCounts, EntityCounts, list[int]]:
    """Six sentences with four pictures, and two systems."""
    first = one_type([1, 0, 2, 1, 0, 1], [1, 1, 2, 2, 1, 1], [1, 1, 2, 1, 1, 2])
    second = one_type([0, 0, 1, 1, 0, 1], [1, 0, 2, 1, 2, 1], [1, 1, 2, 1, 1, 2])
    return first, second, [7, 7, 3, 9, 9, 1]


def brute_force(systems: list[EntityCounts], pictures: list[int]) -> list[np.ndarray]:
    """F1 over every ordered draw of pictures, computed sentence by sentence."""
    names = sorted(set(pictures))
    values: list[list[float]] = [[] for _ in systems]
    for drawn in itertools.product(names, repeat=len(names)):
        rows = [row for name in drawn for row, picture in enumerate(pictures) if picture == name]
        for result, system in zip(values, systems, strict=True):
            right, predicted, gold = (sum(int(system.table[row, 0, column]) for row in rows) for column in range(3))
            result.append(2 * right / (predicted + gold))
    return [np.array(result) for result in values]


def test_the_distribution_is_that_of_all_draws(small):
    first, second, pictures = small
    exact = brute_force([first, second], pictures)  # 4^4 equally likely draws
    drawn = [system.scores("f1") for system in draw_samples([first, second], pictures, samples=40_000, seed=1)]
    for expected, found in zip(exact, drawn, strict=True):
        assert found.mean() == pytest.approx(expected.mean(), abs=5e-3)
        assert found.std() == pytest.approx(expected.std(), abs=5e-3)
        assert set(np.round(found, 9)) <= set(np.round(expected, 9))
    assert (drawn[0] - drawn[1]).std() == pytest.approx((exact[0] - exact[1]).std(), abs=5e-3)


def test_interval_and_p_value_are_those_of_all_draws(small):
    first, second, pictures = small
    ours, theirs = brute_force([first, second], pictures)
    low, high = interval(first, pictures, samples=40_000)
    assert low == pytest.approx(np.quantile(ours, 0.025), abs=0.02)
    assert high == pytest.approx(np.quantile(ours, 0.975), abs=0.02)
    found = compare_systems(first, second, pictures, samples=40_000)
    observed = 2 * 5 / 16 - 2 * 3 / 15
    assert found.difference == pytest.approx(observed)
    expected = (np.abs(ours - theirs - observed) >= observed - 1e-12).mean()
    assert found.p_value == pytest.approx(expected, abs=0.02)


def test_sentences_of_one_picture_are_drawn_together():
    counts = one_type([1, 0], [1, 1], [1, 1])
    together = draw_samples([counts], [5, 5], 500, 0)[0].scores("f1")
    apart = draw_samples([counts], [5, 6], 500, 0)[0].scores("f1")
    assert set(together) == {0.5} and set(apart) == {0.0, 0.5, 1.0}


def test_translations_widen_the_interval():
    generator = np.random.default_rng(0)
    right = np.repeat(generator.integers(0, 2, 200), 4)  # four translations, all right or all wrong
    counts = one_type(right.tolist(), [1] * 800, [1] * 800)
    pictures = np.repeat(np.arange(200), 4)
    by_picture, by_sentence = interval(counts, pictures), interval(counts, np.arange(800))
    assert by_picture[1] - by_picture[0] > 1.7 * (by_sentence[1] - by_sentence[0])


def test_equal_systems_do_not_differ(small):
    first, _, pictures = small
    found = compare_systems(first, first, pictures)
    assert (found.difference, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert not found.is_significant


def test_a_clear_difference_is_significant():
    gold = [["B-PER"] * 3] * 100
    good, bad = count_entities(gold, gold), count_entities(gold, [["B-PER", "O", "O"]] * 100)
    found = compare_systems(good, bad, range(100))
    assert found.is_significant and found.difference == pytest.approx(0.5) and found.low > 0


def test_the_direction_is_that_of_the_arguments(small):
    first, second, pictures = small
    there, back = compare_systems(first, second, pictures), compare_systems(second, first, pictures)
    assert there.difference == -back.difference and there.p_value == pytest.approx(back.p_value)
    assert there.low == pytest.approx(-back.high)


def test_many_draws_do_not_change_with_their_packing(small, monkeypatch):
    first, _, pictures = small
    expected = draw_samples([first], pictures, 3000, 4)[0].scores("f1")
    monkeypatch.setattr("experiments.bootstrap.MOST_AT_ONCE", 4 * 100)
    assert np.array_equal(draw_samples([first], pictures, 3000, 4)[0].scores("f1"), expected)


def test_other_sentences_are_an_error(small):
    first, _, _ = small
    with pytest.raises(ValueError, match=r"scored on 6 sentences, but `pictures` has 2"):
        interval(first, [1, 2])


@pytest.fixture(scope="module")
def two_types() -> tuple[EntityCounts, EntityCounts, list[int]]:
    """Five sentences with three pictures and two types, and two systems."""
    generator = np.random.default_rng(3)
    gold = generator.integers(1, 4, (5, 2))
    tables = [np.stack([(gold - missed).clip(0), gold + wrong, gold], axis=2) for missed, wrong in ((1, 0), (2, 1))]
    first, second = (EntityCounts(table, ("PER", "LOC")) for table in tables)
    return first, second, [4, 4, 0, 8, 8]


def every_draw(system: EntityCounts, pictures: list[int], column: str) -> np.ndarray:
    """A score over every ordered draw of pictures, by the function that scores whole test sets."""
    names = sorted(set(pictures))
    draws = itertools.product(names, repeat=len(names))
    rows = [[row for name in names for row, picture in enumerate(pictures) if picture == name] for names in draws]
    return np.array([score(system.select(np.array(chosen)), column) for chosen in rows])


def score(counts: EntityCounts, column: str) -> float:
    return scores(counts)[column]


@pytest.mark.parametrize("column", ["precision", "recall", "f1", "f1_PER", "f1_LOC"])
def test_every_score_is_compared_as_over_all_draws(two_types, column):
    first, second, pictures = two_types
    ours, theirs = (every_draw(system, pictures, column) for system in (first, second))  # 3^3 equally likely draws
    found = compare_systems(first, second, pictures, samples=20_000, column=column)
    observed = score(first, column) - score(second, column)
    assert found.difference == pytest.approx(observed)
    expected = (np.abs(ours - theirs - observed) >= abs(observed) - 1e-12).mean()
    assert found.p_value == pytest.approx(expected, abs=0.02)
    drawn = draw_samples([first], pictures, 20_000)[0].scores(column)
    assert drawn.mean() == pytest.approx(ours.mean(), abs=5e-3)
    assert set(np.round(drawn, 9)) <= set(np.round(ours, 9))


def test_types_are_compared_apart():
    gold = [["B-PER", "B-LOC"]] * 60
    found = draw_samples([count_entities(gold, gold), count_entities(gold, [["B-PER", "O"]] * 60)], range(60))
    assert not compare_drawn(*found, "f1_PER").is_significant and not compare_drawn(*found, "precision").is_significant
    assert all(compare_drawn(*found, column).is_significant for column in ("f1_LOC", "recall", "f1"))


def test_several_seeds_of_one_system_do_not_change_its_interval(two_types):
    first, _, pictures = two_types
    assert interval(EntityCounts(3 * first.table, first.types), pictures) == pytest.approx(interval(first, pictures))


def test_an_unknown_score_is_an_error(small):
    first, _, pictures = small
    with pytest.raises(ValueError, match="f1_LOC"):
        interval(first, pictures, column="f1_LOC")


@pytest.mark.parametrize(
    ("p_value", "text"), [(0.0005, "< 0.001"), (0.001, "0.001"), (0.0296, "0.030"), (1.0, "1.000")]
)
def test_no_p_value_is_shown_as_zero(p_value, text):
    assert PairedComparison(0.0, -0.1, 0.1, p_value).p_text == text
