"""Configurations of the comparison models on sub-words: BERT, BERT-CRF, UMT, UMGF and MKGFormer.

The defaults are those of their sources; where a model's paper and code differ, `docs/baselines.md` says which is
followed.
"""

from typing import Any, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_tagging import CLIP_VIT_B_32, MULTILINGUAL_BERT, RESNET_152, SubConfig, TaggingConfig, auto_map

TEXT_CONFIG = SubConfigSpec(config_class=AutoConfig, model_type="bert")
RESNET_CONFIG = SubConfigSpec(config_class=AutoConfig, model_type="resnet")
LABEL_SCHEMES = ("word", "subword_aux")
BERT_FAMILY = ("bert", "camembert", "roberta", "xlm-roberta")  # encoders whose layers are BERT's


@strict
class BertCRFConfig(TaggingConfig):
    """Configuration of [`BertCRFForTokenClassification`]: BERT-CRF, or BERT with softmax for `use_crf=False`.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): any `AutoModel` text encoder; multilingual BERT by
            default.

    All other fields are those of [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import BertCRFConfig

    >>> config = BertCRFConfig(use_crf=False)  # BERT with softmax
    >>> config.text_config.model_type, config.num_labels
    ('bert', 9)
    ```
    """

    model_type = "bert-crf"
    encoder_defaults = {"text_config": MULTILINGUAL_BERT}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG}  # noqa: RUF012
    default_auto_map = auto_map("BertCRF", "configuration_subwords", "modeling_bert")

    text_config: SubConfig = None

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input."""
        return self.text_config.hidden_size


@strict
class SubwordConfig(TaggingConfig):
    """What the multimodal models on BERT's pieces share.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): the text encoder; multilingual BERT by default.
        use_image (`bool`, defaults to `True`): create the image encoder and the layers that only it feeds (Table 7).
        label_scheme (`str`, defaults to `"word"`): `"word"` tags words. `"subword_aux"` tags pieces, as in the
            authors' code: with extra labels for padding, `[CLS]`, `[SEP]` and all but a word's first piece. IOB2
            cannot constrain it, and the pipeline has no scores for it.
    """

    text_config: SubConfig = None
    use_image: bool = True
    label_scheme: str = "word"

    @property
    def tags_words(self) -> bool:
        """Whether the decoder runs over words, so that its posteriors belong to words."""
        return self.label_scheme == "word"

    @property
    def hidden_size(self) -> int:
        """Size d of a piece's state."""
        return self.text_config.hidden_size

    @property
    def num_states(self) -> int:
        """Number of labels of the CRF: the tags, and with `"subword_aux"` four more."""
        return self.num_labels + (4 if self.label_scheme == "subword_aux" else 0)

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        if self.label_scheme == "subword_aux" and not self.use_crf:
            raise ValueError('`label_scheme="subword_aux"` needs a CRF; write `use_crf=True`.')
        if self.label_scheme == "subword_aux" and self.crf_constrained_likelihood:
            raise ValueError(
                "`crf_constrained_likelihood=True` needs labels of words, but here the further pieces between two "
                'words have an extra label; write `label_scheme="word"`.'
            )


