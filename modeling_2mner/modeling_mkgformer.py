"""MKGFormer (Chen et al. 2022): BERT and CLIP's ViT side by side.

In the last layers the picture's tokens attend to the text through a prefix of keys and values, and the text's
feed-forward layers read the tokens that resemble it.
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.clip.modeling_clip import eager_attention_forward

from .configuration_subwords import MKGFormerConfig
from .encoders import (
    build_encoder,
    choose_pictures,
    default_first_window,
    default_image_index,
    encode_windows,
    gather_images,
    gather_words,
    window_images,
)
from .outputs import TaggerModelOutput
from .tagging import PieceModel, TaggingPreTrainedModel
from .tagging_subwords import SubwordTagger


class Layers(NamedTuple):
    """The encoders' layers that a fusion layer l runs."""

    prefix: Any  # text layer l - 1
    text: Any
    vision: Any


class Masks(NamedTuple):
    """What is not padding: for the text's attention, for the vision's attention, and as a plain mask of tokens."""

    text: Any  # in the form that the encoder's attention takes
    vision: Any
    visible: Tensor | None  # (windows, tokens) bool


class FusionLayer(GradientCheckpointingLayer):
    """A layer that fuses the two streams. It holds only W_3; all other weights are in the encoders' layers.

    Shapes: before and text, T_{l-2} and T_{l-1}, `(windows, pieces, hidden)`; vision, V_{l-1}, `(windows, tokens,
    hidden)` or `None` if no window has a token; returns T_l and V_l.
    """

    def __init__(self, config: MKGFormerConfig):
        super().__init__()
        self.fusion_dense = nn.Linear(config.hidden_size, config.text_config.intermediate_size)

    def forward(
        self, before: Tensor, text: Tensor, vision: Tensor | None, layers: Layers, masks: Masks
    ) -> tuple[Tensor, Tensor | None]:
        if vision is not None:
            vision = guide_vision(layers.vision, vision, text_prefix(layers.prefix, before), masks.vision)
        context = layers.text.attention.self(text, masks.text)[0]  # c, of all heads, before W_o
        aggregated = (
            torch.zeros_like(text) if vision is None else aggregate(context, vision, cast(Tensor, masks.visible))
        )
        attended = layers.text.attention.output(context, text)  # a = LN(T_{l-1} + Drop(W_o c))
        feed_forward = layers.text.intermediate
        inner = feed_forward.intermediate_act_fn(feed_forward.dense(attended) + self.fusion_dense(aggregated))
        return layers.text.output(inner, attended), vision


def text_prefix(layer: Any, states: Tensor) -> tuple[Tensor, Tensor]:
    """The keys and values that a text layer computes from its input: `(windows, heads, pieces, head size)` each."""
    attention = layer.attention.self
    size = attention.attention_head_size
    return _split_heads(attention.key(states), size), _split_heads(attention.value(states), size)


