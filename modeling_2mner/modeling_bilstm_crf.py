"""BiLSTM-CRF (Huang et al. 2015) and HBiLSTM-CRF (Lample et al. 2016): word vectors, an LSTM, a CRF; no picture.

HBiLSTM-CRF also reads each word's characters, and has a tanh layer before the classifier.
"""

import torch
from torch import Tensor, nn

from .configuration_words import BiLSTMCRFConfig
from .outputs import TaggerModelOutput
from .tagging import WordTagger
from .word_layers import CharacterBiLSTM, PackedBiLSTM, WordEmbeddings, WordVectorPreTrainedModel


class BiLSTMCRFPreTrainedModel(WordVectorPreTrainedModel):
    """Weights, loading and saving of BiLSTM-CRF and HBiLSTM-CRF."""

    config: BiLSTMCRFConfig


class BiLSTMCRFModel(BiLSTMCRFPreTrainedModel):
    """Word vectors, with or without vectors of their characters, under a bidirectional LSTM.

    Args:
        config ([`BiLSTMCRFConfig`]): the architecture.

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import BiLSTMCRFConfig, BiLSTMCRFModel

    >>> model = BiLSTMCRFModel(BiLSTMCRFConfig(vocab_size=5, word_embedding_size=8, lstm_hidden_size=16))
    >>> model(torch.tensor([[2, 3, 4]])).last_hidden_state.shape  # both directions
    torch.Size([1, 3, 32])
    ```
    """

    encoders = ()

    def __init__(self, config: BiLSTMCRFConfig) -> None:
        config.check()
        super().__init__(config)
        self.words = WordEmbeddings(config)
        size = config.word_embedding_size
        self.characters = None
        if config.character_embedding_size is not None:
            self.characters = CharacterBiLSTM(
                config.num_characters, config.character_embedding_size, config.character_hidden_size
            )
            size += 2 * config.character_hidden_size
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = PackedBiLSTM(size, config.lstm_hidden_size)
        self.lstm_dropout = nn.Dropout(config.lstm_dropout)
        self.hidden_layer = None
        if config.hidden_layer_size is not None:
            self.hidden_layer = nn.Linear(2 * config.lstm_hidden_size, config.hidden_layer_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.words.vectors

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.words.vectors = value

    def forward(
        self,
        word_ids: Tensor,
        char_ids: Tensor | None = None,
        char_lengths: Tensor | None = None,
        word_mask: Tensor | None = None,
        image_index: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences.

        Args:
            word_ids: `(batch, words)`, each word's vector.
            char_ids: `(batch, words, characters)`; needed by a model with characters, unused by one without.
            char_lengths: `(batch, words)`, how many characters a word has.
            word_mask: `(batch, words)` bool, true where there is a word; all by default.
            image_index: also returned by the processor; not used here.

        Raises:
            ValueError: if the characters are missing.
        """
        states = self.words(word_ids)  # (batch, words, size)
        if self.characters is not None:
            if char_ids is None or char_lengths is None:
                raise ValueError("this model reads characters; pass `char_ids` and `char_lengths` of `WordProcessor`.")
            states = torch.cat([states, self.characters(char_ids, char_lengths)], dim=-1)
        lengths = (torch.ones_like(word_ids) if word_mask is None else word_mask).sum(dim=1)  # (batch,)
        states, _ = self.lstm(self.dropout(states), lengths)
        states = self.lstm_dropout(states)
        if self.hidden_layer is not None:
            states = torch.tanh(self.hidden_layer(states))
        return TaggerModelOutput(last_hidden_state=states)


class BiLSTMCRFForTokenClassification(BiLSTMCRFPreTrainedModel, WordTagger):
    """BiLSTM-CRF and HBiLSTM-CRF; arguments and outputs of [`WordTagger`] and [`BiLSTMCRFModel.forward`].

    Example:

    ```python
    >>> from modeling_2mner import BiLSTMCRFConfig, BiLSTMCRFForTokenClassification, WordProcessor, WordTokenizer

    >>> tokenizer = WordTokenizer(words=["Anna", "in", "Paris"])
    >>> processor = WordProcessor(tokenizer=tokenizer, use_image=False)
    >>> config = BiLSTMCRFConfig(vocab_size=tokenizer.vocab_size, word_embedding_size=8, lstm_hidden_size=8)
    >>> model = BiLSTMCRFForTokenClassification(config).eval()  # with new weights
    >>> model(**processor([["Anna", "in", "Paris"], ["Paris"]])).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    base_model_class = BiLSTMCRFModel


__all__ = ["BiLSTMCRFForTokenClassification", "BiLSTMCRFModel", "BiLSTMCRFPreTrainedModel"]
