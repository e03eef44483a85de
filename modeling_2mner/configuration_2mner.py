"""Configuration of 2M-NER: three encoders and every scientific choice of the model, one field each."""

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from .configuration_tagging import CLIP_VIT_B_32, MULTILINGUAL_BERT, RESNET_152, SubConfig, TaggingConfig, auto_map


@strict
class TwoMNERConfig(TaggingConfig):
    """Configuration of [`TwoMNERModel`] and [`TwoMNERForTokenClassification`]; the defaults are the paper's network.

    Args:
        text_config (`dict` or `PreTrainedConfig`, *optional*): any `AutoModel` text encoder; multilingual BERT by
            default.
        vision_config (`dict` or `PreTrainedConfig`, *optional*): the ViT; CLIP ViT-B/32's image tower by default.
        resnet_config (`dict` or `PreTrainedConfig`, *optional*): the convolutional encoder; ResNet-152 by default.
        num_text_layers (`int`, *optional*): use the first M layers of the text encoder (section 4.2.1);
            all by default.
        num_vision_layers (`int`, *optional*): use the first K layers of the ViT (section 4.2.2); all by
            default.
        use_vit (`bool`, defaults to `True`): create the ViT branch and its contrastive loss (Table 9).
        use_resnet (`bool`, defaults to `True`): create the ResNet branch and its contrastive loss (Table 9).
        use_crf (`bool`, defaults to `True`): decode with a CRF (Eq. 15-17); otherwise softmax and cross-entropy.
        vit_tokens (`str`, defaults to `"all"`): attend to class token and patches, or to `"patches"` only.
        resnet_features (`str`, defaults to `"regions"`): attend to the 7x7 grid, or to one `"pooled"` vector.
        resnet_batch_norm (`str`, defaults to `"fixed"`): `"fixed"` keeps the pretrained ResNet's running statistics
            while its weights train; `"train"` uses batch statistics, for a ResNet trained from scratch.
        collaboration_heads (`int`, *optional*): number of heads m in Eq. 11; the text encoder's by default.
        collaboration_ffn (`bool`, defaults to `True`): the MLP sub-layer of Eq. 14.
        collaboration_intermediate_size (`int`, *optional*): width of that MLP; by default four times the text
            hidden size.
        fusion_projection (`bool`, defaults to `False`): a linear map back to the text hidden size before the
            classifier, as in the released code but not in the paper.
        dropout (`float`, defaults to 0.1): dropout in all layers outside the encoders (section 5.1).
        layer_norm_eps (`float`, defaults to 1e-12): epsilon of the collaboration modules' layer norms.
        alpha (`float`, defaults to 0.8): weight of the CRF loss in Eq. 18; that of the contrastive losses is
            1 - alpha.
        projection_dim (`int`, *optional*): size of the aligned embeddings (Eq. 7-8); the text hidden size by
            default.
        contrastive_text_pooling (`str`, defaults to `"pooler"`): h_t is BERT's pooler output, the `"cls"` state or
            the `"mean"` over word vectors.
        contrastive_vit_pooling (`str`, defaults to `"flatten"`): h_i is all ViT tokens flattened, the `"cls"` token
            or the `"mean"` over tokens.
        contrastive_loss (`str`, defaults to `"ntxent"`): NT-Xent over 2N embeddings (Eq. 9-10) or cross-modal
            `"infonce"`.
        contrastive_temperature (`float`, defaults to 0.5): tau of Eq. 9.
        mask_duplicate_images (`bool`, defaults to `False`): sentences that share a picture (translations) are not
            each other's negatives.
        crf_constrained_decoding (`bool`, defaults to `True`): Viterbi returns only valid IOB2.
        crf_constrained_likelihood (`bool`, defaults to `False`): normalise Eq. 16 only over valid
            IOB2 sequences.
        crf_temperature (`float`, defaults to 1.0): divides all scores where probabilities are computed, see
            [`TaggingConfig`].

    Raises:
        ValueError: for an unknown value, a contradiction or a misspelt field; the message says what to write instead.

    Example:

    ```python
    >>> from modeling_2mner import TwoMNERConfig

    >>> config = TwoMNERConfig(use_resnet=False, num_text_layers=6)
    >>> config.uses_image, config.alpha, config.labels[:3]
    (True, 0.8, ['O', 'B-PER', 'I-PER'])
    ```
    """

    model_type = "2m-ner"
    keys_to_ignore_at_inference = [  # noqa: RUF012
        *("logits", "text_embeds", "vit_embeds", "resnet_embeds", "cross_attentions")
    ]
    choices = {  # noqa: RUF012
        "vit_tokens": ("all", "patches"),
        "resnet_features": ("regions", "pooled"),
        "resnet_batch_norm": ("fixed", "train"),
        "contrastive_text_pooling": ("pooler", "cls", "mean"),
        "contrastive_vit_pooling": ("flatten", "cls", "mean"),
        "contrastive_loss": ("ntxent", "infonce"),
    }
    image_switches = {"vision": "use_vit", "resnet": "use_resnet"}  # noqa: RUF012
    encoder_defaults = {  # noqa: RUF012
        "text_config": MULTILINGUAL_BERT,
        "vision_config": CLIP_VIT_B_32,
        "resnet_config": RESNET_152,
    }
    sub_configs_defaults = {  # noqa: RUF012  (transformers reads this class attribute)
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model"),
        "resnet_config": SubConfigSpec(config_class=AutoConfig, model_type="resnet"),
    }
    default_auto_map = auto_map("TwoMNER", "configuration_2mner", "modeling_2mner")

    text_config: SubConfig = None
    vision_config: SubConfig = None
    resnet_config: SubConfig = None
    num_text_layers: int | None = None
    num_vision_layers: int | None = None
    use_vit: bool = True
    use_resnet: bool = True
    vit_tokens: str = "all"
    resnet_features: str = "regions"
    resnet_batch_norm: str = "fixed"
    collaboration_heads: int | None = None
    collaboration_ffn: bool = True
    collaboration_intermediate_size: int | None = None
    fusion_projection: bool = False
    layer_norm_eps: float | int = 1e-12
    alpha: float | int = 0.8
    projection_dim: int | None = None
    contrastive_text_pooling: str = "pooler"
    contrastive_vit_pooling: str = "flatten"
    contrastive_loss: str = "ntxent"
    contrastive_temperature: float | int = 0.5
    mask_duplicate_images: bool = False

    def _apply_to_encoders(self) -> None:
        self._keep_first_layers("num_text_layers", self.text_config)
        self._keep_first_layers("num_vision_layers", self.vision_config)

    @property
    def hidden_size(self) -> int:
        """Size d of a word vector before fusion."""
        return self.text_config.hidden_size

    @property
    def num_branches(self) -> int:
        """Number of image branches."""
        return int(self.use_vit) + int(self.use_resnet)

    @property
    def fused_size(self) -> int:
        """Size of a word vector after fusion: d per branch, or d without branches."""
        return self.hidden_size * max(self.num_branches, 1)

    @property
    def classifier_size(self) -> int:
        """Size of the classifier's input."""
        return self.hidden_size if self.fusion_projection else self.fused_size

    @property
    def num_vit_tokens(self) -> int:
        """Number of ViT tokens that the collaboration module attends to."""
        patches = (self.vision_config.image_size // self.vision_config.patch_size) ** 2
        return patches + (self.vit_tokens == "all")

    def _check_ranges(self) -> None:
        super()._check_ranges()
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"`alpha` is {self.alpha}; write a weight from 0 to 1 (the paper's is 0.8).")
        if not self.contrastive_temperature > 0:
            raise ValueError(f"`contrastive_temperature` is {self.contrastive_temperature}; write a number above 0.")
        self._check_positive("collaboration_intermediate_size", "projection_dim")
        heads = self.num_collaboration_heads
        if heads < 1 or self.hidden_size % heads:
            raise ValueError(
                f"`collaboration_heads` is {heads}, which does not divide the text hidden size {self.hidden_size}; "
                "write a divisor of it."
            )

    def _check_contradictions(self) -> None:
        super()._check_contradictions()
        if self.vit_tokens == "patches" and self.contrastive_vit_pooling == "cls":
            raise ValueError(
                '`contrastive_vit_pooling="cls"` needs the class token, which `vit_tokens="patches"` drops; '
                'write `vit_tokens="all"` or `contrastive_vit_pooling="mean"`.'
            )
        if self.fusion_projection and not self.num_branches:
            raise ValueError("`fusion_projection=True` needs an image branch; write `fusion_projection=False`.")
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
        """Number of heads m in Eq. 11: `collaboration_heads`, or the text encoder's."""
        if self.collaboration_heads is not None:
            return self.collaboration_heads
        return self.text_config.num_attention_heads

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


__all__ = ["TwoMNERConfig"]
