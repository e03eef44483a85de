"""The ratios of padding by hand, and batches that hold each sentence once."""

from __future__ import annotations

import pytest

from benchmarks import padding


def test_cells_are_divided_by_what_is_in_them(processor):
    sentences = [["in"] * 3, ["in"], ["Anna"]]  # 3, 1 and 4 sub-words, and two more in each window
    assert padding.padding(processor, sentences, [[0, 1], [2]]) == pytest.approx((10 + 6) / (5 + 3 + 6))
    with pytest.raises(ValueError, match="hold 1 of 3"):
        padding.padding(processor, sentences, [[0]])


@pytest.mark.parametrize("name", ["training", "evaluation", "prediction", "server"])
def test_batches_hold_each_sentence_once_and_pad_little(processor, name):
    sentences = [["in"] * (1 + 7 * number % 50) for number in range(60)]
    lengths = processor.piece_lengths(sentences)
    batches = list(padding.grouped(name, lengths, 16))
    assert sorted(row for batch in batches for row in batch) == list(range(60))
    given = padding.padding(processor, sentences, padding.given(name, 60, 16))
    assert padding.padding(processor, sentences, batches) < 1 + 0.6 * (given - 1)
