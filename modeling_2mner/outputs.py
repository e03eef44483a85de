"""What the models return."""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class TwoMNERModelOutput(ModelOutput):
    """Output of [`TwoMNERModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, words, branches * hidden)`): fused word vectors.
        text_embeds (`torch.FloatTensor` of shape `(batch, projection)`): h'_t of Eq. 7; `None` for a text-only model.
        vit_embeds (`torch.FloatTensor` of shape `(batch, projection)`): h'_i of Eq. 8 from the ViT, zeros for a
            sentence without a picture; `None` without that branch.
        resnet_embeds (`torch.FloatTensor` of shape `(batch, projection)`): the same from the ResNet.
        cross_attentions (`tuple` of `torch.FloatTensor` of shape `(batch, heads, words, regions)`): one per image
            branch, ViT first; only with `output_attentions=True`.
    """

    last_hidden_state: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vit_embeds: torch.FloatTensor | None = None
    resnet_embeds: torch.FloatTensor | None = None
    cross_attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class TwoMNERTokenClassifierOutput(ModelOutput):
    """Output of [`TwoMNERForTokenClassification`].

    Args:
        loss (`torch.FloatTensor` of shape `()`): L_CRF of Eq. 17, the mean over sentences; only with `labels`.
        logits (`torch.FloatTensor` of shape `(batch, words, labels)`): emissions E of Eq. 15.
        predictions (`torch.LongTensor` of shape `(batch, words)`): Viterbi tags, -100 where there is no word;
            `None` in training mode, which has no use for them.
        text_embeds, vit_embeds, resnet_embeds, cross_attentions: see [`TwoMNERModelOutput`].
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    predictions: torch.LongTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    vit_embeds: torch.FloatTensor | None = None
    resnet_embeds: torch.FloatTensor | None = None
    cross_attentions: tuple[torch.FloatTensor, ...] | None = None


__all__ = ["TwoMNERModelOutput", "TwoMNERTokenClassifierOutput"]