@strict
class UMTConfig(SubwordConfig):
    """Configuration of [`UMTForTokenClassification`], the unified multimodal transformer (Yu et al. 2020).

    Args:
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the image encoder; ResNet-152 by default.
        resnet_batch_norm (`str`, defaults to `"fixed"`): as in [`TwoMNERConfig`].
        num_cmt_layers (`list[int]`, defaults to `[1, 1, 1]`): depths of the three cross-modal transformers.
        span_logit_weight (`float`, defaults to 0.5): weight of the span stream in the emissions.
        span_loss_weight (`float`, defaults to 0.5): weight of the span stream's loss.
        layer_norm_eps (`float`, defaults to 1e-12): epsilon of the new layers' layer norms.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import UMTConfig

    >>> config = UMTConfig(span_logit_weight=0.25)
    >>> config.num_cmt_layers, config.resnet_config.depths
    ([1, 1, 1], [3, 8, 36, 3])
    ```
    """

    model_type = "umt"
    choices = {"label_scheme": LABEL_SCHEMES, "resnet_batch_norm": ("fixed", "train")}  # noqa: RUF012
    image_switches = {"resnet": "use_image"}  # noqa: RUF012
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "resnet_config": RESNET_152}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG, "resnet_config": RESNET_CONFIG}  # noqa: RUF012
    default_auto_map = auto_map("UMT", "configuration_subwords", "modeling_umt")
    # Read by the cross-attention layers, which are 2M-NER's.
    collaboration_ffn = True
    collaboration_intermediate_size = None

    resnet_config: SubConfig = None
    resnet_batch_norm: str = "fixed"
    num_cmt_layers: list[int] | None = None
    span_logit_weight: float | int = 0.5
    span_loss_weight: float | int = 0.5
    layer_norm_eps: float | int = 1e-12

    def __post_init__(self, **kwargs: Any) -> None:
        self.num_cmt_layers = self.num_cmt_layers or [1, 1, 1]
        super().__post_init__(**kwargs)

    @property
    def num_collaboration_heads(self) -> int:
        """The text encoder's number of heads."""
        return self.text_config.num_attention_heads

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input: text and gated picture."""
        return 2 * self.hidden_size if self.use_image else self.hidden_size

    @property
    def classifier_dropout(self) -> float:
        """No dropout, as in the authors' code."""
        return 0.0

    def _check_ranges(self) -> None:
        super()._check_ranges()
        if not 0 <= self.span_logit_weight <= 1:
            raise ValueError(f"`span_logit_weight` is {self.span_logit_weight}; write a weight from 0 to 1.")
        if not self.span_loss_weight >= 0:
            raise ValueError(f"`span_loss_weight` is {self.span_loss_weight}; write a weight of 0 or more.")
        depths = cast(list[int], self.num_cmt_layers)
        if len(depths) != 3 or min(depths) < 1:
            raise ValueError(f"`num_cmt_layers` is {self.num_cmt_layers}; write three depths of 1 or more.")


