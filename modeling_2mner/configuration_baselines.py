"""Configurations of the eight comparison models of the paper's Tables 5 and 7; the defaults are those of their sources.

Where paper and code of a model differ, `docs/baselines.md` tells which is followed.
"""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_tagging import CLIP_VIT_B_32, MULTILINGUAL_BERT, RESNET_152, TaggingConfig

TEXT_CONFIG = SubConfigSpec(config_class=AutoConfig, model_type="bert")
RESNET_CONFIG = SubConfigSpec(config_class=AutoConfig, model_type="resnet")
LABEL_SCHEMES = ("word", "subword_aux")


@strict
class WordVectorConfig(TaggingConfig):
    """What the models on word vectors share; words and characters are numbered by [`WordTokenizer`].

    Args:
        vocab_size (`int`, defaults to 2): words with a vector, padding (0) and unknown (1) included.
        num_characters (`int`, defaults to 1): characters with a vector, padding (0) included.
        word_embedding_size (`int`, defaults to 300): size of a word vector.
        unknown_rate (`float`, defaults to 0.5): how often a word that training holds only once is trained as unknown.
        character_embedding_size (`int`, *optional*): size of a character vector; no characters by default.
        lstm_hidden_size (`int`, defaults to 100): size of the word LSTM, in each direction.
        dropout (`float`, defaults to 0.5): dropout of the word LSTM's input.
    """

    vocab_size: int = 2
    num_characters: int = 1
    word_embedding_size: int = 300
    unknown_rate: float | int = 0.5
    character_embedding_size: int | None = None
    lstm_hidden_size: int = 100
    dropout: float | int = 0.5

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_positive("vocab_size", "num_characters", "word_embedding_size", "lstm_hidden_size")
        self._check_positive("character_embedding_size")
        if not 0 <= self.unknown_rate <= 1:
            raise ValueError(f"`unknown_rate` is {self.unknown_rate}; write a rate from 0 to 1 (usual is 0.5).")


