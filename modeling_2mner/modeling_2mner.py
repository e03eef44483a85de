"""2M-NER: words and a picture in, IOB2 tags out. `forward` follows the paper's Fig. 2 from bottom to top."""

from typing import Any, TypeAlias, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .alignment import ProjectionHead, contrastive_loss
from .configuration_2mner import TwoMNERConfig
from .encoders import (
    build_encoder,
    choose_pictures,
    default_first_window,
    default_image_index,
    encode_resnet,
    encode_windows,
    gather_images,
    gather_words,
    load_text_encoder,
    load_vision_encoder,
    pool_text,
    pool_vit,
    without_pooler,
)
from .foreign_inputs import refuse_foreign
from .fusion import MultimodalCollaboration
from .outputs import TaggerOutput, TwoMNERModelOutput, TwoMNERTokenClassifierOutput
from .tagging import PieceModel, TaggingPreTrainedModel, WordTagger, is_empty

# Fused words, aligned embeddings and attention weights; words and embeddings are `None` if there is no such branch.
Branch: TypeAlias = tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]


class TwoMNERPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of the 2M-NER models."""

    config: TwoMNERConfig
    _no_split_modules = ["MultimodalCollaboration"]  # noqa: RUF012


class TwoMNERModel(TwoMNERPreTrainedModel, PieceModel):
    """The network below the decoder: encoders, alignment and collaboration modules (sections 4.2-4.4).

    Args:
        config ([`TwoMNERConfig`]): the architecture.
        text_model, vision_model, resnet_model (`PreTrainedModel`, *optional*): loaded encoders; by default
            built from `config` with new weights.

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import TwoMNERConfig, TwoMNERModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERConfig(
    ...     text_config={"model_type": "bert", "vocab_size": 8, **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     use_resnet=False,
    ... )
    >>> model = TwoMNERModel(config).eval()  # with new weights
    >>> outputs = model(
    ...     input_ids=torch.tensor([[2, 5, 6, 7, 3]]),
    ...     attention_mask=torch.ones(1, 5, dtype=torch.long),
    ...     word_positions=torch.tensor([[1, 2, 3]]),
    ...     pixel_values=torch.zeros(1, 3, 32, 32),
    ... )
    >>> outputs.last_hidden_state.shape  # (sentences, words, hidden)
    torch.Size([1, 3, 32])
    ```
    """

    encoders = ("text", "vision", "resnet")
    _keys_to_ignore_on_load_unexpected = [r"^(fusion_projection|classifier|crf)\."]  # noqa: RUF012  # the decoder's

    def __init__(
        self,
        config: TwoMNERConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
        resnet_model: PreTrainedModel | None = None,
    ):
        config.check()  # again: fields may have been set since it was made
        super().__init__(config)
        pooler = config.uses_image and config.contrastive_text_pooling == "pooler"
        self._add_text_model(config, text_model, pooler)
        if config.use_vit:
            self._create_vit_branch(config, vision_model)
        if config.use_resnet:
            self._create_resnet_branch(config, resnet_model)
        if config.num_branches:
            self.text_head = ProjectionHead(config.hidden_size, config.projection_dim or config.hidden_size)
        self.post_init()
        self.train()  # freezes fixed batch norms from the start; loaded encoders come in eval mode

    def _create_vit_branch(self, config: TwoMNERConfig, vision_model: PreTrainedModel | None) -> None:
        self.vision_model = build_encoder(config.vision_config) if vision_model is None else vision_model
        config.vision_config = self.vision_model.config
        size = config.vision_config.hidden_size
        pooled_size = size * config.num_vit_tokens if config.contrastive_vit_pooling == "flatten" else size
        self.vit_head = ProjectionHead(pooled_size, config.projection_dim or config.hidden_size)
        self.vit_collaboration = self._build_collaboration(config, size)

    def _create_resnet_branch(self, config: TwoMNERConfig, resnet_model: PreTrainedModel | None) -> None:
        channels = self._add_resnet_model(config, resnet_model)
        self.resnet_head = ProjectionHead(channels, config.projection_dim or config.hidden_size)
        self.resnet_projection = nn.Linear(channels, config.hidden_size)  # W_r, section 4.2.2
        self.resnet_collaboration = self._build_collaboration(config, config.hidden_size)

    def _build_collaboration(self, config: TwoMNERConfig, region_size: int) -> MultimodalCollaboration:
        return MultimodalCollaboration(config, region_size)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        word_positions: torch.Tensor | None = None,
        word_mask: torch.Tensor | None = None,
        first_window: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        resnet_pixel_values: torch.Tensor | None = None,
        image_index: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        image_features: torch.Tensor | None = None,
        resnet_image_features: torch.Tensor | None = None,
        image_hashes: torch.Tensor | None = None,
        output_embeds: bool = True,
    ) -> TwoMNERModelOutput:
        """Encode words and pictures, and let the words attend to the pictures.

        Args:
            input_ids, attention_mask: `(windows, pieces)`.
            word_positions: `(batch, words)`, each word's first piece in the flattened `(windows * pieces)` axis.
            word_mask: `(batch, words)` bool, true where there is a word; all by default.
            first_window: `(batch,)`, a sentence's first window; by default each sentence has one window.
            pixel_values, resnet_pixel_values: `(images, 3, height, width)` for the ViT and the ResNet; without
                both, all sentences are text only.
            image_index: `(batch,)`, each sentence's picture, -1 for none; by default one picture per sentence, in
                order.
            output_attentions: return both cross-attentions; needs eager attention.
            image_features, resnet_image_features: what [`~TwoMNERModel.encode_images`] returned, in the place of pixels.
            image_hashes: `(images,)`, equal for equal pictures; not used here, but by the Trainer.
            output_embeds: return embeddings; `False` skips heads and pooler, which only the contrastive losses read.

        Raises:
            ValueError: for inputs that contradict each other; the message gives the remedy.
        """
        pictures = choose_pictures(pixel_values, image_features)
        resnet_pictures = choose_pictures(resnet_pixel_values, resnet_image_features)
        self._check_inputs(word_positions, pictures, resnet_pictures, output_attentions)
        input_ids, word_positions = cast(torch.Tensor, input_ids), cast(torch.Tensor, word_positions)
        text, words = self.encode_text(input_ids, attention_mask, word_positions, output_embeds)  # `words` is T
        if not self.config.num_branches:
            return TwoMNERModelOutput(last_hidden_state=words)

        if word_mask is None:
            word_mask = torch.ones_like(word_positions, dtype=torch.bool)
        if first_window is None:
            first_window = default_first_window(input_ids, word_positions)
        if image_index is None:
            image_index = default_image_index(first_window, resnet_pictures if pictures is None else pictures)
        text_embeds = self._embed_text(text, words, word_mask, first_window) if output_embeds else None
        vit = self.vit_branch(words, pixel_values, image_index, text_embeds, image_features)
        resnet = self.resnet_branch(words, resnet_pixel_values, image_index, text_embeds, resnet_image_features)
        attentions = tuple(weights for _, _, weights in (vit, resnet) if weights is not None)
        return TwoMNERModelOutput(
            last_hidden_state=torch.cat([fused for fused, _, _ in (vit, resnet) if fused is not None], dim=-1),
            text_embeds=text_embeds,
            vit_embeds=vit[1],
            resnet_embeds=resnet[1],
            cross_attentions=(attentions or None) if output_attentions else None,
        )

    def encode_text(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        word_positions: torch.Tensor,
        pooler: bool = True,
    ) -> tuple[BaseModelOutputWithPooling, torch.Tensor]:
        """Run the text encoder: its outputs, and the state of each word's first piece `(batch, words, hidden)`."""
        text_model = self.text_model if pooler else without_pooler(self.text_model)
        text = encode_windows(text_model, input_ids, attention_mask, word_positions.shape[0])
        return text, gather_words(text.last_hidden_state, word_positions)

    def _embed_text(self, text: Any, words: torch.Tensor, word_mask: torch.Tensor, first_window: torch.Tensor) -> Any:
        """h'_t of Eq. 7, `(batch, projection)`."""
        return self.text_head(pool_text(text, words, word_mask, first_window, self.config.contrastive_text_pooling))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~TwoMNERModel.encode_images`] returns."""
        used = {"image_features": self.config.use_vit, "resnet_image_features": self.config.use_resnet}
        return tuple(name for name in used if used[name])

    def encode_images(
        self, pixel_values: torch.Tensor | None = None, resnet_pixel_values: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Run the image towers alone; `forward` takes the result in the place of pixels.

        Returns:
            `image_features (images, tokens, size)` of the ViT and `resnet_image_features (images, regions, channels)` of
            the ResNet, those that the model has; with `resnet_features="pooled"` the ResNet has one region.
        """
        features = {}
        if self.config.use_vit:
            features["image_features"] = self.vision_model(pixel_values=pixel_values).last_hidden_state
        if self.config.use_resnet:
            grid, pooled = self.encode_resnet(cast(torch.Tensor, resnet_pixel_values))
            regions = grid if self.config.resnet_features == "regions" else pooled[:, None]
            features["resnet_image_features"] = regions
        return features

    def vit_branch(
        self,
        words: torch.Tensor,
        pixel_values: torch.Tensor | None,
        image_index: torch.Tensor,
        text_embeds: torch.Tensor | None,
        image_features: torch.Tensor | None = None,
    ) -> Branch:
        """Align and fuse the words with the ViT's tokens.

        Shapes: words `(batch, words, hidden)`, pixel_values `(images, 3, height, width)` or `None`, image_index
        `(batch,)`, text_embeds `(batch, projection)`, without which there is no h'_i either, image_features `(images,
        tokens, size)` in the place of pixels; returns fused words `(batch, words, hidden)`, h'_i `(batch, projection)`
        and attention weights.
        """
        if not self.config.use_vit:
            return None, None, None
        if pixel_values is None and image_features is None:
            return self.vit_collaboration(words)[0], _zeros_like(text_embeds), None
        if image_features is None:
            tokens = self.vision_model(pixel_values=pixel_values).last_hidden_state  # v_K: (images, tokens, size)
        else:
            tokens = image_features.to(words.dtype)
        tokens = tokens[:, 1:] if self.config.vit_tokens == "patches" else tokens
        embeds = None
        if text_embeds is not None:
            embeds = self.vit_head(pool_vit(tokens, self.config.contrastive_vit_pooling))  # Eq. 8
        return self._collaborate(self.vit_collaboration, words, tokens, embeds, image_index)

    def resnet_branch(
        self,
        words: torch.Tensor,
        pixel_values: torch.Tensor | None,
        image_index: torch.Tensor,
        text_embeds: torch.Tensor | None,
        image_features: torch.Tensor | None = None,
    ) -> Branch:
        """Align and fuse the words with the ResNet's grid; shapes as in [`~TwoMNERModel.vit_branch`]."""
        if not self.config.use_resnet:
            return None, None, None
        if pixel_values is None and image_features is None:
            return self.resnet_collaboration(words)[0], _zeros_like(text_embeds), None
        if image_features is None:
            grid, pooled = self.encode_resnet(cast(torch.Tensor, pixel_values))
        else:
            grid = image_features.to(words.dtype)
            pooled = grid.mean(dim=1)
        embeds = None if text_embeds is None else self.resnet_head(pooled)  # Eq. 8
        regions = grid if self.config.resnet_features == "regions" else pooled[:, None]
        regions = self.resnet_projection(regions)  # R': (images, regions, hidden)
        return self._collaborate(self.resnet_collaboration, words, regions, embeds, image_index)

    def encode_resnet(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the ResNet: its grid `(images, height * width, channels)` and its mean `(images, channels)`."""
        return encode_resnet(self.resnet_model, pixel_values)

    def _collaborate(
        self,
        collaboration: nn.Module,
        words: torch.Tensor,
        regions: torch.Tensor,
        embeds: torch.Tensor | None,
        image_index: torch.Tensor,
    ) -> Branch:
        has_image = image_index >= 0
        fused, weights = collaboration(words, gather_images(regions, image_index), has_image)
        if embeds is not None:
            embeds = gather_images(embeds, image_index).masked_fill(~has_image[:, None], 0.0)
        return fused, embeds, weights

    def _check_inputs(
        self,
        word_positions: torch.Tensor | None,
        pixel_values: torch.Tensor | None,
        resnet_pixel_values: torch.Tensor | None,
        output_attentions: bool | None,
    ) -> None:
        if word_positions is None:
            raise ValueError("`word_positions` is missing; make the inputs with `TwoMNERProcessor`.")
        both = self.config.use_vit and self.config.use_resnet
        if both and (pixel_values is None) != (resnet_pixel_values is None):
            raise ValueError(
                "pass both `pixel_values` and `resnet_pixel_values`, or the features of both, or none for text only."
            )
        vit, resnet = [0 if pixels is None else pixels.shape[0] for pixels in (pixel_values, resnet_pixel_values)]
        if both and vit != resnet:
            raise ValueError(
                f"`pixel_values` holds {vit} pictures and `resnet_pixel_values` holds {resnet}; pass the same pictures "
                "to both."
            )
        if output_attentions and self.config._attn_implementation != "eager":
            raise ValueError(
                f"`output_attentions=True` needs eager attention, not {self.config._attn_implementation!r}; call "
                '`model.set_attn_implementation("eager")` first.'
            )


class TwoMNERForTokenClassification(TwoMNERPreTrainedModel, WordTagger):
    """2M-NER with its decoder: dropout, a linear layer and a CRF over words (section 4.5).

    Args:
        config ([`TwoMNERConfig`]): the architecture.
        text_model, vision_model, resnet_model (`PreTrainedModel`, *optional*): loaded encoders, see
            [`~TwoMNERForTokenClassification.from_encoders`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import TwoMNERConfig, TwoMNERForTokenClassification, TwoMNERProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = TwoMNERConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     resnet_config={"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    ... )
    >>> model = TwoMNERForTokenClassification(config).eval()  # with new weights
    >>> processor = TwoMNERProcessor.for_model(model, tokenizer, resnet_image_size=32)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (64, 64)), None])
    >>> model(**batch).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    base_model_class = TwoMNERModel
    reads_text_apart = True
    has_embeds = True

    def _create_decoder(self, config: TwoMNERConfig) -> None:
        self.fusion_projection = (
            nn.Linear(config.fused_size, config.hidden_size) if config.fusion_projection else nn.Identity()
        )
        super()._create_decoder(config)

    @classmethod
    def from_encoders(  # type: ignore[override]  # names the encoders
        cls, text: str | None = None, vision: str | None = None, resnet: str | None = None, **config: Any
    ) -> Any:
        """Assemble a model from pretrained encoders, in eval mode; everything else starts with new weights.

        Args:
            text: Hub id or folder of a text encoder, such as `"google-bert/bert-base-multilingual-cased"`.
            vision: Hub id or folder of a ViT or a full CLIP model, such as `"openai/clip-vit-base-patch32"`;
                without it the model has no ViT branch.
            resnet: Hub id or folder of a ResNet, such as `"microsoft/resnet-152"`, or the file of a torchvision state
                dict; without it the model has no ResNet branch.
            **config: fields of [`TwoMNERConfig`].

        Raises:
            ValueError: without a text encoder, and for a requested branch without an encoder.
        """
        return super().from_encoders(text=text, vision=vision, resnet=resnet, **config)

    @classmethod
    def _load_encoder(cls, name: str, source: str, settings: dict) -> nn.Module:
        if name == "vision":
            return load_vision_encoder(source, settings.get("num_vision_layers"))
        if name == "text":
            pooling = settings.get("contrastive_text_pooling", "pooler") == "pooler"
            pooler = pooling and (settings["use_vit"] or settings["use_resnet"])
            return load_text_encoder(source, settings.get("num_text_layers"), pooler)
        return super()._load_encoder(name, source, settings)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        word_positions: torch.Tensor | None = None,
        word_mask: torch.Tensor | None = None,
        first_window: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        resnet_pixel_values: torch.Tensor | None = None,
        image_index: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        image_features: torch.Tensor | None = None,
        resnet_image_features: torch.Tensor | None = None,
        image_hashes: torch.Tensor | None = None,
        output_embeds: bool = True,
    ) -> TwoMNERTokenClassifierOutput | TaggerOutput:
        """Tag the words of a batch, or the pieces of text without `word_positions`, see [`tag_pieces`].

        Args:
            labels: `(batch, words)` tags, -100 where there is no word; for the loss.
            input_ids, attention_mask, word_positions, word_mask, first_window, pixel_values, resnet_pixel_values,
                image_index, output_attentions, image_features, resnet_image_features, image_hashes, output_embeds: see
                [`TwoMNERModel.forward`].
            token_type_ids: zeros; only for pieces.
            inputs_embeds, output_hidden_states: None, as PEFT passes them.

        Returns:
            [`TwoMNERTokenClassifierOutput`]; its `loss` is only L_CRF. The Trainer, which sees the negatives of other
            processes, calls [`~TwoMNERForTokenClassification.objective`] for the rest of Eq. 18.
        """
        refuse_foreign(inputs_embeds, output_hidden_states)
        pictures = {"pixel_values": pixel_values, "resnet_pixel_values": resnet_pixel_values}
        pictures |= {"image_features": image_features, "resnet_image_features": resnet_image_features}
        if word_positions is None and input_ids is not None:
            others: dict[str, Any] = {"labels": labels, "token_type_ids": token_type_ids, **pictures}
            return self._tag_pieces(input_ids, attention_mask, **others)
        if is_empty(word_positions):
            embeds = self._empty_embeds() if output_embeds else {}
            return TwoMNERTokenClassifierOutput(**self.empty_answer(word_positions, labels), **embeds)
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            word_positions=word_positions,
            word_mask=word_mask,
            first_window=first_window,
            image_index=image_index,
            output_attentions=output_attentions,
            output_embeds=output_embeds,
            **pictures,
        )
        logits = self.classifier(self.dropout(self.fusion_projection(outputs.last_hidden_state)))  # E of Eq. 15
        if word_mask is None:
            word_mask = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        others = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        return TwoMNERTokenClassifierOutput(**self.read_emissions(logits, labels, word_mask), **others)

    def _empty_embeds(self) -> dict[str, Any]:
        config = self.config
        used = {"text": config.num_branches > 0, "vit": config.use_vit, "resnet": config.use_resnet}
        size = config.projection_dim or config.hidden_size
        return {f"{name}_embeds": self.classifier.weight.new_zeros(0, size) for name in used if used[name]}

    def objective(
        self,
        tag_loss: torch.Tensor,
        text_embeds: torch.Tensor | None,
        vit_embeds: torch.Tensor | None,
        resnet_embeds: torch.Tensor | None,
        image_ids: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """The training objective L = alpha L_CRF + (1 - alpha)(L'_CL + L''_CL) (Eq. 18) and its parts.

        Args:
            tag_loss: scalar, the `loss` of [`~TwoMNERForTokenClassification.forward`].
            text_embeds, vit_embeds, resnet_embeds: `(pairs, projection)`, of this process or of all processes.
            image_ids: `(pairs,)`, equal for equal pictures, negative for a sentence without one.

        Returns:
            `loss`, `crf_loss` and, for each image branch, `vit_contrastive_loss` or `resnet_contrastive_loss`. For a
            text-only model `loss` equals `crf_loss`.
        """
        parts = {"crf_loss": tag_loss}
        for name, embeds in (("vit", vit_embeds), ("resnet", resnet_embeds)):
            if embeds is not None:
                parts[f"{name}_contrastive_loss"] = contrastive_loss(
                    cast(torch.Tensor, text_embeds),
                    embeds,
                    cast(torch.Tensor, image_ids),
                    form=self.config.contrastive_loss,
                    temperature=self.config.contrastive_temperature,
                    mask_duplicates=self.config.mask_duplicate_images,
                )
        if len(parts) == 1:
            return {"loss": tag_loss, **parts}
        contrastive = sum(part for name, part in parts.items() if name != "crf_loss")
        return {"loss": self.config.alpha * tag_loss + (1 - self.config.alpha) * contrastive, **parts}


def _zeros_like(embeds: torch.Tensor | None) -> torch.Tensor | None:
    return None if embeds is None else torch.zeros_like(embeds)


__all__ = ["TwoMNERForTokenClassification", "TwoMNERModel", "TwoMNERPreTrainedModel"]
