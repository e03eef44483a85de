"""Configurations of the comparison models on word vectors: BiLSTM-CRF, HBiLSTM-CRF and AdaCAN.

The defaults are those of their sources; where a model's paper and code differ, `docs/baselines.md` says which is
followed.
"""

import copy
from typing import Any, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_tagging import MULTILINGUAL_BERT, SubConfig, TaggingConfig, auto_map

VGG_16 = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]  # channels of the convolutions, stage by stage


@strict
class WordVectorConfig(TaggingConfig):
    """What the models on word vectors share; [`WordTokenizer`] numbers words and characters.

    Args:
        vocab_size (`int`, defaults to 2): number of word vectors, including padding (0) and unknown (1).
        num_characters (`int`, defaults to 1): number of character vectors, including padding (0).
        word_embedding_size (`int`, defaults to 300): size of a word vector.
        unknown_rate (`float`, defaults to 0.5): how often a word that occurs only once in the training data is
            read as unknown in training.
        character_embedding_size (`int`, *optional*): size of a character vector; no characters by default.
        lstm_hidden_size (`int`, defaults to 100): size of the word LSTM, in each direction.
        dropout (`float`, defaults to 0.5): dropout on the word LSTM's input.
    """

    vocab_size: int = 2
    num_characters: int = 1
    word_embedding_size: int = 300
    unknown_rate: float | int = 0.5
    character_embedding_size: int | None = None
    lstm_hidden_size: int = 100
    dropout: float | int = 0.5

    @property
    def reads_words(self) -> bool:
        """Whether the network reads whole words and their characters, rather than sub-words."""
        return True

    def fit_vocabulary(self, tokenizer: Any) -> None:
        """Set the numbers of words and characters to those of a [`WordTokenizer`], before the network is built."""
        if not self.reads_words:
            return super().fit_vocabulary(tokenizer)
        self.vocab_size, self.num_characters = len(tokenizer), tokenizer.num_characters

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_positive("vocab_size", "num_characters", "word_embedding_size", "lstm_hidden_size")
        self._check_positive("character_embedding_size")
        if not 0 <= self.unknown_rate <= 1:
            raise ValueError(f"`unknown_rate` is {self.unknown_rate}; write a rate from 0 to 1 (usually 0.5).")


@strict
class BiLSTMCRFConfig(WordVectorConfig):
    """Configuration of [`BiLSTMCRFForTokenClassification`]: BiLSTM-CRF (Huang et al. 2015) by default.

    With `character_embedding_size=25, hidden_layer_size=100, lstm_dropout=0.0` it is HBiLSTM-CRF (Lample et al. 2016).

    Args:
        character_hidden_size (`int`, defaults to 25): size of the character LSTM, in each direction.
        hidden_layer_size (`int`, *optional*): size of a tanh layer between the LSTM and the tags; none by default.
        lstm_dropout (`float`, defaults to 0.5): dropout on the word LSTM's output.

    All other fields are those of [`WordVectorConfig`] and [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import BiLSTMCRFConfig

    >>> config = BiLSTMCRFConfig(vocab_size=5, hidden_layer_size=100)
    >>> config.uses_image, config.hidden_layer_size, config.num_labels
    (False, 100, 9)
    ```
    """

    model_type = "bilstm-crf"
    default_auto_map = auto_map("BiLSTMCRF", "configuration_words", "modeling_bilstm_crf")

    character_hidden_size: int = 25
    hidden_layer_size: int | None = None
    lstm_dropout: float | int = 0.5

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input."""
        return self.hidden_layer_size or 2 * self.lstm_hidden_size

    @property
    def classifier_dropout(self) -> float:
        """No dropout here: that on the LSTM's output comes before the tanh layer, inside the model."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_positive("character_hidden_size", "hidden_layer_size")
        self._check_rate("lstm_dropout", 0.5)


