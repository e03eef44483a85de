"""Configuration of 2M-NER: three encoders and every scientific choice of the model, one field each."""

import copy
import difflib

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-MISC", "I-MISC")

# The paper's three encoders (section 5.1). Used when a sub-config is left out altogether.
MULTILINGUAL_BERT = {"model_type": "bert", "vocab_size": 119_547}
CLIP_VIT_B_32 = {"model_type": "clip_vision_model"}
RESNET_152 = {"model_type": "resnet", "depths": [3, 8, 36, 3]}

CHOICES = {
    "vit_tokens": ("all", "patches"),
    "resnet_features": ("regions", "pooled"),
    "resnet_batch_norm": ("fixed", "train"),
    "contrastive_text_pooling": ("pooler", "cls", "mean"),
    "contrastive_vit_pooling": ("flatten", "cls", "mean"),
    "contrastive_loss": ("ntxent", "infonce"),
}


@strict
class TwoMNERConfig(PreTrainedConfig):
    """Configuration of [`TwoMNERModel`] and [`TwoMNERForTokenClassification`]; the defaults are the paper's network.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): any text encoder of `AutoModel`; multilingual BERT.
        vision_config (`dict` or `PreTrainedConfig`, *optional*): the ViT; CLIP ViT-B/32's image tower.
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the convolutional encoder; ResNet-152.
        num_text_layers (`int`, *optional*): use the first M layers of the text encoder (section 4.2.1); all.
        num_vision_layers (`int`, *optional*): use the first K layers of the ViT (section 4.2.2); all.
        use_vit (`bool`, defaults to `True`): create the ViT branch and its contrastive loss (Table 9).
        use_resnet (`bool`, defaults to `True`): create the ResNet branch and its contrastive loss (Table 9).
        use_crf (`bool`, defaults to `True`): decode with a CRF (Eq. 15-17); otherwise softmax and cross-entropy.
        vit_tokens (`str`, defaults to `"all"`): `"all"` attends to class token and patches, `"patches"` to patches.
        resnet_features (`str`, defaults to `"regions"`): the 7x7 grid as keys, or one `"pooled"` vector.
        resnet_batch_norm (`str`, defaults to `"fixed"`): `"fixed"` keeps the running statistics of the pretrained
            ResNet while its weights train; `"train"` uses batch statistics, for a ResNet trained from scratch.
        collaboration_heads (`int`, *optional*): heads m of Eq. 11; as many as the text encoder has.
        collaboration_ffn (`bool`, defaults to `True`): the MLP sub-layer of Eq. 14.
        collaboration_intermediate_size (`int`, *optional*): width of that MLP; four times the text hidden size.
        fusion_projection (`bool`, defaults to `False`): a linear map back to the text hidden size before the
            classifier, as the released code has and the paper has not.
        dropout (`float`, defaults to 0.1): dropout of all layers outside the encoders (section 5.1).
        layer_norm_eps (`float`, defaults to 1e-12): epsilon of the collaboration modules' layer norms.
        alpha (`float`, defaults to 0.8): weight of the CRF loss in Eq. 18; the contrastive losses weigh 1 - alpha.
        projection_dim (`int`, *optional*): size of the aligned embeddings (Eq. 7-8); the text hidden size.
        contrastive_text_pooling (`str`, defaults to `"pooler"`): h_t is BERT's pooler output, the `"cls"` state or
            the `"mean"` over word vectors.
        contrastive_vit_pooling (`str`, defaults to `"flatten"`): h_i is all ViT tokens flattened, the `"cls"` token
            or the `"mean"` over tokens.
        contrastive_loss (`str`, defaults to `"ntxent"`): NT-Xent over 2N embeddings (Eq. 9-10) or cross-modal
            `"infonce"`.
        contrastive_temperature (`float`, defaults to 0.5): tau of Eq. 9.
        mask_duplicate_images (`bool`, defaults to `False`): sentences that share a picture (translations) are not
            each other's negatives.
        crf_constrained_decoding (`bool`, defaults to `True`): Viterbi returns valid IOB2 only.
        crf_constrained_likelihood (`bool`, defaults to `False`): normalise Eq. 16 over valid IOB2 only.

    Raises:
        ValueError: for an unknown value, a contradiction or a misspelt field, with the value to write instead.
    """

    model_type = "2m-ner"
    keys_to_ignore_at_inference = [  # noqa: RUF012
        *("logits", "text_embeds", "vit_embeds", "resnet_embeds", "cross_attentions")
    ]
    sub_configs_defaults = {  # noqa: RUF012  (transformers reads this class attribute)
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "resnet_config": SubConfigSpec(config_class=AutoConfig, model_type="resnet"),
    }
    default_auto_map = {  # noqa: RUF012
        "AutoConfig": "configuration_2mner.TwoMNERConfig",
        "AutoModel": "modeling_2mner.TwoMNERModel",
        "AutoModelForTokenClassification": "modeling_2mner.TwoMNERForTokenClassification",
    }

    default_custom_pipelines = {  # noqa: RUF012
        "multimodal-ner": {
            "impl": "pipeline_2mner.TwoMNERPipeline",
            "pt": ["AutoModelForTokenClassification"],
            "type": "multimodal",
        }
    }

    text_config: PreTrainedConfig | dict | None = None
    vision_config: PreTrainedConfig | dict | None = None
    resnet_config: PreTrainedConfig | dict | None = None
    num_text_layers: int | None = None
    num_vision_layers: int | None = None
    use_vit: bool = True
    use_resnet: bool = True
    use_crf: bool = True
    vit_tokens: str = "all"
    resnet_features: str = "regions"
    resnet_batch_norm: str = "fixed"
    collaboration_heads: int | None = None
    collaboration_ffn: bool = True
    collaboration_intermediate_size: int | None = None
    fusion_projection: bool = False
    dropout: float | int = 0.1
    layer_norm_eps: float | int = 1e-12
    alpha: float | int = 0.8
    projection_dim: int | None = None
    contrastive_text_pooling: str = "pooler"
    contrastive_vit_pooling: str = "flatten"
    contrastive_loss: str = "ntxent"
    contrastive_temperature: float | int = 0.5
    mask_duplicate_images: bool = False
    crf_constrained_decoding: bool = True
    crf_constrained_likelihood: bool = False

    def __post_init__(self, **kwargs):
        self._refuse_misspelt(kwargs)
        # Not `SubConfigSpec(init_kwargs=...)`: a partial dict read back from JSON would not inherit those.
        self.text_config = MULTILINGUAL_BERT if self.text_config is None else self.text_config
        self.vision_config = CLIP_VIT_B_32 if self.vision_config is None else self.vision_config
        self.resnet_config = RESNET_152 if self.resnet_config is None else self.resnet_config
        for field in self.sub_configs_defaults:  # they may be the caller's, and are changed from here on
            setattr(self, field, copy.deepcopy(getattr(self, field)))
        self._name_labels(kwargs)
        kwargs.setdefault("auto_map", dict(self.default_auto_map))
        kwargs.setdefault("custom_pipelines", copy.deepcopy(self.default_custom_pipelines))
        super().__post_init__(**kwargs)
        self._keep_first_layers("num_text_layers", self.text_config)
        self._keep_first_layers("num_vision_layers", self.vision_config)
        self.check()

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Make a config from a saved one; fields given as keywords count as if they had been saved.

        `PreTrainedConfig` would set them on the finished config, where nothing checks them and `num_text_layers` has
        no effect.
        """
        changeable = {*cls._own_fields(), "id2label", "label2id"} - set(cls.sub_configs_defaults)
        changes = {name: kwargs.pop(name) for name in changeable & set(kwargs)}
        return super().from_dict({**config_dict, **changes}, **kwargs)

    def to_dict(self) -> dict:
        """What is saved; without the folders that the encoders came from, which name directories of this machine."""
        saved = super().to_dict()
        for name in self.sub_configs_defaults:
            saved[name].pop("_name_or_path", None)
        return saved

    @property
    def hidden_size(self) -> int:
        """Size d of a word vector before fusion."""
        return self.text_config.hidden_size

    @property
    def num_branches(self) -> int:
        """How many image branches the network has."""
        return int(self.use_vit) + int(self.use_resnet)

    @property
    def fused_size(self) -> int:
        """Size of a word vector after fusion: one d per branch, or d without any."""
        return self.hidden_size * max(self.num_branches, 1)

    @property
    def num_vit_tokens(self) -> int:
        """How many ViT tokens a picture gives to the collaboration module."""
        patches = (self.vision_config.image_size // self.vision_config.patch_size) ** 2
        return patches + (self.vit_tokens == "all")

    def check(self) -> None:
        """Raise `ValueError` on an unknown value or a contradiction between fields."""
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                choices = ", ".join(repr(choice) for choice in allowed)
                raise ValueError(f"`{field}` is {getattr(self, field)!r}; write one of {choices}.")
        self._check_ranges()
        self._check_contradictions()

    def validate_choices(self):
        """Run [`~TwoMNERConfig.check`] again when the config is saved (called by the strict dataclass)."""
        self.check()

    def _check_ranges(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` is {self.alpha}; write a weight from 0 to 1 (the paper's is 0.8).")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` is {self.dropout}; write a rate from 0 to below 1 (the paper's is 0.1).")
        if not self.contrastive_temperature > 0:
            raise ValueError(f"`contrastive_temperature` is {self.contrastive_temperature}; write a number above 0.")
        for field in ("collaboration_intermediate_size", "projection_dim"):
            if getattr(self, field) is not None and getattr(self, field) < 1:
                raise ValueError(f"`{field}` is {getattr(self, field)}; write a number above 0, or leave it out.")
        heads = self.num_collaboration_heads
        if heads < 1 or self.hidden_size % heads:
            raise ValueError(
                f"`collaboration_heads` is {heads}, which does not divide the text hidden size {self.hidden_size}; "
                "write a divisor of it."
            )

    def _check_contradictions(self) -> None:
        if self.vit_tokens == "patches" and self.contrastive_vit_pooling == "cls":
            raise ValueError(
                '`contrastive_vit_pooling="cls"` needs the class token, which `vit_tokens="patches"` leaves out; '
                'write `vit_tokens="all"` or `contrastive_vit_pooling="mean"`.'
            )
        if self.crf_constrained_likelihood and not self.use_crf:
            raise ValueError("`crf_constrained_likelihood=True` needs a CRF; write `use_crf=True`.")
        if self.fusion_projection and not self.num_branches:
            raise ValueError("`fusion_projection=True` needs an image branch; write `fusion_projection=False`.")
        if sorted(self.id2label) != list(range(len(set(self.id2label.values())))):
            raise ValueError(f"`id2label` is {self.id2label}; number different labels from 0 on without gaps.")
        if self.label2id != {label: index for index, label in self.id2label.items()}:
            raise ValueError("`label2id` is not the inverse of `id2label`; pass both, made from one list of labels.")
        for field, encoder_config in (
            ("num_text_layers", self.text_config),
            ("num_vision_layers", self.vision_config),
        ):
            if getattr(self, field) not in (None, encoder_config.num_hidden_layers):
                raise ValueError(
                    f"`{field}` is {getattr(self, field)}, but the encoder's config has "
                    f"{encoder_config.num_hidden_layers} layers; pass `{field}` to the constructor or `from_pretrained`."
                )

    @property
    def num_collaboration_heads(self) -> int:
        """Heads m of Eq. 11: `collaboration_heads`, or the text encoder's number."""
        if self.collaboration_heads is not None:
            return self.collaboration_heads
        return self.text_config.num_attention_heads

    def _name_labels(self, kwargs: dict) -> None:
        if self.id2label is None:
            if kwargs.get("num_labels") not in (None, len(LABELS)):
                raise ValueError(f"`num_labels` is {kwargs['num_labels']}; pass `id2label` and `label2id` instead.")
            self.id2label = dict(enumerate(LABELS))
        if self.label2id is None:
            self.label2id = {label: int(index) for index, label in self.id2label.items()}

    def _keep_first_layers(self, field: str, encoder_config: PreTrainedConfig) -> None:
        wanted = getattr(self, field)
        if wanted is None:
            return
        if not 1 <= wanted <= encoder_config.num_hidden_layers:
            raise ValueError(
                f"`{field}` is {wanted}, but the encoder has {encoder_config.num_hidden_layers} layers; "
                f"write a number from 1 to {encoder_config.num_hidden_layers}, or leave it out for all."
            )
        encoder_config.num_hidden_layers = wanted

    @classmethod
    def _own_fields(cls) -> list[str]:
        return [field for field in cls.__dataclass_fields__ if field not in PreTrainedConfig.__dataclass_fields__]

    def _refuse_misspelt(self, kwargs: dict) -> None:
        for name in kwargs:
            close = difflib.get_close_matches(name, self._own_fields(), n=1, cutoff=0.8)
            if close and not hasattr(type(self), name):
                raise ValueError(f"`{name}` is not a field of {type(self).__name__}; did you mean `{close[0]}`?")


__all__ = ["LABELS", "TwoMNERConfig"]
