"""UMT, the unified multimodal transformer (Yu et al. 2020): words attend to a picture and the picture to the words,
and a second stream, which sees only the text, finds where entities begin and end.

Symbols in comments are the paper's: C, R, V, Q, P, A and H.
"""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask

from .configuration_subwords import UMTConfig
from .crf import LinearChainCRF, iob2_transitions
from .encoders import (
    choose_pictures,
    default_first_window,
    default_image_index,
    encode_resnet,
    encode_windows,
    gather_images,
    gather_words,
    read_grid,
    window_images,
)
from .fusion import MultimodalCollaboration
from .outputs import TaggerModelOutput, TaggerOutput
from .tagging import PieceModel, TaggingPreTrainedModel
from .tagging_subwords import SubwordTagger

SPAN_LABELS = ("O", "B-span", "I-span")  # the tags without their types


class CrossModalTransformer(nn.Module):
    """CMT: layers in which one sequence attends to another, which is the same for all layers.

    Shapes: states `(windows, positions, hidden)`, others `(windows, other positions, hidden)`; has_image and
    attention_mask as in [`MultimodalCollaboration`]; returns `(windows, positions, hidden)`.
    """

    def __init__(self, config: UMTConfig, num_layers: int):
        super().__init__()
        self.layers = nn.ModuleList(MultimodalCollaboration(config, config.hidden_size) for _ in range(num_layers))

    def forward(
        self,
        states: Tensor,
        others: Tensor | None,
        has_image: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        for layer in self.layers:
            states, _ = layer(states, others, has_image, attention_mask)
        return states


class SpanHead(nn.Module):
    """The step from the text stream to spans: a linear layer, a CRF if the config has one, and the matrix M.

    Its labels are numbered like the tags: O, B, I, and with `label_scheme="subword_aux"` the same four after them
    (padding, further pieces, `[CLS]`, `[SEP]`).

    Args:
        config ([`UMTConfig`]): the architecture.
    """

    def __init__(self, config: UMTConfig):
        super().__init__()
        matrix = conversion_matrix(config)
        self.classifier = nn.Linear(config.hidden_size, len(matrix))
        if config.use_crf:
            self.crf = LinearChainCRF(len(matrix), SPAN_LABELS if config.tags_words else None)
        self.conversion: Tensor
        self.register_buffer("conversion", matrix)  # M: (span labels, labels)

    def to_labels(self, span_logits: Tensor) -> Tensor:
        """e_a M: emissions of spans `(..., span labels)` to emissions of labels `(..., labels)`."""
        return span_logits @ self.conversion.to(span_logits)

    def to_spans(self, labels: Tensor) -> Tensor:
        """Remove the types from labels of any shape; -100 stays."""
        return torch.where(labels < 0, labels, self.conversion.argmax(dim=0)[labels.clamp(min=0)])


def conversion_matrix(config: UMTConfig) -> Tensor:
    """The fixed matrix M `(span labels, labels)`: B is divided among all `B-` tags, I among all `I-` tags.

    Raises:
        ValueError: for tags that are not `O`, `B-type` or `I-type`.
    """
    iob2_transitions(config.labels)  # refuses other tags
    extra = config.num_states - config.num_labels
    matrix = torch.zeros(len(SPAN_LABELS) + extra, config.num_states)
    for tag, label in enumerate(config.labels):
        matrix["OBI".index(label[0]), tag] = 1
    for index in range(extra):
        matrix[len(SPAN_LABELS) + index, config.num_labels + index] = 1
    return matrix / matrix.sum(dim=1, keepdim=True).clamp(min=1)


class UMTPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of UMT."""

    config: UMTConfig
    _no_split_modules = ["MultimodalCollaboration"]  # noqa: RUF012
    _supports_flash_attn = False  # which cannot attend from a picture's regions to padded text
    _keep_in_fp32_modules_strict = ["crf", "conversion"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SpanHead):  # a checkpoint of the model below has no M
            init.copy_(module.conversion, conversion_matrix(self.config))


class UMTModel(UMTPreTrainedModel, PieceModel):
    """The network below the decoders: H for tags and R_a for spans.

    Args:
        config ([`UMTConfig`]), text_model, resnet_model: see [`PieceModel`].

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import UMTConfig, UMTModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = UMTConfig(
    ...     text_config={"model_type": "bert", "vocab_size": 8, **sizes},
    ...     resnet_config={"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    ... )
    >>> model = UMTModel(config).eval()  # with new weights
    >>> outputs = model(
    ...     input_ids=torch.tensor([[2, 5, 6, 7, 3]]),
    ...     attention_mask=torch.ones(1, 5, dtype=torch.long),
    ...     word_positions=torch.tensor([[1, 2, 3]]),
    ...     pixel_values=torch.zeros(1, 3, 32, 32),
    ... )
    >>> outputs.last_hidden_state.shape  # (sentences, words, hidden)
    torch.Size([1, 3, 64])
    ```
    """

    encoders = ("text", "resnet")
    _keys_to_ignore_on_load_unexpected = [r"^(classifier|crf|span_head)\."]  # noqa: RUF012  # the decoders'

    def __init__(
        self, config: UMTConfig, text_model: PreTrainedModel | None = None, resnet_model: PreTrainedModel | None = None
    ):
        config.check()
        super().__init__(config)
        self._add_text_model(config, text_model)
        self.dropout = nn.Dropout(config.dropout)
        self.text_layer = MultimodalCollaboration(config, config.hidden_size)
        self.span_layer = MultimodalCollaboration(config, config.hidden_size)
        if config.use_image:
            self._create_image_branch(config, resnet_model)
        self.post_init()
        self.train()  # freezes fixed batch norms from the start; loaded encoders come in eval mode

    def _create_image_branch(self, config: UMTConfig, resnet_model: PreTrainedModel | None) -> None:
        channels = self._add_resnet_model(config, resnet_model)
        self.visual_projection = nn.Linear(channels, config.hidden_size)  # to V1
        self.region_projection = nn.Linear(channels, config.hidden_size)  # to V2
        depths = cast(list[int], config.num_cmt_layers)
        self.visual_transformer = CrossModalTransformer(config, depths[0])  # CMT_1
        self.region_transformer = CrossModalTransformer(config, depths[1])  # CMT_2
        self.word_transformer = CrossModalTransformer(config, depths[2])  # CMT_3
        self.gate = nn.Linear(2 * config.hidden_size, config.hidden_size)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_positions: Tensor,
        word_mask: Tensor | None = None,
        first_window: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_index: Tensor | None = None,
        image_features: Tensor | None = None,
        image_hashes: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences and their pictures; for arguments see [`PieceModel`]."""
        text = encode_windows(self.text_model, input_ids, attention_mask, word_positions.shape[0]).last_hidden_state
        text = self.dropout(text)  # C
        mask = create_bidirectional_mask(self.config, text, attention_mask)
        span_states, _ = self.span_layer(text, text, attention_mask=mask)  # R_a
        states, _ = self.text_layer(text, text, attention_mask=mask)  # R
        if self.config.use_image:
            if first_window is None:
                first_window = default_first_window(input_ids, word_positions)
            if image_index is None:
                pictures = choose_pictures(pixel_values, image_features)
                image_index = default_image_index(first_window, pictures)
            image_index = window_images(image_index, first_window, states.shape[0])
            grid = read_grid(self.resnet_model, pixel_values, image_features, states.dtype)
            states = self._look(states, attention_mask, grid, image_index)
        return TaggerModelOutput(
            last_hidden_state=gather_words(states, word_positions), piece_states=states, span_states=span_states
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~UMTModel.encode_images`] returns."""
        return ("image_features",) if self.config.use_image else ()

    def encode_images(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Run the ResNet alone: `image_features (images, regions, channels)`, which `forward` takes for pixels."""
        return {"image_features": encode_resnet(self.resnet_model, pixel_values)[0]}

    def _look(self, text: Tensor, attention_mask: Tensor, grid: Tensor | None, image_index: Tensor) -> Tensor:
        """H, `(windows, pieces, 2 * hidden)`: text that has attended to the picture, and what the gate lets through of
        the picture, whose regions U are `grid (images, regions, channels)`.

        Without a picture the attention of CMT_3 is zero, so its words only pass through the residual connections, and
        the gate is closed: the second half is zero.
        """
        if grid is None:
            return torch.cat([self.word_transformer(text, None), torch.zeros_like(text)], dim=-1)
        has_image = image_index >= 0
        values = gather_images(self.visual_projection(grid), image_index)  # V1: (windows, regions, hidden)
        regions = gather_images(self.region_projection(grid), image_index)  # V2
        visual = self.visual_transformer(text, values)  # Q: (windows, pieces, hidden)
        mask = create_bidirectional_mask(self.config, regions, attention_mask, encoder_hidden_states=text)
        regions = self.region_transformer(regions, text, attention_mask=mask)  # P
        words = self.word_transformer(text, regions, has_image)  # A: (windows, pieces, hidden)
        gate = self.gate(torch.cat([words, visual], dim=-1)).sigmoid()
        return torch.cat([words, (gate * visual).masked_fill(~has_image[:, None, None], 0.0)], dim=-1)


class UMTForTokenClassification(UMTPreTrainedModel, SubwordTagger):
    """UMT with both decoders; arguments and outputs of [`WordTagger`] and [`UMTModel.forward`].

    The emissions, returned as `logits`, are e = (1 - w) e_m + w e_a M with w the `span_logit_weight`; the loss is that
    of the tags plus `span_loss_weight` times that of the spans, which are the tags without their types.

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import UMTConfig, UMTForTokenClassification, OneImageProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = UMTConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     resnet_config={"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    ... )
    >>> model = UMTForTokenClassification(config).eval()  # with new weights
    >>> processor = OneImageProcessor.for_model(model, tokenizer, resnet_image_size=32)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (64, 64)), None])
    >>> model(**batch).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    config: UMTConfig
    base_model_class = UMTModel

    def _create_decoder(self, config: UMTConfig) -> None:
        super()._create_decoder(config)
        self.span_head = SpanHead(config)

    def _tag(
        self, outputs: TaggerModelOutput, labels: Tensor | None, mask: Tensor, word_positions: Tensor
    ) -> TaggerOutput:
        by_word = self.config.tags_words
        span_states = cast(Tensor, outputs.span_states)
        states = gather_words(span_states, word_positions) if by_word else span_states
        span_logits = self.span_head.classifier(states)  # e_a
        logits = self.classifier(self.dropout(outputs.last_hidden_state if by_word else outputs.piece_states))  # e_m
        logits = torch.lerp(logits, self.span_head.to_labels(span_logits), self.config.span_logit_weight)
        tagged = self.read_emissions(logits, labels, mask)
        if labels is not None:
            span_loss = self.tag_loss(span_logits, self.span_head.to_spans(labels), mask, self.span_head)
            tagged.loss = cast(Tensor, tagged.loss) + self.config.span_loss_weight * span_loss
        return tagged


__all__ = ["UMTForTokenClassification", "UMTModel", "UMTPreTrainedModel"]
