"""Answer several callers with one model: requests that arrive close together are batched in one thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from modeling_2mner.handler import SHORTER, WORTH_A_CALL

logger = logging.getLogger(__name__)


class Unavailable(RuntimeError):
    """Raised for a request that is refused because the queue is full or the batcher is closing."""


@dataclass(eq=False)
class Request:
    """Items that belong together, and the length of the longest."""

    items: list
    parameters: dict
    length: int = 0
    future: Future = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)


class Batcher:
    """A thread that answers requests, batching those with equal parameters.

    The request that has waited longest is always in the next batch, with those of the nearest lengths, so that little is
    padded: a request waits for at most as many batches as requests were waiting when it came. If a batch fails, its
    requests are tried one by one, so that only the bad one fails.

    Args:
        answer (`Callable`): `answer(items, parameters)` returns one answer per item; it is never called concurrently.
        max_batch (`int`): maximum items per call; a request with more items gets its own call.
        max_wait (`float`): seconds that a request waits for others even if the model is idle. Without waiting, those
            that arrive while it works form the next batch.
        max_queue (`int`): maximum number of waiting requests.
        measure (`Callable`, *optional*): the length of an item, which batches are padded to; by default all are equal.

    Raises:
        ValueError: for a number that is too small.
    """

    def __init__(
        self,
        answer: Callable[[list, dict], list],
        max_batch: int = 32,
        max_wait: float = 0.0,
        max_queue: int = 256,
        measure: Callable[[Any], int] = lambda item: 0,
    ):
        for name, value, least in (
            ("max_batch", max_batch, 1),
            ("max_wait", max_wait, 0),
            ("max_queue", max_queue, 1),
        ):
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}, got {value}.")
        self._answer = answer
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._measure = measure
        self._waiting: deque[Request] = deque()
        self._changed = threading.Condition()
        self._closing = False
        # A daemon, so that Python does not wait for it when the server is killed.
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether it accepts requests and answers them."""
        return self._thread.is_alive() and not self._closing

    def submit(self, items: list, parameters: dict) -> Future:
        """Queue a request; its future gets the list of answers, or the exception that `answer` raised for it.

        Raises:
            Unavailable: if the queue is full, or after `close`.
        """
        request = Request(items, parameters, max(map(self._measure, items), default=0))
        with self._changed:
            if self._closing:
                raise Unavailable("the server is shutting down.")
            if len(self._waiting) >= self._max_queue:
                raise Unavailable(f"{self._max_queue} requests are waiting already; try again later.")
            self._waiting.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Refuse further requests and return when the waiting ones have been answered."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._settle([request for request in batch if request.future.set_running_or_notify_cancel()])

    def _next_batch(self) -> list[Request]:
        """Wait for requests and take those that fit in one batch; empty if closing and none are waiting."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return []
            seconds = self._waiting[0].arrived + self._max_wait - time.monotonic()
            self._changed.wait_for(lambda: self._closing or self._is_full(), timeout=max(seconds, 0))
            batch = next_batch(self._waiting, self._max_batch)
            for request in batch:
                self._waiting.remove(request)
            return batch

    def _is_full(self) -> bool:
        first = self._waiting[0].parameters
        return sum(len(request.items) for request in self._waiting if request.parameters == first) >= self._max_batch

    def _settle(self, batch: list[Request]) -> None:
        try:
            answers = self._call(batch)
        except Exception as error:  # any error belongs to the caller; this thread must survive
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            logger.info("A batch of %d requests failed (%s); trying them one by one.", len(batch), error)
            for request in batch:
                self._settle([request])
        else:
            for request, own in zip(batch, answers, strict=True):
                request.future.set_result(own)

    def _call(self, batch: list[Request]) -> list[list]:
        """Answer all requests of a batch at once; returns the answers of each."""
        if not batch:
            return []
        items = [item for request in batch for item in request.items]
        answers = self._answer(items, batch[0].parameters)
        if len(answers) != len(items):
            raise RuntimeError(f"{len(items)} items got {len(answers)} answers.")
        remaining = iter(answers)
        return [list(islice(remaining, len(request.items))) for request in batch]


def next_batch(waiting: Iterable[Request], max_batch: int) -> list[Request]:
    """The first of the waiting requests, and those with its parameters and the nearest lengths that fit into its batch.

    What is so much longer or shorter that the padding would cost more than another call, waits for others like it.

    Args:
        waiting: requests in the order of their arrival, at least one.
        max_batch: items of a batch at most, unless the first request has more.
    """
    first, *others = waiting
    batch, size = [first], len(first.items)
    shortest = longest = first.length
    same = [request for request in others if request.parameters == first.parameters]
    for request in sorted(same, key=lambda request: abs(request.length - first.length)):  # equal ones stay in order
        shortest, longest = min(shortest, request.length), max(longest, request.length)
        if size >= WORTH_A_CALL and shortest < SHORTER * longest:
            break
        if size + len(request.items) <= max_batch:
            batch.append(request)
            size += len(request.items)
    return batch
