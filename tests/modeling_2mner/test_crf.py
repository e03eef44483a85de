from __future__ import annotations

import importlib.util
import sys
from itertools import combinations, pairwise, product
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchcrf import CRF
from transformers.dynamic_module_utils import get_imports

from modeling_2mner.crf import LinearChainCRF, iob2_transitions
from modeling_2mner.spans import entity_spans

SOURCE = Path(__file__).resolve().parents[2] / "modeling_2mner" / "crf.py"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC"]
SMALL = ["O", "B-PER", "I-PER"]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def batch():
    """Build emissions (float64, with gradient), labels padded with -100, and the mask for given sentence lengths."""

    def build(lengths: list[int], labels: int = 9, scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
        words = max(lengths)
        mask = torch.arange(words) < torch.tensor(lengths)[:, None]
        emissions = (scale * torch.randn(len(lengths), words, labels, dtype=torch.float64)).requires_grad_()
        return emissions, torch.randint(labels, mask.shape).masked_fill(~mask, -100), mask

    return build


@pytest.fixture
def crf():
    """Build a float64 CRF whose transitions matter."""

    def build(labels: list[str] | None = None, num_tags: int = 9) -> LinearChainCRF:
        model = LinearChainCRF(len(labels) if labels else num_tags, labels).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        return model

    return build


def reference_of(model: LinearChainCRF) -> CRF:
    reference = CRF(model.num_tags, batch_first=True).to(model.transitions.dtype)
    reference.load_state_dict(model.state_dict())
    return reference


def is_iob2(path: list[int], labels: list[str]) -> bool:
    names = ["O", *(labels[tag] for tag in path)]
    return all(b[0] != "I" or a[1:] == b[1:] for a, b in pairwise(names))


@torch.no_grad()
def score_of(model: LinearChainCRF, emissions: Tensor, path: list[int]) -> float:
    score = model.start_transitions[path[0]] + model.end_transitions[path[-1]]
    score = score + sum(emissions[i, tag] for i, tag in enumerate(path))
    return float(score + sum(model.transitions[a, b] for a, b in pairwise(path)))


def all_scores(
    model: LinearChainCRF, emissions: Tensor, constrained: bool, labels: list[str] = SMALL
) -> dict[tuple[int, ...], float]:
    paths = product(range(model.num_tags), repeat=len(emissions))
    return {path: score_of(model, emissions, path) for path in paths if not constrained or is_iob2(path, labels)}


def all_posteriors(*arguments) -> dict[tuple[int, ...], float]:
    """Each sequence's probability, the likeliest first."""
    scores = all_scores(*arguments)
    shares = torch.tensor(list(scores.values()), dtype=torch.float64).softmax(0).tolist()
    return dict(sorted(zip(scores, shares, strict=True), key=lambda pair: -pair[1]))


def test_iob2_lets_an_inside_label_follow_only_its_own_type():
    may_start, may_follow = iob2_transitions(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
    assert may_start == [True, True, False, True, False]
    assert [row[2] for row in may_follow] == [False, True, True, False, False]
    assert [row[4] for row in may_follow] == [False, False, False, True, True]
    assert all(row[i] for row in may_follow for i in (0, 1, 3))


@pytest.mark.parametrize("label", ["PER", "S-PER", "B-", "I", "", "o", "LABEL_0"])
def test_iob2_refuses_other_labels(label):
    with pytest.raises(ValueError, match="labels"):
        iob2_transitions(["O", label])


@pytest.mark.parametrize(("num_tags", "labels"), [(3, ["O", "B-PER"]), (1, ["I-PER"])])
def test_labels_must_fit(num_tags, labels):
    with pytest.raises(ValueError, match="labels"):
        LinearChainCRF(num_tags, labels)


@pytest.mark.parametrize("constrained", [False, True])
def test_everything_equals_an_enumeration_of_all_paths(crf, batch, constrained):
    model, (emissions, _, mask) = crf(SMALL), batch([5, 3, 1, 2, 4], labels=3)
    tags = torch.zeros_like(mask, dtype=torch.long)
    tags[0] = torch.tensor([0, 1, 2, 2, 1])
    log_z = model.log_partition(emissions, mask, constrained)
    loss = model.neg_log_likelihood(emissions, tags, mask, constrained)
    marginals = model.marginals(emissions, mask, constrained)
    paths = model.viterbi(emissions, mask, constrained)
    for row, length in enumerate(mask.sum(1).tolist()):
        scores = all_scores(model, emissions[row, :length], constrained)
        expected = torch.tensor(list(scores.values())).double().logsumexp(0)
        assert log_z[row].item() == pytest.approx(expected.item(), abs=1e-6)
        assert loss[row].item() == pytest.approx(
            expected.item() - scores[tuple(tags[row, :length].tolist())], abs=1e-6
        )
        assert max(scores, key=scores.get) == tuple(paths[row, :length].tolist())
        posterior = torch.zeros(length, 3, dtype=torch.float64)
        for path, score in scores.items():
            posterior[range(length), list(path)] += (score - expected).exp()
        torch.testing.assert_close(marginals[row, :length], posterior, atol=1e-6, rtol=0)


@pytest.mark.parametrize("lengths", [[12, 7, 1, 9, 12, 3], [1], [40], [1, 1]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_loss_and_gradients_equal_pytorch_crf(crf, batch, lengths, dtype):
    model, (emissions, tags, mask) = crf().to(dtype), batch(lengths)
    reference, weights = reference_of(model).double(), torch.rand(len(lengths)).double()
    ours = model.neg_log_likelihood(emissions.to(dtype), tags, mask)
    theirs = -reference(emissions, tags.clamp(min=0), mask, reduction="none")
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), theirs, atol=1e-5, rtol=1e-6)
    our_gradients = torch.autograd.grad(ours @ weights.to(dtype), [emissions, *model.parameters()])
    their_gradients = torch.autograd.grad(
        theirs @ weights, [emissions, *reference.parameters()], allow_unused=True, materialize_grads=True
    )
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine.double(), other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("lengths", [[12, 7, 1, 9, 12, 3], [1], [40], [1, 1]])
def test_path_equals_pytorch_crf(crf, batch, lengths):
    model, (emissions, _, mask) = crf(), batch(lengths)
    ours = model.viterbi(emissions, mask)
    assert ours.dtype == torch.long
    assert [row[row != -100].tolist() for row in ours] == reference_of(model).decode(emissions, mask)
    assert torch.equal(ours == -100, ~mask)


@pytest.mark.parametrize("constrained", [False, True])
def test_gradcheck(crf, batch, constrained):
    model, (emissions, _, mask) = crf(SMALL), batch([4, 1, 0, 3], labels=3)
    tags = torch.tensor([[0, 1, 2, 2], [1, -100, -100, -100], [-100] * 4, [0, 0, 1, -100]])

    def losses(emissions: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return (
            model.neg_log_likelihood(emissions, tags, mask, constrained),
            model.log_partition(emissions, mask, constrained),
        )

    assert torch.autograd.gradcheck(losses, (emissions, *model.parameters()))


def test_second_derivatives_are_refused(crf, batch):
    model, (emissions, tags, mask) = crf(), batch([4, 2])
    loss = model.neg_log_likelihood(emissions, tags, mask).sum()
    with pytest.raises(NotImplementedError, match="create_graph"):
        torch.autograd.grad(loss, emissions, create_graph=True)


@pytest.mark.parametrize("constrained", [False, True])
def test_marginals_sum_to_one(crf, batch, constrained):
    model, (emissions, _, mask) = crf(LABELS), batch([30, 1, 0, 17])
    marginals = model.marginals(emissions, mask, constrained)
    torch.testing.assert_close(marginals.sum(2), mask.double())
    assert (marginals >= 0).all()
    assert not marginals.requires_grad


def test_marginals_are_the_gradient_of_the_log_partition(crf, batch):
    model, (emissions, _, mask) = crf(LABELS), batch([6, 3])
    (gradient,) = torch.autograd.grad(model.log_partition(emissions, mask, True).sum(), emissions)
    torch.testing.assert_close(gradient, model.marginals(emissions, mask, True))


def test_constrained_paths_are_iob2(crf, batch):
    model, (emissions, _, mask) = crf(LABELS), batch([15] * 40 + [1] * 10 + [0])
    emissions = emissions + 3 * torch.tensor([name[0] == "I" for name in LABELS])
    free = [row[row != -100].tolist() for row in model.viterbi(emissions, mask, constrained=False)]
    paths = [row[row != -100].tolist() for row in model.viterbi(emissions, mask)]
    assert not all(is_iob2(path, LABELS) for path in free)
    assert all(is_iob2(path, LABELS) for path in paths)
    assert [len(path) for path in paths] == mask.sum(1).tolist()


def test_constraint_changes_nothing_without_labels(crf, batch):
    model, (emissions, tags, mask) = crf(), batch([6, 3])
    free, constrained = (model.neg_log_likelihood(emissions, tags, mask, flag) for flag in (False, True))
    assert torch.equal(free, constrained)
    assert torch.equal(model.viterbi(emissions, mask, True), model.viterbi(emissions, mask, False))


def test_gold_labels_that_break_iob2_cost_infinity_with_finite_gradients(crf, batch):
    model, (emissions, _, mask) = crf(SMALL), batch([3, 3, 2], labels=3)
    tags = torch.tensor([[2, 0, 0], [1, 0, 2], [1, 2, -100]])
    loss = model.neg_log_likelihood(emissions, tags, mask, constrained=True)
    assert loss.isinf().tolist() == [True, True, False]
    gradients = torch.autograd.grad(loss.sum(), [emissions, *model.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[1][2] == 0 and gradients[3][0, 2] == 0 and gradients[3][1, 2] != 0


def test_masked_words_are_never_read(crf, batch):
    model, (emissions, tags, mask) = crf(), batch([5, 2, 0])
    clean = model.neg_log_likelihood(emissions, tags, mask)
    spoilt = emissions.detach().masked_fill(~mask.unsqueeze(2), torch.nan).requires_grad_()
    loss = model.neg_log_likelihood(spoilt, tags.masked_fill(~mask, 77), mask)
    assert torch.equal(loss, clean)
    loss.sum().backward()
    assert spoilt.grad.isfinite().all() and (spoilt.grad[~mask] == 0).all()
    assert torch.equal(model.viterbi(spoilt, mask), model.viterbi(emissions, mask))
    assert model.marginals(spoilt, mask).isfinite().all()


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize(("labels", "lengths"), [(SMALL, [5, 1, 4, 3, 2, 5]), (LABELS, [3, 1, 2])])
def test_the_posterior_of_a_span_is_that_of_all_paths_that_have_it(crf, batch, labels, lengths, constrained):
    model, (emissions, _, mask) = crf(labels), batch(lengths, labels=len(labels))
    emissions = emissions.detach().masked_fill(~mask.unsqueeze(2), torch.nan)
    kinds = {name[2:]: (labels.index(name), labels.index(f"I-{name[2:]}")) for name in labels if name[0] == "B"}
    spans = [(kind, *ends) for kind in kinds for ends in combinations(range(max(lengths) + 1), 2)]
    numbered = [(start, end, *kinds[kind]) for kind, start, end in spans]
    found = model.span_posteriors(emissions, mask, numbered, constrained)
    assert found.shape == (len(lengths), len(spans)) and found.dtype == torch.float64
    for row, length in enumerate(lengths):
        expected = dict.fromkeys(spans, 0.0)
        for path, share in all_posteriors(model, emissions[row, :length], constrained, labels).items():
            for span in entity_spans([labels[tag] for tag in path], strict=False):
                expected[span] += share
        inside = [column for column, span in enumerate(spans) if span[2] <= length]
        assert found[row, inside].tolist() == pytest.approx([expected[spans[column]] for column in inside], abs=1e-9)


def test_no_span_has_no_posterior(crf, batch):
    model, (emissions, _, mask) = crf(SMALL), batch([3, 2], labels=3)
    assert model.span_posteriors(emissions, mask, []).shape == (2, 0)


def test_the_posterior_of_a_sure_span_is_one(crf):
    emissions = 100 * torch.nn.functional.one_hot(torch.tensor([[0, 1, 2]]), 3).float()
    found = crf(SMALL).span_posteriors(emissions, torch.ones(1, 3, dtype=torch.bool), [(1, 3, 1, 2), (1, 2, 1, 2)])
    assert found.dtype == torch.float32 and found[0, 0] <= 1
    assert found[0].tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize(("labels", "words"), [(SMALL, 1), (SMALL, 6), (LABELS, 1), (LABELS, 3)])
def test_the_best_paths_are_all_paths_in_order(crf, batch, labels, words, constrained):
    model, (emissions, _, mask) = crf(labels), batch([words], labels=len(labels))
    expected = all_posteriors(model, emissions[0], constrained, labels)
    for count in (1, 2, len(expected) // 2 + 1, len(expected), len(expected) + 5):
        found = model.best_paths(emissions[0], count, constrained)
        assert [tuple(path) for path, _ in found] == list(expected)[:count]
        assert [share for _, share in found] == pytest.approx(list(expected.values())[:count], abs=1e-9)
    assert sum(share for _, share in found) == pytest.approx(1.0)
    assert found[0][0] == model.viterbi(emissions, mask, constrained)[0].tolist()


def test_a_sentence_without_words_has_one_path(crf):
    assert crf(SMALL).best_paths(torch.zeros(0, 3), 5) == [([], 1.0)]


def test_the_best_path_of_a_long_sentence_is_viterbi_s(crf, batch):
    model, (emissions, _, mask) = crf(LABELS), batch([400], scale=0.5)
    emissions = emissions.float()
    found = model.best_paths(emissions[0], 4)
    assert found[0][0] == model.viterbi(emissions, mask)[0].tolist()
    shares = [share for _, share in found]
    exact = model.best_paths(emissions[0].double(), 4)  # in float32 the sum of Eq. 16 is lost in rounding
    assert shares == pytest.approx([share for _, share in exact], rel=1e-9, abs=0)
    assert 1 >= shares[0] >= shares[1] >= shares[2] >= shares[3] > 0
    assert len({tuple(path) for path, _ in found}) == 4 and all(is_iob2(path, LABELS) for path, _ in found)


def test_an_empty_sentence_costs_nothing_and_disturbs_nobody(crf, batch):
    model, (emissions, tags, mask) = crf(), batch([4, 0, 2])
    loss = model.neg_log_likelihood(emissions, tags, mask)
    gradients = torch.autograd.grad(loss.sum(), [emissions, *model.parameters()])
    assert loss[1] == 0 and (gradients[0][1] == 0).all()
    assert (model.viterbi(emissions, mask)[1] == -100).all()

    others = model.neg_log_likelihood(emissions[[0, 2]], tags[[0, 2]], mask[[0, 2]])
    torch.testing.assert_close(others, loss[[0, 2]])
    expected = torch.autograd.grad(others.sum(), [emissions, *model.parameters()])
    for mine, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("words", [0, 2])
def test_only_empty_sentences(crf, words):
    model, mask = crf(), torch.zeros(2, words, dtype=torch.bool)
    emissions = torch.randn(2, words, 9, requires_grad=True)
    loss = model.neg_log_likelihood(emissions, torch.full((2, words), -100), mask)
    loss.sum().backward()
    assert loss.tolist() == [0, 0] and model.log_partition(emissions, mask).tolist() == [0, 0]
    assert all((tensor.grad == 0).all() for tensor in (emissions, *model.parameters()))
    assert model.viterbi(emissions, mask).tolist() == [[-100] * words] * 2
    assert model.marginals(emissions, mask).shape == (2, words, 9)


def test_no_sentence_at_all(crf):
    model, emissions, mask = crf(), torch.randn(0, 4, 9), torch.zeros(0, 4, dtype=torch.bool)
    assert model.neg_log_likelihood(emissions, torch.zeros(0, 4, dtype=torch.long), mask).shape == (0,)
    assert model.viterbi(emissions, mask).shape == (0, 4)


def test_a_sentence_does_not_depend_on_its_batch(crf, batch):
    model, (emissions, tags, mask) = crf(LABELS), batch([9, 4, 1, 6])
    loss, paths = model.neg_log_likelihood(emissions, tags, mask), model.viterbi(emissions, mask)
    marginals = model.marginals(emissions, mask)
    for row, length in enumerate([9, 4, 1, 6]):
        alone = [tensor[row : row + 1, :length] for tensor in (emissions, tags, mask)]
        torch.testing.assert_close(model.neg_log_likelihood(*alone)[0], loss[row])
        assert torch.equal(model.viterbi(alone[0], alone[2])[0], paths[row, :length])
        torch.testing.assert_close(model.marginals(alone[0], alone[2])[0], marginals[row, :length])


@pytest.mark.parametrize("autocast", [False, True])
def test_low_precision_emissions_are_computed_exactly(crf, batch, autocast):
    model, (emissions, tags, mask) = crf().float(), batch([50, 31])
    low = emissions.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model.neg_log_likelihood(low, tags, mask)
        paths, marginals = model.viterbi(low, mask), model.marginals(low, mask)
        log_z = model.log_partition(low, mask)
    loss.sum().backward()
    exact = low.detach().double()
    assert loss.dtype == marginals.dtype == log_z.dtype == torch.float32
    assert low.grad.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), model.neg_log_likelihood(exact, tags, mask), rtol=1e-6, atol=0)
    torch.testing.assert_close(marginals.double(), model.marginals(exact, mask), rtol=1e-5, atol=1e-7)
    assert torch.equal(paths, model.viterbi(exact, mask))


def test_a_confident_long_sentence_keeps_a_positive_loss(crf):
    model = crf()
    tags = torch.randint(9, (1, 500))
    emissions = 25 * torch.nn.functional.one_hot(tags, 9).float()
    mask = torch.ones(1, 500, dtype=torch.bool)
    expected = -reference_of(model)(emissions.double(), tags, mask)
    loss = model.neg_log_likelihood(emissions, tags, mask)
    assert 0 < loss.item() < 1e-4
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)  # in float32 this loss is lost in rounding


@pytest.mark.parametrize("scale", [1e3, 1e5])
def test_extreme_emissions_stay_finite(crf, batch, scale):
    model, (emissions, tags, mask) = crf(), batch([20, 6], scale=scale)
    loss = model.neg_log_likelihood(emissions, tags, mask)
    torch.testing.assert_close(loss, -reference_of(model)(emissions, tags.clamp(min=0), mask, reduction="none"))
    loss.sum().backward()
    assert emissions.grad.isfinite().all() and model.transitions.grad.isfinite().all()


@pytest.mark.parametrize("tag", [-100, -1, 9])
def test_a_label_out_of_range_is_refused(crf, batch, tag):
    model, (emissions, tags, mask) = crf(), batch([4, 2])
    tags[1, 1] = tag
    with pytest.raises(ValueError, match=r"`tags` must lie in 0\.\.8"):
        model.neg_log_likelihood(emissions, tags, mask)


def test_a_mask_with_holes_is_refused(crf, batch):
    model, (emissions, _, mask) = crf(), batch([4, 2])
    for word in (0, 2):
        holed = mask.clone()
        holed[0, word] = False
        with pytest.raises(ValueError, match="holes"):
            model.viterbi(emissions, holed)


def test_wrong_shapes_are_refused(crf, batch):
    model, (emissions, tags, mask) = crf(), batch([4, 2])
    for wrong in (emissions[0], emissions[:, :, :8], emissions[:, :3], emissions[:1]):
        with pytest.raises(ValueError, match="`emissions` must be"):
            model.marginals(wrong, mask)
    with pytest.raises(ValueError, match="`tags`"):
        model.neg_log_likelihood(emissions, tags[:, :3], mask)


def test_state_is_that_of_pytorch_crf():
    model, plain = LinearChainCRF(9, LABELS), CRF(9)
    assert set(model.state_dict()) == {"start_transitions", "end_transitions", "transitions"}
    assert not list(model.buffers())
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model.transitions, plain.transitions)


def test_constraints_survive_a_build_on_the_meta_device(crf, batch):
    original, (emissions, _, mask) = crf(LABELS), batch([8, 5])
    with torch.device("meta"):
        model = LinearChainCRF(9, LABELS)
    model.load_state_dict(original.state_dict(), assign=True)
    assert torch.equal(model.viterbi(emissions, mask), original.viterbi(emissions, mask))


def test_emissions_may_lie_on_another_device(crf):
    """As in the pipeline, which fetches them from the GPU."""
    model, emissions, mask = crf(LABELS), torch.zeros(2, 3, 9, device="meta"), torch.ones(2, 3, device="meta")
    assert model.marginals(emissions, mask.bool(), True).device.type == "meta"
    assert model.span_posteriors(emissions, mask.bool(), [(0, 2, 1, 2)], True).device.type == "meta"


def test_a_missing_pytorch_crf_is_called_by_its_right_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchcrf", None)
    spec = importlib.util.spec_from_file_location("crf_without_pytorch_crf", SOURCE)
    with pytest.raises(ImportError, match="pip install pytorch-crf"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_the_hub_loader_does_not_ask_for_torchcrf():
    assert "torchcrf" not in get_imports(SOURCE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["everywhere", "I-PER", "transitions", "start"])
def test_no_score_makes_invalid_iob2(value, place):
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    crf = LinearChainCRF(5, labels).requires_grad_(False)
    emissions = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(3))
    if place == "everywhere":
        emissions[0] = value
    elif place == "I-PER":
        emissions[0, :, 2] = value
    elif place == "transitions":
        crf.transitions[:] = value
    else:
        crf.start_transitions[2] = value
    mask = torch.ones(2, 6, dtype=torch.bool)
    may_start, may_follow = iob2_transitions(labels)
    paths = crf.viterbi(emissions, mask).tolist()
    for path in [*paths, *(path for path, _ in crf.best_paths(emissions[0], 3))]:
        assert may_start[path[0]] and all(may_follow[first][then] for first, then in pairwise(path))
    assert len(crf.best_paths(emissions[0], 3)) == 3
    if place in ("everywhere", "I-PER"):
        assert paths[1:] == crf.viterbi(emissions[1:], mask[1:]).tolist()
