"""BERT and BERT-CRF: each word's first piece, a linear layer, and softmax or a CRF.

The text-only row of 2M-NER (Table 7) is this network: with `use_vit=False` and `use_resnet=False` it has the same weights.
"""

import torch

from .configuration_subwords import BertCRFConfig
from .encoders import build_encoder, gather_words
from .outputs import TaggerModelOutput
from .tagging import TaggingPreTrainedModel, WordTagger


class BertCRFPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of BERT-CRF."""

    config: BertCRFConfig
    input_modalities = ("text",)


class BertCRFModel(BertCRFPreTrainedModel):
    """The text encoder, read at each word's first piece.

    Args:
        config ([`BertCRFConfig`]): the architecture.
        text_model (`PreTrainedModel`, *optional*): a ready encoder; built from `config` with new weights if left out.
    """

    encoders = ("text",)

    def __init__(self, config: BertCRFConfig, text_model=None):
        config.check()
        super().__init__(config)
        self.text_model = build_encoder(config.text_config) if text_model is None else text_model
        config.text_config = self.text_model.config
        self.post_init()

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def forward(
        self, input_ids, attention_mask, word_positions, word_mask=None, first_window=None, image_index=None
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences.

        Args:
            input_ids, attention_mask: `(windows, pieces)`.
            word_positions: `(batch, words)`, each word's first piece in the flattened `(windows * pieces)` axis.
            word_mask, first_window, image_index: what the processor says besides, and nothing here needs.
        """
        states = self.text_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return TaggerModelOutput(last_hidden_state=gather_words(states, word_positions), piece_states=states)


class BertCRFForTokenClassification(BertCRFPreTrainedModel, WordTagger):
    """BERT-CRF, and BERT for `use_crf=False`; arguments and outputs of [`WordTagger`] and [`BertCRFModel.forward`]."""

    base_model_class = BertCRFModel


__all__ = ["BertCRFForTokenClassification", "BertCRFModel", "BertCRFPreTrainedModel"]
