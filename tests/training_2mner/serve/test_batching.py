from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from training_2mner.serve.batching import Batcher, Request, Unavailable, next_batch

SECONDS = 30  # until a hanging test fails


class Model:
    """Answers each item with a copy that tells the parameters; a call goes on only when `gate` is open."""

    def __init__(self):
        self.calls = []
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, items: list, parameters: dict) -> list:
        self.calls.append(items)
        self.entered.set()
        assert self.gate.wait(SECONDS)
        if "bad" in items:
            raise KeyError("no such thing")
        return [(item, *parameters.items()) for item in items if item != "lost"]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def make_batcher(model):
    """Start a batcher, and close it in the end."""
    started = []

    def build(**settings) -> Batcher:
        started.append(Batcher(model, **settings))
        return started[-1]

    yield build
    model.gate.set()
    for batcher in started:
        batcher.close()


def run_together(model: Model, batcher: Batcher, requests: list[tuple[list, dict]]) -> list:
    """Let requests queue up behind another one, and return their futures when the queue moves."""
    batcher.submit(["first"], {})
    assert model.entered.wait(SECONDS)
    futures = [batcher.submit(items, parameters) for items, parameters in requests]
    model.gate.set()
    return futures


def test_what_waits_is_answered_in_one_call(model, make_batcher):
    futures = run_together(model, make_batcher(), [(["a", "b"], {}), ([], {}), (["c"], {})])

    assert [future.result(SECONDS) for future in futures] == [[("a",), ("b",)], [], [("c",)]]
    assert model.calls == [["first"], ["a", "b", "c"]]


def test_only_equal_parameters_go_together(model, make_batcher):
    x, y = {"threshold": 0.5}, {"threshold": 0.6}
    futures = run_together(model, make_batcher(), [(["a"], x), (["b"], y), (["c"], x), (["d"], y)])

    answers = [future.result(SECONDS) for future in futures]
    assert answers == [[(item, *p.items())] for item, p in (("a", x), ("b", y), ("c", x), ("d", y))]
    assert model.calls[1:] == [["a", "c"], ["b", "d"]]


def test_a_batch_has_no_more_items_than_it_may(model, make_batcher):
    requests = [(["a"], {}), (["b", "c", "d"], {}), (["e"], {}), (["f"], {})]
    futures = run_together(model, make_batcher(max_batch=2), requests)

    for future, (items, _) in zip(futures, requests, strict=True):
        assert future.result(SECONDS) == [(item,) for item in items]
    assert model.calls[1:] == [["a", "e"], ["b", "c", "d"], ["f"]]


def test_a_request_waits_for_company(model, make_batcher):
    model.gate.set()
    batcher = make_batcher(max_wait=10 * SECONDS, max_batch=3)

    futures = [batcher.submit([item], {}) for item in "abc"]

    assert [future.result(SECONDS) for future in futures] == [[("a",)], [("b",)], [("c",)]]
    assert model.calls == [["a", "b", "c"]]


def test_a_request_does_not_wait_for_ever(model, make_batcher):
    model.gate.set()

    assert make_batcher(max_wait=0.01).submit(["a"], {}).result(SECONDS) == [("a",)]


def test_by_default_an_idle_model_answers_at_once(model, make_batcher, monkeypatch):
    batcher, waits = make_batcher(), []
    wait_for = batcher._changed.wait_for
    monkeypatch.setattr(
        batcher._changed, "wait_for", lambda *given, timeout=None: waits.append(timeout) or wait_for(*given, timeout)
    )
    model.gate.set()
    assert batcher.submit(["a"], {}).result(SECONDS) == [("a",)]
    assert [wait for wait in waits if wait is not None] == [0]


def test_a_bad_request_fails_alone(model, make_batcher):
    futures = run_together(model, make_batcher(), [(["a"], {}), (["b", "bad"], {}), (["c"], {})])

    assert futures[0].result(SECONDS) == [("a",)]
    assert futures[2].result(SECONDS) == [("c",)]
    with pytest.raises(KeyError, match="no such thing"):
        futures[1].result(SECONDS)
    assert model.calls[1:] == [["a", "b", "bad", "c"], ["a"], ["b", "bad"], ["c"]]


def test_a_missing_answer_is_noticed(model, make_batcher):
    good, bad = run_together(model, make_batcher(), [(["a"], {}), (["lost", "b"], {})])

    assert good.result(SECONDS) == [("a",)]
    with pytest.raises(RuntimeError, match="2 items got 1 answers"):
        bad.result(SECONDS)