def guide_vision(layer: Any, vision: Tensor, prefix: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
    """A layer of CLIP whose attention sees the text's keys and values before its own; `(windows, tokens, hidden)`."""
    attention = layer.self_attn
    states = layer.layer_norm1(vision)
    query, key, value = (
        _split_heads(project(states), attention.head_dim)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    attended, _ = attend(
        attention,
        query,
        torch.cat([prefix[0], key], dim=2),
        torch.cat([prefix[1], value], dim=2),
        mask,
        scaling=attention.scale,
        dropout=attention.dropout if attention.training else 0.0,
    )
    vision = vision + attention.out_proj(attended.flatten(2))
    return vision + layer.mlp(layer.layer_norm2(vision))


def aggregate(context: Tensor, vision: Tensor, visible: Tensor) -> Tensor:
    """Agg = softmax(c V^T) V over the visible tokens, zero where none is visible.

    Shapes: context `(windows, pieces, hidden)`, vision `(windows, tokens, hidden)`, visible `(windows, tokens)` bool;
    returns `(windows, pieces, hidden)`.
    """
    scores = (context @ vision.transpose(1, 2)).float()  # S: (windows, pieces, tokens)
    scores = scores.masked_fill(~visible[:, None], torch.finfo(scores.dtype).min)
    aggregated = scores.softmax(dim=-1).to(vision.dtype) @ vision
    return aggregated.masked_fill(~visible.any(dim=1)[:, None, None], 0.0)


def _split_heads(states: Tensor, head_size: int) -> Tensor:
    return states.unflatten(-1, (-1, head_size)).transpose(1, 2)


class CropEmbeddings(nn.Module):
    """Tokens of one kind of crops: CLIP's patches with learned positions, separate for each place of a crop."""

    def __init__(self, config: MKGFormerConfig, name: str, num_crops: int, crop_size: int):
        super().__init__()
        self.name = name
        self.num_crops = num_crops
        self.crop_size = crop_size
        self.num_patches = (crop_size // config.vision_config.patch_size) ** 2
        self.positions = nn.Embedding(num_crops * self.num_patches, config.hidden_size)

    def forward(
        self, pixels: Tensor, mask: Tensor | None, patch_embedding: Any, num_sentences: int
    ) -> tuple[Tensor, Tensor]:
        """Embed crops `(batch, crops, 3, size, size)`, with a mask `(batch, crops)`, all true by default.

        Returns tokens `(batch, crops * patches, hidden)` and which are visible.
        """
        self._check(pixels, num_sentences)
        num_crops = pixels.shape[1]
        patches = patch_embedding(pixels.flatten(0, 1).to(patch_embedding.weight.dtype))
        patches = patches.flatten(2).transpose(1, 2)  # (batch * crops, patches, hidden)
        tokens = patches.reshape(num_sentences, num_crops * self.num_patches, patches.shape[-1])
        tokens = tokens + self.positions(torch.arange(tokens.shape[1], device=tokens.device))
        if mask is None:
            mask = torch.ones(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
        return tokens, mask.bool().repeat_interleave(self.num_patches, dim=1)

    def _check(self, pixels: Tensor, num_sentences: int) -> None:
        size = self.crop_size
        wanted = (num_sentences, 3, size, size)
        if pixels.dim() != 5 or (pixels.shape[0], *pixels.shape[2:]) != wanted or pixels.shape[1] > self.num_crops:
            raise ValueError(
                f"`{self.name}` is of shape {tuple(pixels.shape)}; pass ({num_sentences}, crops, 3, {size}, {size}), a "
                f"row for each sentence, with at most {self.num_crops} crops."
            )


class MKGFormerPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of MKGFormer."""

    config: MKGFormerConfig
    _supports_flash_attn = False  # its masks cannot separate the prefix from what attends to it


class MKGFormerModel(MKGFormerPreTrainedModel, PieceModel):
    """Both encoders and the layers that fuse them.

    The encoders and the names of their tensors are those of transformers. Their layers use `attn_implementation`
    (`"sdpa"` or `"eager"`); the attention with a prefix uses that of the ViT.

    Args:
        config ([`MKGFormerConfig`]), text_model, vision_model: see [`PieceModel`].

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import MKGFormerConfig, MKGFormerModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = MKGFormerConfig(
    ...     text_config={"model_type": "bert", "vocab_size": 8, **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     fusion_start_layer=2,
    ... )
    >>> model = MKGFormerModel(config).eval()  # with new weights
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

    encoders = ("text", "vision")
    text_model: Any  # the parts that are fused are those of their classes
    vision_model: Any

    def __init__(
        self,
        config: MKGFormerConfig,
        text_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ):
        config.check()
        super().__init__(config)
        self._add_text_model(config, text_model)
        if config.use_image:
            self.vision_model = build_encoder(config.vision_config) if vision_model is None else vision_model
            config.vision_config = self.vision_model.config
            self._create_fusion(config)
        self.post_init()

    def _create_fusion(self, config: MKGFormerConfig) -> None:
        self.object_embeddings = CropEmbeddings(
            config, "object_pixel_values", config.num_aux_crops, config.aux_crop_size
        )
        self.small_object_embeddings = CropEmbeddings(
            config, "small_object_pixel_values", config.num_rcnn_crops, config.rcnn_crop_size
        )
        layers = range(config.fusion_start_layer, config.text_config.num_hidden_layers + 1)
        self.fusion_layers = nn.ModuleList(FusionLayer(config) for _ in layers)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        word_positions: Tensor | None = None,
        word_mask: Tensor | None = None,
        first_window: Tensor | None = None,
        image_index: Tensor | None = None,
        pixel_values: Tensor | None = None,
        object_pixel_values: Tensor | None = None,
        object_mask: Tensor | None = None,
        small_object_pixel_values: Tensor | None = None,
        small_object_mask: Tensor | None = None,
        image_features: Tensor | None = None,
        image_hashes: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences with their pictures.

        Args:
            input_ids, attention_mask, word_positions, word_mask, first_window, image_index, image_hashes: see
                [`PieceModel`].
            pixel_values: `(images, 3, height, width)`; not used with `use_whole_image=False`.
            object_pixel_values, object_mask: `(batch, crops, 3, size, size)` and `(batch, crops)` bool, true where
                there is a crop; all by default.
            small_object_pixel_values, small_object_mask: the same for the smaller kind of crops.
            image_features: `(images, tokens, hidden)`, what [`~MKGFormerModel.encode_images`] returned, in the place of
                pixels; not with crops.

        Raises:
            ValueError: for inputs that contradict each other or the config; the message gives the remedy.
        """
        word_positions = cast(Tensor, word_positions)
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if not self.config.use_image:
            states = encode_windows(
                self.text_model, input_ids, attention_mask, word_positions.shape[0]
            ).last_hidden_state
            return TaggerModelOutput(last_hidden_state=gather_words(states, word_positions), piece_states=states)
        if first_window is None:
            first_window = default_first_window(input_ids, word_positions)
        crops = self.embed_crops(
            first_window.shape[0],
            (self.object_embeddings, object_pixel_values, object_mask),
            (self.small_object_embeddings, small_object_pixel_values, small_object_mask),
        )
        if image_features is None:
            vision, visible = self.encode_vision(pixel_values, image_index, crops, first_window, input_ids.shape[0])
        else:
            pictures = choose_pictures(pixel_values, image_features)
            if crops or not self.feature_names:
                raise ValueError("`image_features` are those of whole pictures alone; pass pixels and crops instead.")
            if image_index is None:
                image_index = default_image_index(first_window, pictures)
            vision, visible = self._share_states(
                image_features.to(self.dtype), None, image_index, first_window, input_ids.shape[0]
            )
        states = self.fuse(input_ids, attention_mask, vision, visible)
        return TaggerModelOutput(last_hidden_state=gather_words(states, word_positions), piece_states=states)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~MKGFormerModel.encode_images`] returns."""
        return ("image_features",) if self.config.use_image and self.config.use_whole_image else ()

    def encode_images(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Run the ViT up to the fusion, where it does not see the text: `image_features (images, tokens, hidden)`, which
        `forward` takes for pixels."""
        tokens = self.vision_model.embeddings(pixel_values)
        visible = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return {"image_features": self._run_vision_layers(tokens, visible)}

    def embed_crops(
        self, num_sentences: int, *kinds: tuple[CropEmbeddings, Tensor | None, Tensor | None]
    ) -> list[tuple[Tensor, Tensor]]:
        """Tokens `(batch, tokens, hidden)` of each kind of crops in the batch, and which are visible."""
        patch_embedding = self.vision_model.embeddings.patch_embedding
        return [
            embed(pixels, mask, patch_embedding, num_sentences)
            for embed, pixels, mask in kinds
            if pixels is not None and pixels.shape[1] > 0
        ]

    def encode_vision(
        self,
        pixel_values: Tensor | None,
        image_index: Tensor | None,
        crops: list[tuple[Tensor, Tensor]],
        first_window: Tensor,
        num_windows: int,
    ) -> tuple[Tensor | None, Tensor | None]:
        """The tokens of each window before the fusion, `(windows, tokens, hidden)`, zero where not visible, and which
        are visible; `None` if there are no tokens.

        Without crops, a picture that several windows share is encoded once.
        """
        tokens, index = self._embed_whole(pixel_values, image_index, first_window)
        if crops:
            tokens, visible = self._add_crops(tokens, index, crops)
            index = torch.arange(first_window.shape[0], device=first_window.device)
        elif tokens is None:
            return None, None
        else:
            visible = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        states = self._run_vision_layers(tokens, visible)
        return self._share_states(states, visible, index, first_window, num_windows)

    @staticmethod
    def _share_states(
        states: Tensor, visible: Tensor | None, index: Tensor, first_window: Tensor, num_windows: int
    ) -> tuple[Tensor, Tensor]:
        """Give each window the tokens of its row of states, all of them visible by default."""
        if visible is None:
            visible = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        rows = window_images(index, first_window, num_windows)
        visible = gather_images(visible, rows) & (rows >= 0)[:, None]
        return gather_images(states, rows).masked_fill(~visible[..., None], 0.0), visible

    def _embed_whole(
        self, pixel_values: Tensor | None, image_index: Tensor | None, first_window: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """Tokens of whole pictures `(rows, tokens, hidden)` and each sentence's row, -1 for none."""
        embeddings = self.vision_model.embeddings
        if not self.config.use_whole_image:  # as released: one token, the same with and without pictures
            return embeddings.class_embedding.expand(1, 1, -1), torch.zeros_like(first_window)
        if image_index is None:
            image_index = default_image_index(first_window, pixel_values)
        return None if pixel_values is None else embeddings(pixel_values), image_index

    @staticmethod
    def _add_crops(tokens: Tensor | None, index: Tensor, crops: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Tokens of sentences, `(batch, tokens, hidden)`, of whole picture and crops, and which are visible."""
        if tokens is not None:
            tokens = gather_images(tokens, index)
            crops = [(tokens, (index >= 0)[:, None].expand(tokens.shape[:2])), *crops]
        tokens, visible = (torch.cat(parts, dim=1) for parts in zip(*crops, strict=True))
        return tokens.masked_fill(~visible[..., None], 0.0), visible

    def _run_vision_layers(self, tokens: Tensor, visible: Tensor) -> Tensor:
        # Where nothing is visible, attend to everything: kernels differ in attention over nothing, and in its
        # gradient.
        keys = visible | ~visible.any(dim=1, keepdim=True)
        states = self.vision_model.pre_layrnorm(tokens)  # V_0
        mask = create_bidirectional_mask(config=self.vision_model.config, inputs_embeds=states, attention_mask=keys)
        for layer in self.vision_model.encoder.layers[: self.config.fusion_start_layer - 1]:
            states = layer(states, mask)
        return states

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Any]:
        """The text's last two states before the fusion, `(windows, pieces, hidden)`, and its attention mask."""
        states = self.text_model.embeddings(input_ids=input_ids)  # T_0
        mask = create_bidirectional_mask(
            config=self.text_model.config, inputs_embeds=states, attention_mask=attention_mask
        )
        before = states
        for layer in self.text_model.encoder.layer[: self.config.fusion_start_layer - 1]:
            before, states = states, layer(states, mask)
        return before, states, mask

    def fuse(self, input_ids: Tensor, attention_mask: Tensor, vision: Tensor | None, visible: Tensor | None) -> Tensor:
        """The pieces' states `(windows, pieces, hidden)` after the last layer."""
        before, text, text_mask = self.encode_text(input_ids, attention_mask)
        masks = Masks(text_mask, self._prefix_mask(text, attention_mask, vision, visible), visible)
        text_layers, vision_layers = self.text_model.encoder.layer, self.vision_model.encoder.layers
        for place, fusion_layer in enumerate(self.fusion_layers, start=self.config.fusion_start_layer - 1):
            layers = Layers(text_layers[place - 1], text_layers[place], vision_layers[place])
            after, vision = fusion_layer(before, text, vision, layers, masks)
            before, text = text, after
        return text

    def _prefix_mask(self, text: Tensor, attention_mask: Tensor, vision: Tensor | None, visible: Tensor | None) -> Any:
        """The mask of the ViT's attention to pieces and tokens, in the form that its attention takes."""
        if vision is None or visible is None:
            return None
        return create_bidirectional_mask(
            config=self.vision_model.config,
            inputs_embeds=vision,
            encoder_hidden_states=torch.cat([text, vision], dim=1),
            attention_mask=torch.cat([attention_mask.bool(), visible], dim=1),
        )


class MKGFormerForTokenClassification(MKGFormerPreTrainedModel, SubwordTagger):
    """MKGFormer with its decoder; arguments and outputs of [`SubwordTagger`] and [`MKGFormerModel.forward`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import MKGFormerConfig, MKGFormerForTokenClassification, OneImageProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = MKGFormerConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     vision_config={"model_type": "clip_vision_model", "image_size": 32, "patch_size": 16, **sizes},
    ...     fusion_start_layer=2,
    ... )
    >>> model = MKGFormerForTokenClassification(config).eval()  # with new weights
    >>> processor = OneImageProcessor.for_model(model, tokenizer)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (64, 64)), None])
    >>> model(**batch).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    config: MKGFormerConfig
    base_model_class = MKGFormerModel


__all__ = ["MKGFormerForTokenClassification", "MKGFormerModel", "MKGFormerPreTrainedModel"]
