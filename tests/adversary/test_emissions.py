"""Emissions of any size, sound or not: what comes out is valid IOB2 and, where all is finite, the best sequence."""

from __future__ import annotations

import itertools
import random

import pytest
import torch

from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.posteriors import TagPosteriors
from tests.adversary.promises import chance_for, promise

pytestmark = pytest.mark.slow

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BAD = (float("inf"), float("-inf"), float("nan"))


@pytest.fixture(scope="module")
def crf() -> LinearChainCRF:
    torch.manual_seed(19)
    return LinearChainCRF(len(LABELS), LABELS).requires_grad_(False)


def is_valid(crf: LinearChainCRF, path: list[int]) -> bool:
    return (not path or crf.may_start[path[0]]) and all(crf.may_follow[a][b] for a, b in itertools.pairwise(path))


def draw(chance: random.Random, words: int) -> torch.Tensor:
    """Emissions `(1, words, labels)` of a size from tiny to the greatest that float32 holds."""
    scale = 10 ** chance.uniform(-6, 37)
    return torch.tensor([[[chance.uniform(-1, 1) * scale for _ in LABELS] for _ in range(words)]])


def score(crf: LinearChainCRF, emissions: torch.Tensor, path: list[int]) -> float:
    """The score of a sequence by Eq. 15, in Python's floats."""
    start, moves, end = (part.tolist() for part in (crf.start_transitions, crf.transitions, crf.end_transitions))
    scores = emissions[0].tolist()
    moved = sum(moves[a][b] for a, b in itertools.pairwise(path))
    return start[path[0]] + sum(scores[place][label] for place, label in enumerate(path)) + moved + end[path[-1]]


def best_by_hand(crf: LinearChainCRF, emissions: torch.Tensor) -> float:
    """The best score of all valid sequences."""
    paths = map(list, itertools.product(range(len(LABELS)), repeat=emissions.shape[1]))
    return max(score(crf, emissions, path) for path in paths if is_valid(crf, path))


def test_finite_emissions(crf):
    chance = chance_for("finite emissions")

    def decode(emissions: torch.Tensor) -> None:
        mask = torch.ones(emissions.shape[:2], dtype=torch.bool)
        [path] = crf.viterbi(emissions, mask).tolist()
        assert is_valid(crf, path)
        assert score(crf, emissions, path) == pytest.approx(best_by_hand(crf, emissions), rel=1e-6, abs=1e-6)
        marginals = crf.marginals(emissions, mask, constrained=True)
        assert (marginals.sum(-1) - 1).abs().max() < 1e-5
        readings = crf.best_paths(emissions[0], 3)
        assert all(is_valid(crf, reading) for reading, _ in readings) and len(readings) >= 1

    with promise("Viterbi finds the best valid IOB2 sequence of emissions of any finite size") as held:
        for _ in range(400):
            held.check(decode, draw(chance, chance.randrange(1, 5)))


def test_emissions_that_are_not_finite(crf):
    chance = chance_for("other emissions")

    def decode(emissions: torch.Tensor, rows: list[int]) -> None:
        mask = torch.ones(emissions.shape[:2], dtype=torch.bool)
        try:
            paths = crf.viterbi(emissions, mask).tolist()
        except ValueError:
            paths = []
        for row, path in enumerate(paths):
            assert -100 in path or is_valid(crf, path)
            if row not in rows:
                assert path == crf.viterbi(emissions[row : row + 1], mask[:1]).tolist()[0]
        for row in rows:
            try:
                one = TagPosteriors(emissions[row : row + 1], mask[:1], LABELS, crf, constrained=True)
                readings = one.best_readings(0, 1)
            except ValueError as error:
                assert "finite" in str(error)
            else:
                assert readings and is_valid(crf, readings[0][0])

    with promise(
        "No invalid IOB2 comes of emissions that are not finite, and sentences beside them are as alone"
    ) as held:
        for _ in range(600):
            emissions = torch.cat([draw(chance, 4).clamp(-1e6, 1e6) for _ in range(3)])
            rows = chance.sample(range(3), chance.randrange(1, 3))
            for row in rows:
                emissions[row, chance.randrange(4), chance.randrange(len(LABELS))] = chance.choice(BAD)
            held.check(decode, emissions, sorted(rows))