@strict
class BiLSTMCRFConfig(WordVectorConfig):
    """Configuration of [`BiLSTMCRFForTokenClassification`]: BiLSTM-CRF (Huang et al. 2015) by default.

    With `character_embedding_size=25, hidden_layer_size=100, lstm_dropout=0.0` it is HBiLSTM-CRF (Lample et al. 2016).

    Args:
        character_hidden_size (`int`, defaults to 25): size of the character LSTM, in each direction.
        hidden_layer_size (`int`, *optional*): size of a tanh layer between the LSTM and the tags; none by default.
        lstm_dropout (`float`, defaults to 0.5): dropout of the word LSTM's output.

    All other fields are those of [`WordVectorConfig`] and [`TaggingConfig`].
    """

    model_type = "bilstm-crf"
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.BiLSTMCRFConfig",
        "AutoModel": "modeling_bilstm_crf.BiLSTMCRFModel",
        "AutoModelForTokenClassification": "modeling_bilstm_crf.BiLSTMCRFForTokenClassification",
    }

    character_hidden_size: int = 25
    hidden_layer_size: int | None = None
    lstm_dropout: float | int = 0.5

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check()

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from."""
        return self.hidden_layer_size or 2 * self.lstm_hidden_size

    @property
    def classifier_dropout(self) -> float:
        """The dropout of the LSTM's output falls before the tanh layer, inside the model."""
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
        text_config (`dict` or `PreTrainedConfig`, *optional*): the encoder of `"bert"`; multilingual BERT.
        use_image (`bool`, defaults to `True`): create VGG-16, both attentions and both gates (Table 7).
        attention_combine (`str`, defaults to `"concat"`): how words and regions meet before the attention's tanh.
            `"concat"` is as published, and gives all words the same weights; `"sum"` is its evident intention.
        attention_size (`int`, defaults to 200): size k of the attention layers.
        character_filters (`int`, defaults to 32): filters of each width of the character convolution.
        character_widths (`list[int]`, defaults to `[2, 3, 4]`): these widths.
        character_hidden_size (`int`, defaults to 100): size of the layer after it.
        character_size (`int`, defaults to 50): size of a word's character vector.
        character_dropout (`float`, defaults to 0.25): dropout between the two.
        max_characters (`int`, defaults to 30): characters of a word that are read.
        vgg_channels (`list[list[int]]`, *optional*): channels of VGG's convolutions, stage by stage; VGG-16.
        image_size (`int`, defaults to 224): side of a picture in pixels, a multiple of 2 to the number of stages.

    All other fields are those of [`WordVectorConfig`] and [`TaggingConfig`].
    """

    model_type = "adacan"
    choices = {"text_encoder": ("lstm", "bert"), "attention_combine": ("concat", "sum")}  # noqa: RUF012
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert", optional=True)
    }
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.AdaCANConfig",
        "AutoModel": "modeling_adacan.AdaCANModel",
        "AutoModelForTokenClassification": "modeling_adacan.AdaCANForTokenClassification",
    }

    text_encoder: str = "lstm"
    text_config: PreTrainedConfig | dict | None = None
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

    def __post_init__(self, **kwargs):
        if self.text_config is None and self.text_encoder == "bert":
            self.text_config = dict(MULTILINGUAL_BERT)
        self.character_widths = self.character_widths or [2, 3, 4]
        self.vgg_channels = self.vgg_channels or [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
        super().__post_init__(**kwargs)
        self.check()

    @property
    def uses_image(self) -> bool:
        """Whether the network looks at pictures."""
        return self.use_image

    @property
    def hidden_size(self) -> int:
        """Size d of a word state."""
        return self.text_config.hidden_size if self.text_encoder == "bert" else 2 * self.lstm_hidden_size

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from: word state and what the gates let through."""
        return 2 * self.hidden_size if self.use_image else self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """None is published."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_rate("character_dropout", 0.25)
        self._check_positive("attention_size", "character_filters", "character_hidden_size", "character_size")
        self._check_positive("max_characters", "image_size")
        if self.image_size % 2 ** len(self.vgg_channels):
            raise ValueError(
                f"`image_size` is {self.image_size}, which VGG cannot halve {len(self.vgg_channels)} times; write a "
                f"multiple of {2 ** len(self.vgg_channels)}."
            )


@strict
class BertCRFConfig(TaggingConfig):
    """Configuration of [`BertCRFForTokenClassification`]: BERT-CRF, and BERT with softmax for `use_crf=False`.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): any text encoder of `AutoModel`; multilingual BERT.

    All other fields are those of [`TaggingConfig`].
    """

    model_type = "bert-crf"
    encoder_defaults = {"text_config": MULTILINGUAL_BERT}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG}  # noqa: RUF012
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.BertCRFConfig",
        "AutoModel": "modeling_bert.BertCRFModel",
        "AutoModelForTokenClassification": "modeling_bert.BertCRFForTokenClassification",
    }

    text_config: PreTrainedConfig | dict | None = None

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check()

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from."""
        return self.text_config.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """Dropout before the tags."""
        return self.dropout


@strict
class SubwordConfig(TaggingConfig):
    """What the multimodal models on BERT's pieces share.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): the text encoder; multilingual BERT.
        use_image (`bool`, defaults to `True`): create the image encoder and all that only it feeds (Table 7).
        label_scheme (`str`, defaults to `"word"`): `"word"` tags words. `"subword_aux"` tags pieces, as the authors'
            code: with labels of their own for padding, `[CLS]`, `[SEP]` and all pieces of a word but the first.
    """

    text_config: PreTrainedConfig | dict | None = None
    use_image: bool = True
    label_scheme: str = "word"

    @property
    def uses_image(self) -> bool:
        """Whether the network looks at pictures."""
        return self.use_image

    @property
    def hidden_size(self) -> int:
        """Size d of a piece's state."""
        return self.text_config.hidden_size

    @property
    def num_states(self) -> int:
        """How many labels the CRF knows: the tags, and with `"subword_aux"` four of its own."""
        return self.num_labels + (4 if self.label_scheme == "subword_aux" else 0)

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        if self.label_scheme == "subword_aux" and not self.use_crf:
            raise ValueError('`label_scheme="subword_aux"` needs a CRF; write `use_crf=True`.')