def test_a_full_queue_takes_nothing_until_it_moves(model, make_batcher):
    batcher = make_batcher(max_queue=2)
    batcher.submit(["first"], {})
    assert model.entered.wait(SECONDS)
    futures = [batcher.submit([item], {}) for item in "ab"]

    with pytest.raises(Unavailable, match="2 requests are waiting"):
        batcher.submit(["c"], {})

    model.gate.set()
    assert [future.result(SECONDS) for future in futures] == [[("a",)], [("b",)]]
    assert batcher.submit(["c"], {}).result(SECONDS) == [("c",)]


def test_closing_answers_what_waits_and_takes_nothing_more(model, make_batcher):
    batcher = make_batcher(max_wait=10 * SECONDS)
    assert batcher.ready
    futures = [batcher.submit([item], {}) for item in "ab"]
    model.gate.set()

    batcher.close()

    assert [future.result(0) for future in futures] == [[("a",)], [("b",)]]
    assert not batcher.ready
    with pytest.raises(Unavailable, match="shutting down"):
        batcher.submit(["c"], {})


def test_a_cancelled_request_is_not_run(model, make_batcher):
    batcher = make_batcher()
    batcher.submit(["first"], {})
    assert model.entered.wait(SECONDS)
    cancelled, kept = batcher.submit(["a"], {}), batcher.submit(["b"], {})
    assert cancelled.cancel()
    model.gate.set()

    assert kept.result(SECONDS) == [("b",)]
    assert model.calls == [["first"], ["b"]]


def test_answers_do_not_cross(model, make_batcher):
    model.gate.set()
    batcher = make_batcher(max_wait=0.001, max_batch=7)

    def ask(number: int) -> bool:
        items, parameters = [f"{number}/{place}" for place in range(number % 4)], {"n_best": number % 3}
        return batcher.submit(items, parameters).result(SECONDS) == [(item, *parameters.items()) for item in items]

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(300)))


def test_what_is_of_like_length_goes_together(model, make_batcher):
    short, long = [letter * 2 for letter in "abcdef"], [letter * 40 for letter in "uvwxyz"]
    requests = [([item], {}) for pair in zip(short, long, strict=True) for item in pair]
    futures = run_together(model, make_batcher(measure=len), requests)

    assert [future.result(SECONDS) for future in futures] == [[(item,) for item in items] for items, _ in requests]
    assert model.calls[1:] == [short, long]


def test_a_few_of_other_lengths_are_not_worth_a_call_of_their_own(model, make_batcher):
    requests = [(["a" * length], {}) for length in (9, 40, 10)]
    run_together(model, make_batcher(measure=len), requests)[-1].result(SECONDS)

    assert [sorted(map(len, call)) for call in model.calls[1:]] == [[9, 10, 40]]


@pytest.mark.parametrize("max_batch", [1, 3, 32])
def test_nobody_waits_for_more_batches_than_requests_were_before(max_batch):
    generator = random.Random(5)
    waiting: list[Request] = []
    bound: dict[Request, int] = {}  # batches that a request may still wait for
    answered: list[Request] = []
    for _ in range(100):
        for _ in range(generator.randrange(6)):
            items, parameters = [""] * generator.randrange(1, 4), {"n_best": generator.randrange(2)}
            # The lengths of most are equal, so that others are always nearer than the rest.
            waiting.append(Request(items, parameters, generator.choice([10, 10, 10, 11, 90])))
            bound[waiting[-1]] = len(waiting)
        if not waiting:
            continue
        batch = next_batch(waiting, max_batch)
        assert all(request.parameters == batch[0].parameters for request in batch)
        assert len(batch) == 1 or sum(len(request.items) for request in batch) <= max_batch
        answered += batch
        waiting = [request for request in waiting if request not in batch]
        for request in waiting:
            bound[request] -= 1
            assert bound[request] > 0
    assert len(answered) + len(waiting) == len(bound) and len(answered) >= 80


def test_answers_go_to_their_requests_whatever_their_length(model, make_batcher):
    generator = random.Random(7)
    requests = [([f"{number} " * generator.randrange(1, 30)], {}) for number in range(100)]
    futures = run_together(model, make_batcher(measure=len, max_batch=9), requests)

    assert [future.result(SECONDS) for future in futures] == [[(item,) for item in items] for items, _ in requests]
    assert len(model.calls[1]) > 1 and sum(map(len, model.calls)) == 101


@pytest.mark.parametrize("setting", [{"max_batch": 0}, {"max_wait": -1}, {"max_queue": 0}])
def test_too_small_numbers_are_an_error(model, make_batcher, setting):
    with pytest.raises(ValueError, match=f"`{next(iter(setting))}` must be at least"):
        make_batcher(**setting)
