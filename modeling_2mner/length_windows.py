"""Batches of sentences of similar length, from sentences in any order, with the answers in their order."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

WINDOW_BATCHES = 64
WINDOW_PIXELS = 64_000_000  # of the opened pictures of a window, three bytes each
PIECES_PER_SENTENCE = 512  # x sentences of a batch: the most pieces that a batch is padded to, unless one has more


class LengthWindows(Iterator[Any]):
    """Answers to sentences, which are sorted by length within windows of several batches.

    A batch is padded to its longest sentence: in windows of 64 batches, there is hardly anything to pad. A window ends
    early when its pictures take much memory, and so does a batch whose sentences are long. Only one window is
    held at a time, and its answers come when all of it is read.

    Args:
        items (`Iterable`): lists of prepared sentences, as a loader yields them.
        measure (`Callable`): the lengths of some sentences, and the pixels of their pictures, each under a key of its own.
        answer (`Callable`): the answers to a batch.
        batch_size (`int`): sentences of a batch at most.
        window_batches (`int`): batches of a window; with 1, sentences stay where they are.
        length (`int`, *optional*): number of sentences, if it is known.
        begin (`Callable`, *optional*): is told the sentences of a window before its first batch.
    """

    def __init__(
        self,
        items: Iterable[Sequence[Any]],
        measure: Callable[[Sequence[Any]], tuple[list[int], Mapping[Hashable, int]]],
        answer: Callable[[list[Any]], list[Any]],
        batch_size: int,
        window_batches: int,
        length: int | None = None,
        begin: Callable[[Sequence[Any]], None] | None = None,
    ) -> None:
        self._items, self._measure, self._answer, self._begin = items, measure, answer, begin
        self._batch_size, self._window_size = batch_size, batch_size * window_batches
        self._length = length
        self.complete = 0  # sentences of the windows that have been read: a place to continue from
        self._answers = self._read()

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("the number of sentences of a stream is not known.")
        return self._length

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._answers)

    def _read(self) -> Iterator[Any]:
        for window, lengths in self._windows():
            if self._begin is not None:
                self._begin(window)
            answers: list[Any] = [None] * len(window)
            for places in self._batches(lengths):
                found = self._answer([window[place] for place in places])
                for place, answer in zip(places, found, strict=True):
                    answers[place] = answer
            self.complete += len(window)
            yield from answers

    def _windows(self) -> Iterator[tuple[list[Any], list[int]]]:
        """Windows of sentences and their lengths; each of them consists of whole lists of `items`."""
        window: list[Any] = []
        lengths: list[int] = []
        pixels: dict[Hashable, int] = {}  # of the different pictures
        for items in self._items:
            own_lengths, own_pixels = self._measure(items)
            window += items
            lengths += own_lengths
            pixels |= own_pixels
            if len(window) >= self._window_size or sum(pixels.values()) >= WINDOW_PIXELS:
                yield window, lengths
                window, lengths, pixels = [], [], {}
        if window:
            yield window, lengths

    def _batches(self, lengths: list[int]) -> Iterator[list[int]]:
        """The places of the sentences of each batch, long ones first, which shows at once if memory suffices."""
        places = list(range(len(lengths)))
        if self._window_size > self._batch_size:
            places.sort(key=lambda place: -lengths[place])
        while places:
            longest = max(map(lengths.__getitem__, islice(places, self._batch_size)))
            count = max(1, min(self._batch_size, self._batch_size * PIECES_PER_SENTENCE // max(longest, 1)))
            yield places[:count]
            places = places[count:]


__all__ = ["WINDOW_BATCHES", "WINDOW_PIXELS", "LengthWindows"]