@strict
class UMGFConfig(SubwordConfig):
    """Configuration of [`UMGFForTokenClassification`], unified multimodal graph fusion (Zhang et al. 2021).

    Args:
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the image encoder; ResNet-152 by default.
        resnet_batch_norm (`str`, defaults to `"fixed"`): as in [`TwoMNERConfig`].
        visual_nodes (`str`, defaults to `"grid"`): the picture's nodes in the graph: the ResNet's `"grid"` of regions,
            `"grid_pool"`, pooled to `grid_size` x `grid_size`, or `"objects"`, crops that the caller provides.
        grid_size (`int`, defaults to 2): side of the pooled grid.
        graph_size (`int`, defaults to 512): size d of a node.
        graph_heads (`int`, defaults to 8): attention heads within a modality.
        graph_intermediate_size (`int`, defaults to 256): width of the feed-forward layers.
        num_fusion_layers (`int`, defaults to 2): number of fusion layers L; 2 in the paper, 6 in the authors' code.
        text_projection (`str`, defaults to `"linear"`): from BERT to the nodes: `"linear"` as in the code, or
            `"mlp"`, two layers with ReLU, as in the paper.
        sinusoidal_positions (`bool`, defaults to `False`): add positions to BERT's states first, as in the paper.
        concat_bert (`bool`, defaults to `True`): also predict the tags from BERT's states, as in the code.
        dropout (`float`, defaults to 0.5): as in the paper; 0.4 in the authors' code.
        layer_norm_eps (`float`, defaults to 1e-5): epsilon of the new layers' layer norms.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import UMGFConfig

    >>> config = UMGFConfig(visual_nodes="grid_pool", num_fusion_layers=6)
    >>> config.num_fusion_layers, config.grid_size
    (6, 2)
    ```
    """

    model_type = "umgf"
    choices = {  # noqa: RUF012
        "label_scheme": LABEL_SCHEMES,
        "resnet_batch_norm": ("fixed", "train"),
        "visual_nodes": ("grid", "grid_pool", "objects"),
        "text_projection": ("linear", "mlp"),
    }
    image_switches = {"resnet": "use_image"}  # noqa: RUF012
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "resnet_config": RESNET_152}  # noqa: RUF012
    sub_configs_defaults = {"text_config": TEXT_CONFIG, "resnet_config": RESNET_CONFIG}  # noqa: RUF012
    default_auto_map = auto_map("UMGF", "configuration_subwords", "modeling_umgf")

    resnet_config: SubConfig = None
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
    layer_norm_eps: float | int = 1e-5

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input."""
        return self.graph_size + (self.hidden_size if self.concat_bert else 0)

    @property
    def classifier_dropout(self) -> float:
        """No dropout, as in the authors' code."""
        return 0.0

    def object_crops(self, picture_size: int) -> dict[str, int]:
        """With `visual_nodes="objects"`, crops as large as whole pictures."""
        return {"object_size": picture_size} if self.visual_nodes == "objects" else {}

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
            encoder; ViT-B/32 by default.
        fusion_start_layer (`int`, defaults to 9): the first layer, counted from 1, that fuses text and picture.
        use_whole_image (`bool`, defaults to `True`): read the whole picture. `False` restores the authors' code, which
            reads only the crops, and nothing without crops.
        num_aux_crops (`int`, defaults to 3): maximum number of object crops of a picture.
        aux_crop_size (`int`, defaults to 128): their side in pixels.
        num_rcnn_crops (`int`, defaults to 3): maximum number of crops of a second, smaller kind.
        rcnn_crop_size (`int`, defaults to 64): their side in pixels.

    All other fields are those of [`SubwordConfig`] and [`TaggingConfig`].

    Example:

    ```python
    >>> from modeling_2mner import MKGFormerConfig

    >>> config = MKGFormerConfig(fusion_start_layer=11)
    >>> config.vision_config.num_hidden_layers, config.fusion_start_layer
    (12, 11)
    ```
    """

    model_type = "mkgformer"
    choices = {"label_scheme": LABEL_SCHEMES}  # noqa: RUF012
    image_switches = {"vision": "use_image"}  # noqa: RUF012
    encoder_defaults = {"text_config": MULTILINGUAL_BERT, "vision_config": CLIP_VIT_B_32}  # noqa: RUF012
    sub_configs_defaults = {  # noqa: RUF012
        "text_config": TEXT_CONFIG,
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
    }
    default_auto_map = auto_map("MKGFormer", "configuration_subwords", "modeling_mkgformer")

    vision_config: SubConfig = None
    fusion_start_layer: int = 9
    use_whole_image: bool = True
    num_aux_crops: int = 3
    aux_crop_size: int = 128
    num_rcnn_crops: int = 3
    rcnn_crop_size: int = 64

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input."""
        return self.hidden_size

    def object_crops(self, picture_size: int) -> dict[str, int]:
        """Both kinds of crops."""
        return {
            "object_size": self.aux_crop_size,
            "max_objects": self.num_aux_crops,
            "small_object_size": self.rcnn_crop_size,
            "max_small_objects": self.num_rcnn_crops,
        }

    def _check_ranges(self) -> None:
        super()._check_ranges()
        self._check_positive("aux_crop_size", "rcnn_crop_size")
        for field in ("num_aux_crops", "num_rcnn_crops"):
            if getattr(self, field) < 0:
                raise ValueError(f"`{field}` is {getattr(self, field)}; write a number of crops, or 0 for no crops.")

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        if not self.use_image:
            return
        text, vision = self.text_config, self.vision_config
        if text.model_type not in BERT_FAMILY or vision.model_type != "clip_vision_model":
            raise ValueError(
                f"the encoders are {text.model_type!r} and {vision.model_type!r}; choose a text encoder of "
                f"{', '.join(map(repr, BERT_FAMILY))} and CLIP's image tower, whose layers this model can take apart."
            )
        if _layer_shape(text) != _layer_shape(vision):
            raise ValueError(
                "layers, size and heads of the text encoder are {}, {} and {}, of the ViT {}, {} and {}; choose "
                "encoders that agree, as their layers are paired.".format(*_layer_shape(text), *_layer_shape(vision))
            )
        if not 2 <= self.fusion_start_layer <= text.num_hidden_layers:
            raise ValueError(
                f"`fusion_start_layer` is {self.fusion_start_layer}; write a layer from 2 to {text.num_hidden_layers}."
            )
        for field in ("aux_crop_size", "rcnn_crop_size"):
            if getattr(self, field) % vision.patch_size:
                raise ValueError(
                    f"`{field}` is {getattr(self, field)}; write a multiple of {vision.patch_size}, the ViT's patch."
                )


def _layer_shape(config: PreTrainedConfig) -> tuple[int, int, int]:
    return config.num_hidden_layers, config.hidden_size, config.num_attention_heads


__all__ = ["BertCRFConfig", "MKGFormerConfig", "SubwordConfig", "UMGFConfig", "UMTConfig"]
