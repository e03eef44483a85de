from __future__ import annotations

import itertools
import random

import pytest

from modeling_2mner import length_windows
from modeling_2mner.length_windows import LengthWindows


class Sentences:
    """Lists of sentences, which are numbers of pieces, and what was read of them and answered."""

    def __init__(self, lengths: list[int], batch_size: int, pixels: int = 0) -> None:
        self.lengths, self.batch_size, self.pixels = lengths, batch_size, pixels
        self.read = self.measured = 0
        self.batches: list[list[int]] = []

    def __iter__(self):
        for start in range(0, len(self.lengths), self.batch_size):
            self.read += 1
            yield self.lengths[start : start + self.batch_size]

    def measure(self, items):
        self.measured += len(items)
        return list(items), {self.measured - number: self.pixels for number in range(len(items))}

    def answer(self, batch):
        self.batches.append(batch)
        return [f"answer to {item}" for item in batch]

    def windows(self, window_batches: int) -> LengthWindows:
        return LengthWindows(self, self.measure, self.answer, self.batch_size, window_batches, len(self.lengths))


def padding(batches: list[list[int]]) -> float:
    return sum(len(batch) * max(batch) for batch in batches) / sum(map(sum, batches))


@pytest.fixture
def lengths() -> list[int]:
    chance = random.Random(3)
    return [chance.randrange(1, 80) for _ in range(1000)]


@pytest.mark.parametrize("window_batches", [1, 4, 64])
def test_answers_come_in_the_order_of_the_sentences(lengths, window_batches):
    sentences = Sentences(lengths, 16)
    assert list(sentences.windows(window_batches)) == [f"answer to {length}" for length in lengths]
    assert sorted(itertools.chain(*sentences.batches)) == sorted(lengths)


def test_there_is_hardly_anything_to_pad(lengths):
    alone, together = Sentences(lengths, 16), Sentences(lengths, 16)
    list(alone.windows(1))
    list(together.windows(64))
    assert padding(alone.batches) > 1.7 and padding(together.batches) < 1.05


def test_without_sorting_batches_are_as_they_came(lengths):
    sentences = Sentences(lengths, 16)
    list(sentences.windows(1))
    assert sentences.batches == list(sentences)


def test_one_window_is_held_at_a_time(lengths):
    sentences = Sentences(lengths, 16)
    answers = sentences.windows(4)
    for number in range(1, 200):
        next(answers)
        assert sentences.read == 4 * ((number - 1) // 64 + 1) and answers.complete == 16 * sentences.read


def test_pictures_end_a_window_early(lengths):
    sentences = Sentences(lengths, 16, pixels=length_windows.WINDOW_PIXELS // 32)
    answers = sentences.windows(64)
    next(answers)
    assert sentences.read == 2 and answers.complete == 32


def test_equal_pictures_count_once(lengths):
    sentences = Sentences(lengths, 16)
    pixels = length_windows.WINDOW_PIXELS // 2

    def measure(items):
        sentences.measured += len(items)
        return list(items), {"the same": pixels, "another": sentences.measured // 320 * pixels}

    next(LengthWindows(sentences, measure, sentences.answer, 16, 64, len(lengths)))
    assert sentences.read == 20


def test_a_window_is_announced_before_its_first_batch(lengths):
    sentences, told = Sentences(lengths, 16), []

    def announce(window):
        told.append((list(window), len(sentences.batches)))

    list(LengthWindows(sentences, sentences.measure, sentences.answer, 16, 4, len(lengths), announce))
    assert [item for window, _ in told for item in window] == lengths
    assert [answered for _, answered in told] == list(range(0, 64, 4))


def test_a_batch_of_long_sentences_is_smaller():
    sentences = Sentences([1] * 20 + [4096, 100_000, 1024, 1024], 8)
    list(sentences.windows(64))
    assert sentences.batches[:3] == [[100_000], [4096], [1024, 1024, *[1] * 2]]


def test_a_stream_has_no_length():
    with pytest.raises(TypeError, match="not known"):
        len(LengthWindows([], len, list, 2, 1))
