from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from modeling_2mner.alignment import ProjectionHead, contrastive_loss


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    """Five sentence and picture embeddings of very different lengths, with gradients."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([0.1, 1.0, 7.0, 2.0, 30.0])[:, None]
    text = torch.randn(5, 6, generator=generator) * lengths
    return text.requires_grad_(), (torch.randn(5, 6, generator=generator) * lengths.flip(0)).requires_grad_()


def nt_xent_by_hand(text: Tensor, image: Tensor, temperature: float, ids: list[int] | None = None) -> float:
    """Eq. 9-10 as written down, one exponential at a time; with `ids`, equal pictures are no negatives."""
    rows = [row / row.norm() for row in [*text.detach().double(), *image.detach().double()]]
    count = len(text)
    total = 0.0
    for anchor in range(2 * count):
        positive = (anchor + count) % (2 * count)
        denominator = 0.0
        for other in range(2 * count):
            twin = ids is not None and anchor % count != other % count and ids[anchor % count] == ids[other % count]
            if other != anchor and not twin:
                denominator += math.exp(rows[anchor] @ rows[other] / temperature)
        total -= math.log(math.exp(rows[anchor] @ rows[positive] / temperature) / denominator)
    return total / (2 * count)


def info_nce_by_hand(text: Tensor, image: Tensor, temperature: float, ids: list[int] | None = None) -> float:
    text, image = ([row / row.norm() for row in side.detach().double()] for side in (text, image))
    total = 0.0
    for here in range(len(text)):
        kept = [there for there in range(len(text)) if there == here or ids is None or ids[there] != ids[here]]
        positive = math.exp(text[here] @ image[here] / temperature)
        total -= math.log(positive / sum(math.exp(text[here] @ image[there] / temperature) for there in kept)) / 2
        total -= math.log(positive / sum(math.exp(text[there] @ image[here] / temperature) for there in kept)) / 2
    return total / len(text)


BY_HAND = {"ntxent": nt_xent_by_hand, "infonce": info_nce_by_hand}


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_equals_the_sum_written_out(pairs, form, temperature):
    loss = contrastive_loss(*pairs, torch.arange(5), form, temperature)
    assert loss.item() == pytest.approx(BY_HAND[form](*pairs, temperature), rel=1e-5)


@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_default_temperature_and_form_are_the_released_ones(pairs, form):
    assert contrastive_loss(*pairs, torch.arange(5), form) == contrastive_loss(*pairs, torch.arange(5), form, 0.5)
    assert contrastive_loss(*pairs, torch.arange(5)) == contrastive_loss(*pairs, torch.arange(5), "ntxent")


@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_rows_without_a_picture_are_left_out(pairs, form):
    loss = contrastive_loss(*pairs, torch.tensor([0, -1, 1, -1, 2]), form)
    kept = [side[[0, 2, 4]] for side in pairs]
    assert loss.item() == pytest.approx(BY_HAND[form](*kept, 0.5), rel=1e-5)
    loss.backward()
    for side in pairs:
        assert (side.grad[[1, 3]] == 0).all() and (side.grad[[0, 2, 4]] != 0).all()


@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_a_shared_picture_is_masked_only_as_a_negative(pairs, form):
    ids = [4, 9, 4, 2, 4]
    masked = contrastive_loss(*pairs, torch.tensor(ids), form, mask_duplicates=True)
    plain = contrastive_loss(*pairs, torch.tensor(ids), form)
    assert masked.item() == pytest.approx(BY_HAND[form](*pairs, 0.5, ids), rel=1e-5)
    assert plain.item() == pytest.approx(BY_HAND[form](*pairs, 0.5), rel=1e-5)


@pytest.mark.parametrize("mask_duplicates", [False, True])
@pytest.mark.parametrize("form", ["ntxent", "infonce"])
@pytest.mark.parametrize("ids", [[3, -1, -1, -1, -1], [-1] * 5])
def test_fewer_than_two_pairs_cost_nothing_but_keep_the_gradient(pairs, ids, form, mask_duplicates):
    loss = contrastive_loss(*pairs, torch.tensor(ids), form, mask_duplicates=mask_duplicates)
    loss.backward()
    assert loss.item() == 0 and loss.shape == ()
    for side in pairs:
        assert side.grad is not None and (side.grad == 0).all()


@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_an_empty_batch_costs_nothing(form):
    empty = torch.zeros(0, 6, requires_grad=True)
    loss = contrastive_loss(empty, empty, torch.zeros(0, dtype=torch.long), form)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("form", ["ntxent", "infonce"])
def test_one_picture_for_all_sentences(pairs, form):
    ids = torch.zeros(5, dtype=torch.long)
    masked = contrastive_loss(*pairs, ids, form, mask_duplicates=True)
    masked.backward()
    assert masked.item() == 0
    assert all(torch.isfinite(side.grad).all() for side in pairs)
    assert contrastive_loss(*pairs, ids, form).item() > 0


def test_identical_pairs_are_finite_and_cost_the_logarithm_of_the_others():
    same = torch.ones(4, 3, requires_grad=True)
    loss = contrastive_loss(same, same, torch.arange(4))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(7))
    assert torch.isfinite(same.grad).all()


def test_a_zero_vector_is_finite():
    zeros = torch.zeros(3, 4, requires_grad=True)
    loss = contrastive_loss(zeros, zeros, torch.arange(3))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5))
    assert torch.isfinite(zeros.grad).all()


def test_half_precision_embeddings_are_compared_in_float32(pairs):
    text, image = (side.detach().bfloat16() for side in pairs)
    expected = contrastive_loss(text.float(), image.float(), torch.arange(5), temperature=0.05)
    assert contrastive_loss(text, image, torch.arange(5), temperature=0.05) == expected
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert contrastive_loss(text, image, torch.arange(5), temperature=0.05) == expected


def test_projection_head_is_linear_relu_linear():
    head = ProjectionHead(5, 3)
    states = torch.randn(4, 5)
    first, second = head[0], head[2]
    hidden = (states @ first.weight.T + first.bias).clamp(min=0)
    torch.testing.assert_close(head(states), hidden @ second.weight.T + second.bias)
    assert [tuple(parameter.shape) for parameter in head.parameters()] == [(3, 5), (3,), (3, 3), (3,)]
