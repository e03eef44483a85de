from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from modeling_2mner.fusion import MultimodalCollaboration

REGION_SIZE = 24


@pytest.fixture
def collaboration(make_config, shake):
    """Build a collaboration module in eval mode, with eager attention unless said otherwise."""

    def build(attention: str = "eager", **changes) -> MultimodalCollaboration:
        config = make_config(attn_implementation=attention, **changes)
        return shake(MultimodalCollaboration(config, REGION_SIZE)).eval()

    return build


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Three sentences of five words, three pictures of seven regions; the second sentence has no picture."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(3, 5, 16, generator=generator)
    return words, torch.randn(3, 7, REGION_SIZE, generator=generator), torch.tensor([True, False, True])


def attention_by_hand(module: nn.Module, words: Tensor, regions: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Eq. 11-12 for one sentence, head by head, each with its slice of W_q, W_k and W_v."""
    size = words.shape[1] // heads
    attended, weights = [], []
    for head in range(heads):
        rows = slice(head * size, (head + 1) * size)
        query = words @ module.query.weight[rows].T + module.query.bias[rows]
        key = regions @ module.key.weight[rows].T + module.key.bias[rows]
        value = regions @ module.value.weight[rows].T + module.value.bias[rows]
        scores = query @ key.T / math.sqrt(words.shape[1] / heads)
        weights.append(scores.exp() / scores.exp().sum(dim=1, keepdim=True))
        attended.append(weights[-1] @ value)
    return torch.cat(attended, dim=1) @ module.output.weight.T + module.output.bias, torch.stack(weights)


def collaboration_by_hand(module: MultimodalCollaboration, words: Tensor, attended: Tensor) -> Tensor:
    """Eq. 13-14 for one sentence."""
    words = _layer_norm(words + attended, module.attention_norm)
    if module.ffn is None:
        return words
    hidden = words @ module.ffn.intermediate.weight.T + module.ffn.intermediate.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))  # GELU
    return _layer_norm(words + hidden @ module.ffn.output.weight.T + module.ffn.output.bias, module.ffn_norm)


def _layer_norm(states: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = states - states.mean(dim=1, keepdim=True)
    return centred / (centred.square().mean(dim=1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("ffn", [True, False])
def test_equals_the_equations_head_by_head(collaboration, inputs, heads, ffn):
    words, regions, has_image = inputs
    module = collaboration(collaboration_heads=heads, collaboration_ffn=ffn)
    fused, weights = module(words, regions, has_image)
    assert fused.shape == words.shape and weights.shape == (3, heads, 5, 7)
    for row in (0, 2):
        attended, expected_weights = attention_by_hand(module.attention, words[row], regions[row], heads)
        torch.testing.assert_close(weights[row], expected_weights, atol=1e-5, rtol=1e-4)
        expected = collaboration_by_hand(module, words[row], attended)
        torch.testing.assert_close(fused[row], expected, atol=1e-5, rtol=1e-4)


def test_queries_have_a_projection_of_their_own(collaboration, inputs):
    module = collaboration()
    fused = module(*inputs)[0]
    fused.sum().backward()
    assert module.attention.query.weight.grad.abs().sum() > 0
    with torch.no_grad():
        module.attention.query.weight.zero_()
    assert not torch.allclose(module(*inputs)[0][0], fused[0], atol=1e-3)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_sentence_without_a_picture_is_told_by_the_residual_connections_alone(collaboration, inputs, attention):
    words, regions, has_image = inputs
    module = collaboration(attention)
    fused = module(words, regions, has_image)[0]
    expected = collaboration_by_hand(module, words[1], torch.zeros_like(words[1]))
    torch.testing.assert_close(fused[1], expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(fused[1], module(words)[0][1])
    regions[1] = float("nan")
    assert torch.equal(module(words, regions, has_image)[0], fused)


def test_eager_and_sdpa_agree(collaboration, inputs):
    eager, eager_weights = collaboration()(*inputs)
    sdpa, sdpa_weights = collaboration("sdpa")(*inputs)
    torch.testing.assert_close(eager, sdpa, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(eager_weights.sum(dim=-1), torch.ones(3, 4, 5))
    assert sdpa_weights is None


def test_all_regions_are_attended_to_in_any_order(collaboration, inputs):
    words, regions, has_image = inputs
    module = collaboration()
    fused, weights = module(words, regions, has_image)
    assert (weights > 0).all()
    torch.testing.assert_close(module(words, regions.flip(1), has_image)[0], fused, atol=1e-5, rtol=1e-5)


def test_one_region_gets_all_the_attention_of_every_word(collaboration, inputs):
    words, regions, _ = inputs
    module = collaboration()
    attended, weights = module.attention(words, regions[:, :1])
    assert torch.equal(weights, torch.ones(3, 4, 5, 1))
    torch.testing.assert_close(attended, attended[:, :1].expand_as(attended))


def test_dropout_acts_in_training_only(collaboration, inputs):
    module = collaboration(dropout=0.5)
    assert torch.equal(module(*inputs)[0], module(*inputs)[0])
    module.train()
    assert not torch.equal(module(*inputs)[0], module(*inputs)[0])


def test_the_mlp_has_four_times_the_width_unless_told(collaboration):
    assert collaboration().ffn.intermediate.out_features == 64
    assert collaboration(collaboration_intermediate_size=10).ffn.intermediate.out_features == 10
    assert collaboration(collaboration_ffn=False).ffn_norm is None