@strict
class UMTConfig(SubwordConfig):
    """Configuration of [`UMTForTokenClassification`], the unified multimodal transformer (Yu et al. 2020).

    Args:
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the image encoder; ResNet-152.
        resnet_batch_norm (`str`, defaults to `"fixed"`): as in [`TwoMNERConfig`].
        num_cmt_layers (`list[int]`, defaults to `[1, 1, 1]`): depths of the three cross-modal transformers.
        span_logit_weight (`float`, defaults to 0.5): share of the span stream in the emissions.
        span_loss_weight (`float`, defaults to 0.5): weight of the span stream's loss.
        layer_norm_eps (`float`, defaults to 1e-12): epsilon of the new layers' norms.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].
    """

    model_type = "umt"
    choices = {"label_scheme": LABEL_SCHEMES, "resnet_batch_norm": ("fixed", "train")}  # noqa: RUF012
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "resnet_config": RESNET_152}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG, "resnet_config": RESNET_CONFIG}  # noqa: RUF012
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.UMTConfig",
        "AutoModel": "modeling_umt.UMTModel",
        "AutoModelForTokenClassification": "modeling_umt.UMTForTokenClassification",
    }
    # What the cross-attention layers, which 2M-NER shares, read of their config.
    collaboration_ffn = True
    collaboration_intermediate_size = None

    resnet_config: PreTrainedConfig | dict | None = None
    resnet_batch_norm: str = "fixed"
    num_cmt_layers: list[int] | None = None
    span_logit_weight: float | int = 0.5
    span_loss_weight: float | int = 0.5
    layer_norm_eps: float | int = 1e-12

    def __post_init__(self, **kwargs):
        self.num_cmt_layers = self.num_cmt_layers or [1, 1, 1]
        super().__post_init__(**kwargs)
        self.check()

    @property
    def num_collaboration_heads(self) -> int:
        """As many as the text encoder has."""
        return self.text_config.num_attention_heads

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from: text and gated picture."""
        return 2 * self.hidden_size if self.use_image else self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """The authors' code has none."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        if not 0 <= self.span_logit_weight <= 1:
            raise ValueError(f"`span_logit_weight` is {self.span_logit_weight}; write a share from 0 to 1.")
        if not self.span_loss_weight >= 0:
            raise ValueError(f"`span_loss_weight` is {self.span_loss_weight}; write a weight of 0 or more.")
        if len(self.num_cmt_layers) != 3 or min(self.num_cmt_layers) < 1:
            raise ValueError(f"`num_cmt_layers` is {self.num_cmt_layers}; write three depths of 1 or more.")


@strict
class UMGFConfig(SubwordConfig):
    """Configuration of [`UMGFForTokenClassification`], unified multimodal graph fusion (Zhang et al. 2021).

    Args:
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the image encoder; ResNet-152.
        resnet_batch_norm (`str`, defaults to `"fixed"`): as in [`TwoMNERConfig`].
        visual_nodes (`str`, defaults to `"grid"`): the picture's nodes in the graph: the `"grid"` of the ResNet's
            regions, `"grid_pool"` of `grid_size` x `grid_size`, or `"objects"`, crops that the caller provides.
        grid_size (`int`, defaults to 2): side of the pooled grid.
        graph_size (`int`, defaults to 512): size d of a node.
        graph_heads (`int`, defaults to 8): heads of the attention within a modality.
        graph_intermediate_size (`int`, defaults to 256): width of the feed-forward layers.
        num_fusion_layers (`int`, defaults to 2): fusion layers L; the paper's 2, the authors' code has 6.
        text_projection (`str`, defaults to `"linear"`): from BERT to the nodes: `"linear"` as in the code, or `"mlp"`, with
            a ReLU, as in the paper.
        sinusoidal_positions (`bool`, defaults to `False`): add positions to the text nodes, as in the paper.
        concat_bert (`bool`, defaults to `True`): tell the tags from BERT's states as well, as in the code.
        dropout (`float`, defaults to 0.5): the paper's; the authors' code has 0.4.
        layer_norm_eps (`float`, defaults to 1e-6): epsilon of the new layers' norms.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].
    """

    model_type = "umgf"
    choices = {  # noqa: RUF012
        "label_scheme": LABEL_SCHEMES,
        "resnet_batch_norm": ("fixed", "train"),
        "visual_nodes": ("grid", "grid_pool", "objects"),
        "text_projection": ("linear", "mlp"),
    }
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "resnet_config": RESNET_152}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG, "resnet_config": RESNET_CONFIG}  # noqa: RUF012
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.UMGFConfig",
        "AutoModel": "modeling_umgf.UMGFModel",
        "AutoModelForTokenClassification": "modeling_umgf.UMGFForTokenClassification",
    }

    resnet_config: PreTrainedConfig | dict | None = None
    resnet_batch_norm: str = "fixed"
    visual_nodes: str = "grid"
    grid_size: int = 2
    graph_size: int = 512
    graph_heads: int = 8
    graph_intermediate_size: int = 256
    num_fusion_layers: int = 2
    text_projection: str = "linear"
    sinusoidal_positions: bool = False
    concat_bert: bool = True
    dropout: float | int = 0.5
    layer_norm_eps: float | int = 1e-6

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check()

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from."""
        return self.graph_size + (self.hidden_size if self.concat_bert else 0)

    @property
    def classifier_dropout(self) -> float:
        """The authors' code has none."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_positive("grid_size", "graph_size", "graph_heads", "graph_intermediate_size", "num_fusion_layers")
        if self.graph_size % self.graph_heads:
            raise ValueError(
                f"`graph_heads` is {self.graph_heads}, which does not divide `graph_size` {self.graph_size}; write a "
                "divisor of it."
            )


