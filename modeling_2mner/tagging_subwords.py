"""Labels of words or of sub-words: the decoder that UMT, UMGF and MKGFormer share."""

from typing import Any, cast

import torch
from torch import Tensor
from transformers.utils import can_return_tuple

from .configuration_subwords import SubwordConfig
from .encoders import gather_words
from .outputs import TaggerModelOutput, TaggerOutput
from .tagging import WordTagger

PADDING, CONTINUATION, FIRST, LAST = range(4)  # the labels that `"subword_aux"` adds after the tags


class SubwordTagger(WordTagger):
    """A decoder over words or, with `label_scheme="subword_aux"`, over all sub-words of a sentence.

    In the second scheme the CRF runs over pieces, with extra labels for padding, for a word's further pieces,
    for the first piece of a window (`[CLS]`) and for its last (`[SEP]`). A word's tag is that of its first piece, `O`
    if one of the four was predicted there; its `logits` are those of its first piece without the four.
    """

    config: SubwordConfig

    @can_return_tuple
    def forward(
        self,
        labels: Tensor | None = None,
        word_positions: Tensor | None = None,
        word_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **inputs: Any,
    ) -> TaggerOutput:
        """Tag the words of a batch; arguments of [`WordTagger.forward`] and of the model below.

        Raises:
            ValueError: without `word_positions`, or without the `attention_mask` that `"subword_aux"` needs.
        """
        if word_positions is None:
            raise ValueError("`word_positions` is missing; make the inputs with `OneImageProcessor`.")
        if word_mask is None:
            word_mask = torch.ones_like(word_positions, dtype=torch.bool)
        outputs = self.model(
            word_positions=word_positions, word_mask=word_mask, attention_mask=attention_mask, **inputs
        )
        if self.config.tags_words:
            return self._tag(outputs, labels, word_mask, word_positions)
        if attention_mask is None:
            raise ValueError("`attention_mask` is missing; make the inputs with `OneImageProcessor`.")
        pieces = attention_mask.bool()
        num_labels = len(self.config.labels)
        if labels is not None:
            labels = piece_labels(labels, word_positions, word_mask, pieces, num_labels)
        tagged = self._tag(outputs, labels, pieces, word_positions)
        predictions = tagged.predictions
        if predictions is not None:
            predictions = word_tags(predictions, word_positions, word_mask, self.config)
        logits = gather_words(cast(Tensor, tagged.logits), word_positions)[..., :num_labels]
        return TaggerOutput(loss=tagged.loss, logits=logits, predictions=predictions)

    def _tag(
        self, outputs: TaggerModelOutput, labels: Tensor | None, mask: Tensor, word_positions: Tensor
    ) -> TaggerOutput:
        """Tag words or pieces, `(rows, positions)`, by the scheme; `word_positions` are the words' first pieces."""
        states = outputs.last_hidden_state if self.config.tags_words else outputs.piece_states
        return self.read_emissions(self.classifier(self.dropout(states)), labels, mask)


def piece_labels(labels: Tensor, word_positions: Tensor, word_mask: Tensor, pieces: Tensor, num_labels: int) -> Tensor:
    """Labels of all pieces `(windows, pieces)` for tags of words `(batch, words)`.

    Args:
        labels, word_positions, word_mask: `(batch, words)`.
        pieces: `(windows, pieces)` bool, true where there is a piece.
        num_labels: number of tags; the four extra labels are numbered after them.

    Raises:
        ValueError: for a sentence of several windows, whose words would be labelled in only one of them.
    """
    if len(pieces) != len(labels):
        raise ValueError(
            f'`label_scheme="subword_aux"` cannot train on a sentence of several windows, and there are {len(pieces)} '
            f'for {len(labels)} sentences; raise the processor\'s `max_length`, or write `label_scheme="word"`.'
        )
    result = torch.where(pieces, num_labels + CONTINUATION, num_labels + PADDING)
    result[:, 0] = num_labels + FIRST
    result.scatter_(1, pieces.sum(1, keepdim=True) - 1, num_labels + LAST)
    result.view(-1)[word_positions[word_mask]] = labels[word_mask]
    return result


def word_tags(predictions: Tensor, word_positions: Tensor, word_mask: Tensor, config: SubwordConfig) -> Tensor:
    """Tags of words `(batch, words)` for labels of pieces `(windows, pieces)`, -100 where there is no word."""
    tags = predictions.flatten()[word_positions]
    tags = tags.masked_fill(tags >= len(config.labels), config.labels.index("O"))
    return tags.masked_fill(~word_mask, -100)


__all__ = ["SubwordTagger", "piece_labels", "word_tags"]