@strict
class AdaCANConfig(WordVectorConfig):
    """Configuration of [`AdaCANForTokenClassification`], the adaptive co-attention network (Zhang et al. 2018).

    Args:
        text_encoder (`str`, defaults to `"lstm"`): word states of `"lstm"`, over words and characters, or of `"bert"`.
        text_config (`dict` or `PreTrainedConfig`, *optional*): the encoder for `"bert"`; multilingual BERT by default.
        use_image (`bool`, defaults to `True`): create VGG-16, both attentions and both gates (Table 7).
        attention_combine (`str`, defaults to `"concat"`): how words and regions are combined before the attention's
            tanh. `"concat"` is as published, and gives all words the same weights; `"sum"` is the evident intention.
        attention_size (`int`, defaults to 200): size k of the attention layers.
        character_filters (`int`, defaults to 32): filters of the character convolution, for each width.
        character_widths (`list[int]`, defaults to `[2, 3, 4]`): its widths.
        character_hidden_size (`int`, defaults to 100): size of the layer that follows it.
        character_size (`int`, defaults to 50): size of a word's character vector.
        character_dropout (`float`, defaults to 0.25): dropout between the two.
        max_characters (`int`, defaults to 30): maximum number of characters that are read of a word.
        vgg_channels (`list[list[int]]`, *optional*): channels of VGG's convolutions, stage by stage; VGG-16
            by default.
        image_size (`int`, defaults to 224): side of a picture in pixels, a multiple of 2^stages.

    All other fields are those of [`WordVectorConfig`] and [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import AdaCANConfig

    >>> AdaCANConfig(vocab_size=5, character_embedding_size=None).uses_image
    True
    >>> AdaCANConfig(vocab_size=5, use_image=False).uses_image  # CNN-BiLSTM-CRF
    False
    ```
    """

    model_type = "adacan"
    choices = {"text_encoder": ("lstm", "bert"), "attention_combine": ("concat", "sum")}  # noqa: RUF012
    image_switches = {"vgg": "use_image"}  # noqa: RUF012
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True)
    }
    default_auto_map = auto_map("AdaCAN", "configuration_words", "modeling_adacan")

    text_encoder: str = "lstm"
    text_config: SubConfig = None
    use_image: bool = True
    attention_combine: str = "concat"
    attention_size: int = 200
    character_embedding_size: int | None = 30
    character_filters: int = 32
    character_widths: list[int] | None = None
    character_hidden_size: int = 100
    character_size: int = 50
    character_dropout: float | int = 0.25
    max_characters: int = 30
    lstm_hidden_size: int = 200
    vgg_channels: list[list[int]] | None = None
    image_size: int = 224

    def __post_init__(self, **kwargs: Any) -> None:
        if self.text_config is None and self.text_encoder == "bert":
            self.text_config = MULTILINGUAL_BERT
        self.text_config = copy.deepcopy(self.text_config)  # it may be a loaded encoder's, and is modified later
        self.character_widths = self.character_widths or [2, 3, 4]
        self.vgg_channels = self.vgg_channels or [list(stage) for stage in VGG_16]
        super().__post_init__(**kwargs)

    @property
    def reads_words(self) -> bool:
        """Whether the network reads whole words and their characters, rather than sub-words."""
        return self.text_encoder == "lstm"

    @property
    def hidden_size(self) -> int:
        """Size d of a word state."""
        return self.text_config.hidden_size if self.text_encoder == "bert" else 2 * self.lstm_hidden_size

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The encoder's config for `"bert"`, else this; transformers would take the field `text_encoder` for it."""
        return self.text_config or self

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input: word state and what the gates let through."""
        return 2 * self.hidden_size if self.use_image else self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """No dropout, as published."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_rate("character_dropout", 0.25)
        self._check_positive("attention_size", "character_filters", "character_hidden_size", "character_size")
        self._check_positive("max_characters", "image_size")
        channels = cast(list[list[int]], self.vgg_channels)
        for field, rows in (("character_widths", [self.character_widths]), ("vgg_channels", channels)):
            if not all(row and min(row) > 0 for row in rows):
                raise ValueError(f"`{field}` is {getattr(self, field)}; write numbers above 0.")
        if self.image_size % 2 ** len(channels):
            raise ValueError(
                f"`image_size` is {self.image_size}, which VGG cannot halve {len(channels)} times; write a "
                f"multiple of {2 ** len(channels)}."
            )


__all__ = ["AdaCANConfig", "BiLSTMCRFConfig", "WordVectorConfig"]
