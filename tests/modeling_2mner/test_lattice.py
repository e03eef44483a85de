"""The best sequences of a batch are those of each sentence alone, also where several are equally good."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from modeling_2mner import crf as crf_module
from modeling_2mner.crf import LinearChainCRF
from modeling_2mner.lattice import Parameters, list_viterbi
from modeling_2mner.posteriors import TagPosteriors

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
LENGTHS = [3, 0, 1, 4, 2, 4]


@pytest.fixture(params=[False, True], ids=["random", "ties"])
def problem(request) -> tuple[LinearChainCRF, Tensor, Tensor]:
    """A CRF, emissions and a mask, in whole numbers if many sequences are to be equally good."""
    torch.manual_seed(5)
    model = LinearChainCRF(len(LABELS), LABELS)
    emissions = 2 * torch.randn(len(LENGTHS), max(LENGTHS), len(LABELS), dtype=torch.float64)
    for parameter in model.parameters():
        parameter.data.normal_()
        if request.param:
            parameter.data.round_()
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return model, emissions.round() if request.param else emissions, mask


def search_one(scores: Tensor, start: Tensor, transitions: Tensor, end: Tensor, count: int) -> list[list[int]]:
    """The search in one sentence alone, (words, labels), as it was before sentences were searched together."""
    best, steps = (start + scores[0]).unsqueeze(1), []
    for score in scores[1:]:
        ways = (best.unsqueeze(2) + transitions.unsqueeze(1)).flatten(0, 1)
        values, origins = ways.topk(min(count, len(ways)), dim=0)
        steps.append((origins.T, best.shape[1]))
        best = values.T + score.unsqueeze(1)
    totals, places = (best + end.unsqueeze(1)).flatten().topk(min(count, best.numel()))
    places = places[totals > -torch.inf]
    path, ranks = [places // best.shape[1]], places % best.shape[1]
    for origins, num_ranks in reversed(steps):
        places = origins[path[-1], ranks]
        path.append(places // num_ranks)
        ranks = places % num_ranks
    return torch.stack(path[::-1], 1).tolist()


def parameters_of(model: LinearChainCRF, constrained: bool) -> Parameters:
    start, transitions, end = (
        parameter.detach().double()
        for parameter in (model.start_transitions, model.transitions, model.end_transitions)
    )
    if constrained:
        start = start.masked_fill(~torch.tensor(model.may_start), -torch.inf)
        transitions = transitions.masked_fill(~torch.tensor(model.may_follow), -torch.inf)
    return start, transitions, end


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_a_batch_has_the_sequences_of_each_sentence(problem, count, constrained):
    model, emissions, mask = problem
    found = model.best_paths_of(emissions, mask, count, constrained)
    for row, length in enumerate(LENGTHS):
        if not length:
            assert found[row] == [([], 1.0)]
            continue
        own = emissions[row, :length]
        expected = search_one(own, *parameters_of(model, constrained), count)
        assert [path for path, _ in found[row]] == expected and 0 < len(expected) <= count
        alone = model.best_paths(own, count, constrained)
        assert [path for path, _ in alone] == expected
        assert [share for _, share in found[row]] == pytest.approx([share for _, share in alone], abs=1e-12)


@pytest.mark.parametrize("constrained", [False, True])
def test_the_scores_are_those_of_all_sequences(problem, constrained):
    model, emissions, mask = problem
    start, transitions, end = parameters_of(model, constrained)
    totals, paths = list_viterbi(emissions.permute(1, 2, 0), mask.T, (start, transitions, end), 30)
    for row, length in enumerate(LENGTHS):
        scores = [
            start[path[0]]
            + sum(emissions[row, word, label] for word, label in enumerate(path))
            + sum(transitions[first, then] for first, then in pairwise(path))
            + end[path[-1]]
            for path in product(range(len(LABELS)), repeat=length)
            if path
        ]
        allowed = sorted((float(score) for score in scores if score > -torch.inf), reverse=True)[:30]
        assert totals[row][: len(allowed)].tolist() == pytest.approx(allowed) or not length
        assert len({tuple(path[:length]) for path in paths[row, : len(allowed)].tolist()}) == len(allowed)
        assert not length or (totals[row][len(allowed) :] == -torch.inf).all()


def test_groups_of_sentences_change_nothing(problem, monkeypatch):
    model, emissions, mask = problem
    expected = model.best_paths_of(emissions, mask, 4)
    sizes = []
    monkeypatch.setattr(crf_module, "LIST_CELLS", 2 * 4 * 5 * 4)
    monkeypatch.setattr(
        crf_module, "list_viterbi", lambda scores, *rest: sizes.append(scores.shape[2]) or list_viterbi(scores, *rest)
    )
    assert model.best_paths_of(emissions, mask, 4) == expected and sizes == [2, 2, 2]


def test_readings_of_many_sentences_take_one_search(problem, monkeypatch):
    model, emissions, mask = problem
    pictures = [[0], [1], [2], [3, 5], [4]]
    posteriors = TagPosteriors(emissions, mask, LABELS, model, True, pictures=pictures)
    alone = [posteriors.best_readings(place, 3) for place in range(len(pictures))]
    sizes = []
    monkeypatch.setattr(
        crf_module, "list_viterbi", lambda scores, *rest: sizes.append(scores.shape[2]) or list_viterbi(scores, *rest)
    )
    readings = posteriors.read(3)
    assert sizes == [4, 1]  # those with one picture and those with several
    for found, expected in zip(readings, alone, strict=True):
        assert [reading.tags for reading in found] == [[LABELS[tag] for tag in path] for path, _ in expected]
        assert [reading.score for reading in found] == pytest.approx([share for _, share in expected], abs=1e-12)
