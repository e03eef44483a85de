"""The outputs of the models."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class TwoMNERModelOutput(ModelOutput):
    """Output of [`TwoMNERModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, words, branches * hidden)`): fused word vectors.
        text_embeds (`torch.FloatTensor` of shape `(batch, projection)`): h'_t of Eq. 7; `None` for a text-only model,
            as are all embeddings with `output_embeds=False`.
        vit_embeds (`torch.FloatTensor` of shape `(batch, projection)`): h'_i of Eq. 8 from the ViT, zeros for a
            sentence without a picture; `None` without a ViT branch.
        resnet_embeds (`torch.FloatTensor` of shape `(batch, projection)`): the same from the ResNet.
        cross_attentions (`tuple` of `torch.FloatTensor` of shape `(batch, heads, words, regions)`): one per image
            branch, ViT first; only with `output_attentions=True`.
    """

    last_hidden_state: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    vit_embeds: torch.Tensor | None = None
    resnet_embeds: torch.Tensor | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class TaggerOutput(ModelOutput):
    """Output of the comparison models.

    Args:
        loss (`torch.FloatTensor` of shape `()`): what training minimises; only with `labels`.
        logits (`torch.FloatTensor` of shape `(batch, words, labels)`): emissions E of Eq. 15.
        predictions (`torch.LongTensor` of shape `(batch, words)`): Viterbi tags, -100 where there is no word;
            `None` in training mode, where they are not needed.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    predictions: torch.Tensor | None = None


@dataclass
class TwoMNERTokenClassifierOutput(TaggerOutput):
    """Output of [`TwoMNERForTokenClassification`].

    Args:
        loss (`torch.FloatTensor` of shape `()`): L_CRF of Eq. 17, the mean over sentences; only with `labels`.
        logits, predictions: see [`TaggerOutput`].
        text_embeds, vit_embeds, resnet_embeds, cross_attentions: see [`TwoMNERModelOutput`].
    """

    text_embeds: torch.Tensor | None = None
    vit_embeds: torch.Tensor | None = None
    resnet_embeds: torch.Tensor | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class TaggerModelOutput(ModelOutput):
    """Output of the comparison models below their decoders.

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, words, size)`): the vectors that the tags are
            predicted from.
        piece_states (`torch.FloatTensor` of shape `(windows, pieces, size)`): the same for each piece; `None` for
            models without pieces.
        span_states (`torch.FloatTensor` of shape `(windows, pieces, hidden)`): UMT's stream for entity spans.
        attentions (`torch.FloatTensor` of shape `(batch, words, regions)`): AdaCAN's visual attention.
    """

    last_hidden_state: torch.Tensor | None = None
    piece_states: torch.Tensor | None = None
    span_states: torch.Tensor | None = None
    attentions: torch.Tensor | None = None


__all__ = ["TaggerModelOutput", "TaggerOutput", "TwoMNERModelOutput", "TwoMNERTokenClassifierOutput"]
