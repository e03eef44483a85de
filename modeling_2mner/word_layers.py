"""The layers of the models on word vectors: word vectors, LSTMs over words and over characters."""

import math

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import initialization as init

from .configuration_words import WordVectorConfig
from .tagging import TaggingPreTrainedModel

PADDING_ID, UNKNOWN_ID = 0, 1  # the first two word vectors; of the characters, only padding


class WordVectorPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of the models on word vectors.

    New vectors are drawn from U(-sqrt(3 / size), sqrt(3 / size)), with zeros for padding; linear layers and LSTMs
    start as PyTorch's do. Both as in NCRF++.
    """

    config: WordVectorConfig
    main_input_name = "word_ids"
    input_modalities: tuple[str, ...] = ("text",)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Embedding):
            _draw(module.weight, math.sqrt(3 / module.embedding_dim))
            # A single row has no flag that it was loaded.
            if module.padding_idx is not None and not getattr(module.weight, "_is_hf_initialized", False):
                init.zeros_(module.weight[module.padding_idx])
        elif isinstance(module, nn.Linear):
            for parameter in module.parameters(recurse=False):
                _draw(parameter, 1 / math.sqrt(module.in_features))
        elif isinstance(module, nn.LSTM):
            for parameter in module.parameters(recurse=False):
                _draw(parameter, 1 / math.sqrt(module.hidden_size))
        elif isinstance(module, WordEmbeddings):
            init.zeros_(module.singletons)


class WordEmbeddings(nn.Module):
    """Word vectors; in training, a word that occurs only once in the training data is often read as the unknown word.

    This trains the vector of the unknown word (Lample et al. 2016). `singletons` `(vocab_size,)` marks these words; no
    words by default.
    """

    singletons: torch.Tensor

    def __init__(self, config: WordVectorConfig) -> None:
        super().__init__()
        self.unknown_rate = config.unknown_rate
        self.vectors: nn.Module = nn.Embedding(config.vocab_size, config.word_embedding_size, padding_idx=PADDING_ID)
        self.register_buffer("singletons", torch.zeros(config.vocab_size, dtype=torch.bool))

    def forward(self, word_ids: torch.Tensor) -> torch.Tensor:
        """Look up words `(batch, words)`: `(batch, words, size)`."""
        if self.training:
            drawn = torch.rand(word_ids.shape, device=word_ids.device) < self.unknown_rate
            word_ids = word_ids.masked_fill(drawn & self.singletons[word_ids], UNKNOWN_ID)
        return self.vectors(word_ids)


class PackedBiLSTM(nn.Module):
    """A bidirectional LSTM layer that reads each row only to its own end."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size, batch_first=True, bidirectional=True)

    def forward(self, states: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read rows from both ends.

        Args:
            states: `(rows, steps, features)`.
            lengths: `(rows,)`, the number of real steps of each row; rows, steps and lengths may be zero.

        Returns:
            The states of both directions `(rows, steps, 2 * hidden)`, and `(rows, 2 * hidden)`: the forward state at
            the last real step and the backward state at the first. Zero for steps that are not real.
        """
        rows, steps, _ = states.shape
        if not rows or not steps:
            empty = states.new_zeros(rows, steps, 2 * self.lstm.hidden_size)
            return empty, empty.new_zeros(rows, empty.shape[-1])
        # Packing does not allow empty rows: they read one step, which is dropped.
        packed = pack_padded_sequence(states, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        outputs, (last, _) = self.lstm(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=steps)
        empty = (lengths == 0)[:, None]  # (rows, 1)
        last = last.transpose(0, 1).flatten(1)  # (rows, 2 * hidden)
        return outputs.masked_fill(empty[..., None], 0.0), last.masked_fill(empty, 0.0)


class CharacterBiLSTM(nn.Module):
    """A word's vector from its characters: the last states of an LSTM in either direction (Lample et al. 2016)."""

    def __init__(self, num_characters: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(num_characters, embedding_size, padding_idx=PADDING_ID)
        self.lstm = PackedBiLSTM(embedding_size, hidden_size)

    def forward(self, char_ids: torch.Tensor, char_lengths: torch.Tensor) -> torch.Tensor:
        """Read the characters `(batch, words, characters)` of words, of which `char_lengths` `(batch, words)` are
        real.

        Returns `(batch, words, 2 * hidden)`; zeros for a word without known characters.
        """
        states = self.vectors(char_ids.flatten(0, 1))  # (batch * words, characters, size)
        _, last = self.lstm(states, char_lengths.flatten())
        return last.unflatten(0, char_lengths.shape)


def _draw(parameter: torch.Tensor, bound: float) -> None:
    init.uniform_(parameter, -bound, bound)


__all__ = ["CharacterBiLSTM", "PackedBiLSTM", "WordEmbeddings", "WordVectorPreTrainedModel"]
