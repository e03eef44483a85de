"""UMGF: pieces of text and nodes of a picture form one graph, whose modalities exchange messages through gates.

The unified multimodal graph fusion of Zhang et al. (2021). `docs/baselines.md` says where paper and code differ.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import logging

from .configuration_subwords import UMGFConfig
from .encoders import (
    choose_pictures,
    default_first_window,
    default_image_index,
    encode_resnet,
    encode_windows,
    gather_images,
    gather_words,
    window_images,
)
from .fusion import eager_attention_forward
from .outputs import TaggerModelOutput
from .tagging import PieceModel, TaggingPreTrainedModel
from .tagging_subwords import SubwordTagger

logger = logging.get_logger(__name__)


class GraphLinear(nn.Linear):
    """A linear layer of the graph, which is initialised Xavier-uniform."""


class NodeAttention(nn.Module):
    """Multi-head attention among the nodes of one modality (Eq. 1-2), `(windows, nodes, graph)` to the same shape.

    Args:
        config ([`UMGFConfig`]): the architecture.
        projects_values (`bool`): also project values and output, as for text; in the authors' code the picture's
            nodes are their own values.
    """

    is_causal = False

    def __init__(self, config: UMGFConfig, projects_values: bool):
        super().__init__()
        self.config = config
        size = config.graph_size
        self.head_size = size // config.graph_heads
        self.query = GraphLinear(size, size)
        self.key = GraphLinear(size, size)
        self.value = GraphLinear(size, size) if projects_values else nn.Identity()
        self.output = GraphLinear(size, size) if projects_values else nn.Identity()

    def forward(self, nodes: Tensor, mask: Tensor | None) -> Tensor:
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        query, key, value = (
            layer(nodes).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # (windows, heads, nodes, head size)
        attended, _ = attend(
            *(self, query, key, value),
            attention_mask=mask,
            scaling=self.head_size**-0.5,
            dropout=self.config.dropout if self.training else 0.0,
        )
        return self.output(attended.flatten(2))


class GraphStream(nn.Module):
    """One modality's part of a fusion layer: attention, gate and feed-forward layer, each with residual and norm.

    Without `gated` there is no other modality.
    """

    def __init__(self, config: UMGFConfig, projects_values: bool = True, gated: bool = True):
        super().__init__()
        size, eps = config.graph_size, config.layer_norm_eps
        self.attention = NodeAttention(config, projects_values)
        self.attention_norm = nn.LayerNorm(size, eps=eps)
        self.gate = GraphLinear(2 * size, size) if gated else None
        self.gate_norm = nn.LayerNorm(size, eps=eps) if gated else None
        self.ffn = nn.Sequential(
            GraphLinear(size, config.graph_intermediate_size),
            nn.ReLU(),
            GraphLinear(config.graph_intermediate_size, size),
        )
        self.ffn_norm = nn.LayerNorm(size, eps=eps)
        self.dropout = nn.Dropout(config.dropout)

    def attend(self, nodes: Tensor, mask: Tensor | None) -> Tensor:
        """The nodes `(windows, nodes, graph)` after attention to their own modality."""
        return self.attention_norm(nodes + self.dropout(self.attention(nodes, mask)))

    def open_gates(self, pieces: Tensor, nodes: Tensor, edges: Tensor) -> Tensor:
        """The gates of Eq. 4 and 6, `(windows, pieces, nodes, graph)`, closed without an edge.

        Shapes: pieces `(windows, pieces, graph)`, nodes `(windows, nodes, graph)`, edges `(windows, pieces, nodes)`.
        """
        assert self.gate is not None, "a text-only layer has no gates"
        of_pieces, of_nodes = self.gate.weight.chunk(2, dim=1)
        from_pieces = functional.linear(pieces, of_pieces, self.gate.bias)
        scores = from_pieces[:, :, None] + functional.linear(nodes, of_nodes)[:, None]
        # In place: this is by far the network's largest tensor.
        return scores.masked_fill_(~edges[..., None], float("-inf")).sigmoid_()

    def update(self, nodes: Tensor, received: Tensor) -> Tensor:
        """The nodes with what passed the gates (Eq. 3 and 5) and the feed-forward layer (Eq. 7-8)."""
        if self.gate_norm is not None:
            nodes = self.gate_norm(nodes + self.dropout(received))
        return self.ffn_norm(nodes + self.dropout(self.ffn(nodes)))


class GraphFusion(GradientCheckpointingLayer):
    """A fusion layer: attention within each modality, then gated sums over the neighbours in the other.

    The sums are not divided by the number of neighbours. A text-only layer has only attention and feed-forward layer.

    Shapes: pieces `(windows, pieces, graph)`, nodes `(windows, nodes, graph)` or `None` when no sentence has a
    picture, edges `(windows, pieces, nodes)` bool, and both masks in the form that the attention functions take;
    returns pieces and nodes, `None` for the nodes of the `last` layer, which nothing would read.
    """

    def __init__(self, config: UMGFConfig):
        super().__init__()
        self.text = GraphStream(config, gated=config.use_image)
        if config.use_image:
            self.visual = GraphStream(config, projects_values=False)

    def forward(
        self,
        pieces: Tensor,
        nodes: Tensor | None,
        piece_mask: Tensor | None,
        node_mask: Tensor | None,
        edges: Tensor,
        last: bool,
    ) -> tuple[Tensor, Tensor | None]:
        pieces = self.text.attend(pieces, piece_mask)
        if nodes is None:
            return self.text.update(pieces, torch.zeros_like(pieces)), None
        nodes = self.visual.attend(nodes, node_mask)
        to_pieces = (self.text.open_gates(pieces, nodes, edges) * nodes[:, None]).sum(dim=2)  # Eq. 3
        if last:
            return self.text.update(pieces, to_pieces), None
        to_nodes = (self.visual.open_gates(pieces, nodes, edges) * pieces[:, :, None]).sum(dim=1)  # Eq. 5
        return self.text.update(pieces, to_pieces), self.visual.update(nodes, to_nodes)


class UMGFPreTrainedModel(TaggingPreTrainedModel):
    """Weights, loading and saving of UMGF."""

    config: UMGFConfig
    _no_split_modules = ["GraphFusion"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, GraphLinear):
            init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.Linear):  # PyTorch's own initialisation
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            init.uniform_(module.bias, -bound, bound)


class UMGFModel(UMGFPreTrainedModel, PieceModel):
    """Text encoder, visual nodes and fusion layers; each piece has the text encoder's state and that of its node.

    Args:
        config ([`UMGFConfig`]), text_model, resnet_model: see [`PieceModel`].

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import UMGFConfig, UMGFModel

    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = UMGFConfig(
    ...     text_config={"model_type": "bert", "vocab_size": 8, **sizes},
    ...     resnet_config={"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    ...     graph_size=16,
    ... )
    >>> model = UMGFModel(config).eval()  # with new weights
    >>> outputs = model(
    ...     input_ids=torch.tensor([[2, 5, 6, 7, 3]]),
    ...     attention_mask=torch.ones(1, 5, dtype=torch.long),
    ...     word_positions=torch.tensor([[1, 2, 3]]),
    ...     pixel_values=torch.zeros(1, 3, 32, 32),
    ... )
    >>> outputs.last_hidden_state.shape  # (sentences, words, hidden)
    torch.Size([1, 3, 48])
    ```
    """

    encoders = ("text", "resnet")

    def __init__(
        self,
        config: UMGFConfig,
        text_model: PreTrainedModel | None = None,
        resnet_model: PreTrainedModel | None = None,
    ):
        config.check()
        super().__init__(config)
        self._add_text_model(config, text_model)
        if config.text_projection == "mlp":
            self.text_projection: nn.Module = build_mlp(config.hidden_size, config)
        else:
            self.text_projection = nn.Linear(config.hidden_size, config.graph_size)
        if config.use_image:
            self._create_visual_nodes(config, resnet_model)
        self.layers = nn.ModuleList(GraphFusion(config) for _ in range(config.num_fusion_layers))
        self.post_init()
        self.train()  # freezes fixed batch norms from the start; loaded encoders come in eval mode

    def _create_visual_nodes(self, config: UMGFConfig, resnet_model: PreTrainedModel | None) -> None:
        channels = self._add_resnet_model(config, resnet_model)
        if config.visual_nodes == "objects":
            self.object_head = nn.Linear(channels, channels)  # in place of the ResNet's classifier
        self.visual_projection = build_mlp(channels, config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        word_positions: Tensor,
        word_mask: Tensor | None = None,
        first_window: Tensor | None = None,
        image_index: Tensor | None = None,
        pixel_values: Tensor | None = None,
        object_pixel_values: Tensor | None = None,
        object_mask: Tensor | None = None,
        word_object_mask: Tensor | None = None,
        image_features: Tensor | None = None,
        image_hashes: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences and their pictures.

        Args:
            input_ids, attention_mask, word_positions, word_mask, first_window, image_index, image_features, image_hashes:
                see [`PieceModel`].
            pixel_values: `(images, 3, height, width)`; not used with `visual_nodes="objects"`.
            object_pixel_values: `(batch, objects, 3, height, width)`, only with `visual_nodes="objects"`; without
                it all sentences are text only.
            object_mask: `(batch, objects)` bool, true where there is an object; all by default.
            word_object_mask: `(batch, words, objects)` bool, true where there is an edge between a word, with all its
                pieces, and an object; by default every piece, including `[CLS]` and `[SEP]`, is a neighbour of every
                object. What a further window repeats after its own last word belongs to that word.

        Raises:
            ValueError: for objects that the model does not take, or inputs that contradict each other.
        """
        self._check_objects(pixel_values, object_pixel_values, word_object_mask)
        if image_features is not None and not self.feature_names:
            raise ValueError(
                "this model reads objects, which belong to sentences; pass `object_pixel_values`, not features."
            )
        if first_window is None:
            first_window = default_first_window(input_ids, word_positions)
        bert = encode_windows(self.text_model, input_ids, attention_mask, word_positions.shape[0]).last_hidden_state
        present = attention_mask.bool()
        rows = torch.arange(first_window.shape[0], device=first_window.device)
        sentences = window_images(rows, first_window, input_ids.shape[0])  # of each window: (windows,)
        nodes: Tensor | None = None
        there: Tensor | None = None
        edges: Tensor | None = None
        if self.config.use_image and self.config.visual_nodes == "objects":
            nodes, there = self._object_nodes(object_pixel_values, object_mask, sentences)
        elif self.config.use_image:
            pictures = choose_pictures(pixel_values, image_features)
            if image_index is None:
                image_index = default_image_index(first_window, pictures)
            regions = self._regions(pixel_values) if image_features is None else image_features.to(bert.dtype)
            nodes, there = self._grid_nodes(regions, image_index[sentences])
        if nodes is not None and there is not None:
            edges = present[:, :, None] & there[:, None]  # (windows, pieces, nodes)
            if word_object_mask is not None:
                owners = piece_owners(word_positions, word_mask, present)
                edges = edges & owned_edges(word_object_mask[sentences], owners)
        states = self._fuse(bert, present, nodes, there, edges)
        return TaggerModelOutput(last_hidden_state=gather_words(states, word_positions), piece_states=states)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~UMGFModel.encode_images`] returns; nothing for objects, which belong to sentences."""
        return ("image_features",) if self.config.use_image and self.config.visual_nodes != "objects" else ()

    def encode_images(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Run the ResNet alone: `image_features (images, regions, channels)`, which `forward` takes for pixels."""
        return {"image_features": cast(Tensor, self._regions(pixel_values))}

    def _regions(self, pixel_values: Tensor | None) -> Tensor | None:
        """The regions of pictures `(images, regions, channels)`."""
        if pixel_values is None:
            return None
        if self.config.visual_nodes == "grid":
            return encode_resnet(self.resnet_model, pixel_values)[0]
        grid = self.resnet_model(pixel_values=pixel_values.to(self.resnet_model.dtype)).last_hidden_state
        pooled = functional.adaptive_avg_pool2d(grid, self.config.grid_size)
        return pooled.flatten(2).transpose(1, 2)

    def _grid_nodes(self, regions: Tensor | None, image_index: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The regions of each window's picture, `(windows, regions, graph)`, and which exist.

        Shapes: regions `(images, regions, channels)`, image_index `(windows,)`.
        """
        if regions is None:
            return None, None
        nodes = gather_images(self.visual_projection(regions), image_index)
        there = (image_index >= 0)[:, None].expand(nodes.shape[:2])
        return nodes.masked_fill(~there[..., None], 0.0), there

    def _object_nodes(
        self, object_pixel_values: Tensor | None, object_mask: Tensor | None, sentences: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """The objects of each window's picture, `(windows, objects, graph)`, and which exist."""
        if object_pixel_values is None:
            return None, None
        if object_mask is None:
            object_mask = torch.ones(object_pixel_values.shape[:2], dtype=torch.bool, device=sentences.device)
        if not object_mask.any():
            return None, None
        _, pooled = encode_resnet(self.resnet_model, object_pixel_values[object_mask])
        features = self.visual_projection(self.object_head(pooled))
        nodes = features.new_zeros(*object_mask.shape, features.shape[-1])
        nodes[object_mask] = features
        return nodes[sentences], object_mask[sentences]

    def _fuse(
        self, bert: Tensor, present: Tensor, nodes: Tensor | None, there: Tensor | None, edges: Tensor | None
    ) -> Tensor:
        """Project the pieces to nodes, run the fusion layers, and return the classifier's input."""
        hidden = bert
        if self.config.sinusoidal_positions:
            hidden = bert + sinusoids(bert.shape[1], bert.shape[2], bert.device).to(bert.dtype)
        pieces = self.text_projection(hidden)
        piece_mask = create_bidirectional_mask(self.config, pieces, present)
        node_mask = None
        if nodes is not None and there is not None:
            # Attention to nothing is NaN in some implementations; without edges, its target does not matter.
            node_mask = create_bidirectional_mask(self.config, nodes, there | ~there.any(dim=1, keepdim=True))
        for number, layer in enumerate(self.layers, start=1):
            pieces, nodes = layer(pieces, nodes, piece_mask, node_mask, edges, number == len(self.layers))
        return torch.cat((bert, pieces), dim=-1) if self.config.concat_bert else pieces

    def _check_objects(
        self, pixel_values: Tensor | None, object_pixel_values: Tensor | None, word_object_mask: Tensor | None
    ) -> None:
        kind = self.config.visual_nodes
        if not self.config.use_image:
            return
        if kind != "objects" and not (object_pixel_values is None and word_object_mask is None):
            raise ValueError(
                f"this model reads pictures with `visual_nodes={kind!r}` and takes no objects; leave "
                '`object_pixel_values` and `word_object_mask` out, or build it with `visual_nodes="objects"`.'
            )
        if kind == "objects" and pixel_values is not None and object_pixel_values is None:
            logger.warning_once(
                'a model with `visual_nodes="objects"` got pictures without objects and reads only the text; pass '
                "`boxes` to the processor."
            )


class UMGFForTokenClassification(UMGFPreTrainedModel, SubwordTagger):
    """UMGF with its decoder, a linear layer and a CRF; arguments of [`SubwordTagger`] and [`UMGFModel.forward`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from transformers import BertTokenizer
    >>> from modeling_2mner import UMGFConfig, UMGFForTokenClassification, OneImageProcessor

    >>> pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "anna", "in", "paris"]
    >>> tokenizer = BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})
    >>> sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    >>> config = UMGFConfig(
    ...     text_config={"model_type": "bert", "vocab_size": len(tokenizer), **sizes},
    ...     resnet_config={"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    ...     graph_size=16,
    ... )
    >>> model = UMGFForTokenClassification(config).eval()  # with new weights
    >>> processor = OneImageProcessor.for_model(model, tokenizer, resnet_image_size=32)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (64, 64)), None])
    >>> model(**batch).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    config: UMGFConfig
    base_model_class = UMGFModel


def build_mlp(size: int, config: UMGFConfig) -> nn.Sequential:
    """Two layers with ReLU that turn an encoder's vectors of this size into nodes."""
    return nn.Sequential(
        *(GraphLinear(size, config.graph_size), nn.ReLU(), nn.Dropout(config.dropout)),
        *(GraphLinear(config.graph_size, config.graph_size), nn.ReLU(), nn.Dropout(config.dropout)),
    )


def sinusoids(length: int, size: int, device: torch.device) -> Tensor:
    """Position codes `(length, size)` of Vaswani et al. (2017): sines and cosines alternate."""
    rates = 10_000 ** (-torch.arange(0, size, 2, device=device) / size)
    angles = torch.arange(length, device=device)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :size]


def piece_owners(word_positions: Tensor, word_mask: Tensor | None, present: Tensor) -> Tensor:
    """The word of each piece, counted from 1, and 0 for none: `(windows, pieces)`.

    A word's pieces extend to the next word's first piece, or to the window's last piece, which belongs to no word.
    """
    numbers = torch.arange(1, word_positions.shape[1] + 1, device=present.device).expand_as(word_positions)
    if word_mask is not None:
        word_positions, numbers = word_positions[word_mask], numbers[word_mask]
    owners = torch.zeros_like(present, dtype=torch.long)
    owners.view(-1)[word_positions.flatten()] = numbers.flatten()
    owners = owners.cummax(dim=1).values
    return owners.scatter(1, present.sum(dim=1, keepdim=True) - 1, 0)


def owned_edges(word_edges: Tensor, owners: Tensor) -> Tensor:
    """Give pieces the edges of their words: `(windows, words, objects)` to `(windows, pieces, objects)`."""
    with_none = functional.pad(word_edges, (0, 0, 1, 0))
    return with_none.gather(1, owners[..., None].expand(-1, -1, word_edges.shape[2]))


__all__ = ["UMGFForTokenClassification", "UMGFModel", "UMGFPreTrainedModel"]
