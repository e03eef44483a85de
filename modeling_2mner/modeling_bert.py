"""BERT and BERT-CRF: each word's first piece, a linear layer, and softmax or a CRF.

This is the text-only row of 2M-NER (Table 7): with `use_vit=False` and `use_resnet=False`, 2M-NER has the same
weights.
"""

from torch import Tensor
from transformers import PreTrainedModel

from .configuration_subwords import BertCRFConfig
from .encoders import encode_windows, gather_words
from .outputs import TaggerModelOutput
from .tagging import PieceModel, TaggingPreTrainedModel, WordTagger


class BertCRFPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of BERT-CRF."""

    config: BertCRFConfig
    input_modalities = ("text",)


class BertCRFModel(BertCRFPreTrainedModel, PieceModel):
    """The text encoder, read at each word's first piece.

    Args:
        config ([`BertCRFConfig`]), text_model: see [`PieceModel`].

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import BertCRFConfig, BertCRFModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = BertCRFConfig(text_config={"model_type": "bert", "vocab_size": 8, **sizes})
    >>> model = BertCRFModel(config).eval()  # with new weights
    >>> outputs = model(
    ...     input_ids=torch.tensor([[2, 5, 6, 7, 3]]),
    ...     attention_mask=torch.ones(1, 5, dtype=torch.long),
    ...     word_positions=torch.tensor([[1, 2, 3]]),
    ... )
    >>> outputs.last_hidden_state.shape  # (sentences, words, hidden)
    torch.Size([1, 3, 32])
    ```
    """

    encoders = ("text",)

    def __init__(self, config: BertCRFConfig, text_model: PreTrainedModel | None = None):
        config.check()
        super().__init__(config)
        self._add_text_model(config, text_model)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_positions: Tensor,
        word_mask: Tensor | None = None,
        first_window: Tensor | None = None,
        image_index: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences; for arguments see [`PieceModel`]."""
        states = encode_windows(self.text_model, input_ids, attention_mask, word_positions.shape[0]).last_hidden_state
        return TaggerModelOutput(last_hidden_state=gather_words(states, word_positions), piece_states=states)


class BertCRFForTokenClassification(BertCRFPreTrainedModel, WordTagger):
    """BERT-CRF, or BERT for `use_crf=False`; arguments and outputs of [`WordTagger`] and [`BertCRFModel.forward`].

    Example:

    ```python
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import BertCRFConfig, BertCRFForTokenClassification, OneImageProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = BertCRFConfig(text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes})
    >>> model = BertCRFForTokenClassification(config).eval()  # with new weights
    >>> processor = OneImageProcessor.for_model(model, tokenizer)
    >>> model(**processor([["Anna", "in", "Paris"], ["Paris"]])).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    base_model_class = BertCRFModel


__all__ = ["BertCRFForTokenClassification", "BertCRFModel", "BertCRFPreTrainedModel"]
