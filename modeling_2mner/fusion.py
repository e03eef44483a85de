"""The multimodal collaboration module (Eq. 11-14): words attend to the regions of a picture."""

from typing import Any, Protocol

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


class CollaborationConfig(Protocol):
    """The fields of a model's config that this module reads."""

    dropout: float | int
    layer_norm_eps: float | int
    _attn_implementation: str

    @property
    def hidden_size(self) -> int: ...
    @property
    def num_collaboration_heads(self) -> int: ...
    @property
    def collaboration_ffn(self) -> bool: ...
    @property
    def collaboration_intermediate_size(self) -> int | None: ...


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled dot-product attention that keeps its weights: `(batch, heads, words, regions)`."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.dropout(scores.softmax(dim=-1), p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


class CrossAttention(nn.Module):
    """Multi-head attention from words to image regions (Eq. 11-12).

    Shapes: words `(batch, words, hidden)`, regions `(batch, regions, region_size)`; returns the attended vectors
    `(batch, words, hidden)` and, with eager attention, the weights `(batch, heads, words, regions)`.
    """

    is_causal = False

    def __init__(self, config: CollaborationConfig, region_size: int) -> None:
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // config.num_collaboration_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(region_size, config.hidden_size)
        self.value = nn.Linear(region_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)  # W' of Eq. 12

    def forward(
        self, words: torch.Tensor, regions: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        attended, weights = attend(
            self,
            self._split_heads(self.project_queries(words)),
            self._split_heads(self.key(regions)),
            self._split_heads(self.value(regions)),
            attention_mask=attention_mask,
            scaling=self.head_size**-0.5,  # sqrt(d / m) of Eq. 11
            dropout=self.config.dropout if self.training else 0.0,
        )
        return self.output(attended.flatten(2)), weights

    def project_queries(self, words: torch.Tensor) -> torch.Tensor:
        """W_q T of Eq. 11, `(batch, words, hidden)`."""
        return self.query(words)

    def _split_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (-1, self.head_size)).transpose(1, 2)  # (batch, heads, positions, head size)


class FeedForward(nn.Module):
    """The MLP sub-layer of Eq. 14, `(batch, words, hidden)` to the same shape."""

    def __init__(self, config: CollaborationConfig) -> None:
        super().__init__()
        width = config.collaboration_intermediate_size or 4 * config.hidden_size
        self.intermediate = nn.Linear(config.hidden_size, width)
        self.activation = ACT2FN["gelu"]
        self.output = nn.Linear(width, config.hidden_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.output(self.activation(self.intermediate(states)))


class MultimodalCollaboration(GradientCheckpointingLayer):
    """One image branch: cross-attention and MLP, each with residual and layer norm (Eq. 13-14).

    A sentence without a picture attends to nothing: its attention output is zero, so its words only pass through
    the residual connections.

    It has the form of a BERT layer, and UMT uses it too: there, "words" and "regions" may be the states of one
    sequence, or of a picture and a text.

    Shapes: words `(batch, words, hidden)`, regions `(batch, regions, region_size)` or `None` when no sentence of the
    batch has a picture, has_image `(batch,)` bool, all true by default, and attention_mask over the regions, in the
    form that the attention functions of transformers take; returns words `(batch, words, hidden)` and the attention
    weights.
    """

    def __init__(
        self,
        config: CollaborationConfig,
        region_size: int,
        attention_class: type[CrossAttention] = CrossAttention,
    ) -> None:
        super().__init__()
        self.attention = attention_class(config, region_size)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.ffn = FeedForward(config) if config.collaboration_ffn else None
        self.ffn_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if self.ffn else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        words: torch.Tensor,
        regions: torch.Tensor | None = None,
        has_image: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        weights = None
        attended = torch.zeros_like(words)
        if regions is not None and words.shape[1] > 0:  # the attention of transformers fails without words
            attended, weights = self.attention(words, regions, attention_mask)
            if has_image is not None:  # not a multiplication by zero: an unused picture's values may be infinite
                attended = attended.masked_fill(~has_image[:, None, None], 0.0)
        words = self.attention_norm(words + self.dropout(attended))  # Eq. 13
        if self.ffn is not None and self.ffn_norm is not None:
            words = self.ffn_norm(words + self.dropout(self.ffn(words)))  # Eq. 14
        return words, weights


__all__ = ["CrossAttention", "MultimodalCollaboration"]