@strict
class MKGFormerConfig(SubwordConfig):
    """Configuration of [`MKGFormerForTokenClassification`], the hybrid transformer (Chen et al. 2022).

    Args:
        vision_config (`dict` or `PreTrainedConfig`, *optional*): CLIP's image tower, as deep and wide as the text
            encoder; ViT-B/32.
        fusion_start_layer (`int`, defaults to 9): the first layer, counted from 1, in which text and picture meet.
        use_whole_image (`bool`, defaults to `True`): read the whole picture. `False` restores the authors' code, which
            looks at the crops alone, and without crops at nothing.
        num_aux_crops (`int`, defaults to 3): crops of objects that a picture can have.
        aux_crop_size (`int`, defaults to 128): their side in pixels.
        num_rcnn_crops (`int`, defaults to 3): crops of a second, smaller kind.
        rcnn_crop_size (`int`, defaults to 64): their side in pixels.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].
    """

    model_type = "mkgformer"
    choices = {"label_scheme": LABEL_SCHEMES}  # noqa: RUF012
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "vision_config": CLIP_VIT_B_32}  # noqa: RUF012
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": TEXT_CONFIG,
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
    }
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_baselines.MKGFormerConfig",
        "AutoModel": "modeling_mkgformer.MKGFormerModel",
        "AutoModelForTokenClassification": "modeling_mkgformer.MKGFormerForTokenClassification",
    }

    vision_config: PreTrainedConfig | dict | None = None
    fusion_start_layer: int = 9
    use_whole_image: bool = True
    num_aux_crops: int = 3
    aux_crop_size: int = 128
    num_rcnn_crops: int = 3
    rcnn_crop_size: int = 64

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        self.check()

    @property
    def classifier_size(self) -> int:
        """Size of what the tags are told from."""
        return self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """Dropout before the tags."""
        return self.dropout

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        if not self.use_image:
            return
        text, vision = self.text_config, self.vision_config
        if (text.num_hidden_layers, text.hidden_size) != (vision.num_hidden_layers, vision.hidden_size):
            raise ValueError(
                f"the text encoder has {text.num_hidden_layers} layers of {text.hidden_size}, the ViT "
                f"{vision.num_hidden_layers} of {vision.hidden_size}; choose two of equal depth and size, since their "
                "layers are paired."
            )
        if not 2 <= self.fusion_start_layer <= text.num_hidden_layers:
            raise ValueError(
                f"`fusion_start_layer` is {self.fusion_start_layer}; write a layer from 2 to {text.num_hidden_layers}."
            )


__all__ = [
    "AdaCANConfig",
    "BertCRFConfig",
    "BiLSTMCRFConfig",
    "MKGFormerConfig",
    "UMGFConfig",
    "UMTConfig",
]
