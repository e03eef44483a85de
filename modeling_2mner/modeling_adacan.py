"""AdaCAN, the adaptive co-attention network (Zhang et al. 2018), following its published equations.

Words attend to the regions of a picture and, guided by the result, to the words of the sentence; one gate mixes the
two, another decides how much of the mixture reaches the classifier.
"""

from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import initialization as init

from .configuration_words import AdaCANConfig
from .encoders import (
    build_encoder,
    choose_pictures,
    default_image_index,
    encode_windows,
    gather_images,
    gather_words,
)
from .outputs import TaggerModelOutput
from .tagging import WordTagger
from .vgg import VGGFeatures, load_vgg_encoder
from .word_layers import PackedBiLSTM, WordEmbeddings, WordVectorPreTrainedModel


class AdaCANPreTrainedModel(WordVectorPreTrainedModel):
    """Weights, loading and saving of AdaCAN.

    New linear layers are initialised as by Glorot and Bengio (2010), as in the authors' code; new convolutions of
    pictures as by He et al. (2015), by fan-out as in torchvision's VGG: larger weights would make activations grow
    from stage to stage and saturate the tanh after them. LSTMs and convolutions of characters keep PyTorch's
    initialisation.
    """

    config: AdaCANConfig
    input_modalities = ("image", "text")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            init.xavier_uniform_(module.weight)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Conv1d):
            bound = (module.in_channels * module.kernel_size[0]) ** -0.5
            for parameter in module.parameters(recurse=False):
                init.uniform_(parameter, -bound, bound)


class CharacterCNN(nn.Module):
    """A word's vector from its characters: convolutions of several widths, the maximum over the word, two layers."""

    def __init__(self, config: AdaCANConfig, embedding_size: int) -> None:
        super().__init__()
        self.max_characters = config.max_characters
        self.vectors = nn.Embedding(config.num_characters, embedding_size, padding_idx=0)
        widths = cast(list[int], config.character_widths)  # the config sets a default
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, config.character_filters, width) for width in widths
        )
        filters = config.character_filters * len(widths)
        self.hidden_layer = nn.Linear(filters, config.character_hidden_size)
        self.dropout = nn.Dropout(config.character_dropout)
        self.output = nn.Linear(config.character_hidden_size, config.character_size)

    def forward(self, char_ids: Tensor, char_lengths: Tensor) -> Tensor:
        """Read up to `max_characters` of each word's characters `(batch, words, characters)`, of which
        `char_lengths (batch, words)` are real: `(batch, words, character_size)`.

        Windows lie within their word; only a word shorter than a window is padded with zeros.
        """
        lengths = char_lengths.flatten().clamp(max=self.max_characters)  # (batch * words,)
        states = self.vectors(char_ids.flatten(0, 1)[:, : self.max_characters])  # (batch * words, characters, size)
        places = torch.arange(states.shape[1], device=lengths.device)
        states = states.masked_fill((places >= lengths[:, None])[..., None], 0.0).transpose(1, 2)
        pooled = torch.cat([self._pool(convolution, states, lengths) for convolution in self.convolutions], dim=-1)
        hidden = self.dropout(torch.relu(self.hidden_layer(pooled)))
        return self.output(hidden).unflatten(0, char_lengths.shape)

    @staticmethod
    def _pool(convolution: nn.Module, states: Tensor, lengths: Tensor) -> Tensor:
        """The maximum over a word's windows, `(words, filters)`, from `(words, size, characters)`."""
        width = cast(nn.Conv1d, convolution).kernel_size[0]
        windows = torch.tanh(convolution(nn.functional.pad(states, (0, width))))  # (words, filters, windows)
        places = torch.arange(windows.shape[2], device=lengths.device)
        outside = places > (lengths[:, None] - width).clamp(min=0)
        return windows.masked_fill(outside[:, None], -1.0).amax(dim=2)  # tanh is never lower


class AdditiveAttention(nn.Module):
    """Attention with scores that are a linear map of a tanh over position and word: softmax(w tanh(...) + b).

    `"concat"` concatenates the two, z = tanh([W_v v_i ; W_h h_t + b]), as published. The score is then the sum of a
    term of the position and one of the word; the softmax cancels the second, so that all words of a sentence have the
    same weights. `"sum"` adds them, z = tanh(W_v v_i + W_h h_t + b).
    """

    def __init__(self, config: AdaCANConfig) -> None:
        super().__init__()
        self.concat = config.attention_combine == "concat"
        self.key = nn.Linear(config.hidden_size, config.attention_size, bias=False)  # W_v, W_x
        self.query = nn.Linear(config.hidden_size, config.attention_size)  # W_h, W_x̂ and b
        self.score = nn.Linear(config.attention_size * (2 if self.concat else 1), 1)  # w_α, w_β

    def forward(self, words: Tensor, positions: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Let words `(batch, words, size)` attend to positions `(batch, positions, size)` where `mask`
        `(batch, positions)` is true: the attended vectors `(batch, words, size)` and the weights
        `(batch, words, positions)`."""
        scores = self._scores(self.query(words), self.key(positions))
        if mask is not None:  # a sentence without words has no positions, and must not give 0 / 0
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        return weights @ positions, weights

    def _scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        if not self.concat:
            return self.score(torch.tanh(queries[:, :, None] + keys[:, None])).squeeze(-1)
        # w z without building z, (batch, words, positions, 2k), which repeats each half for each of the other.
        of_keys, of_queries = self.score.weight.chunk(2, dim=1)
        return nn.functional.linear(torch.tanh(queries), of_queries, self.score.bias) + (
            nn.functional.linear(torch.tanh(keys), of_keys).transpose(1, 2)
        )


class CoAttention(nn.Module):
    """Both attentions and both gates: from words and regions to what the classifier gets of the picture."""

    def __init__(self, config: AdaCANConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.visual_attention = AdditiveAttention(config)
        self.textual_attention = AdditiveAttention(config)
        self.visual_fusion = nn.Linear(size, size)  # W, b
        self.textual_fusion = nn.Linear(size, size)  # W', b'
        self.fusion_gate = nn.Linear(2 * size, 1, bias=False)  # w_g
        self.word_filter = nn.Linear(size, size, bias=False)  # W_sh
        self.fused_filter = nn.Linear(size, size)  # W_sm, b
        self.filter_gate = nn.Linear(2 * size, 1, bias=False)  # w_s
        self.output = nn.Linear(size, size)  # W_m, b_m

    def forward(self, words: Tensor, regions: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Let the words attend to their picture.

        Shapes: words h `(batch, words, size)`, regions v `(batch, regions, size)`, word_mask `(batch, words)`; returns
        u `(batch, words, size)` and the visual weights α `(batch, words, regions)`.
        """
        seen, weights = self.visual_attention(words, regions)  # v̂, α
        read, _ = self.textual_attention(seen, words, word_mask)  # ĥ
        visual, textual = torch.tanh(self.visual_fusion(seen)), torch.tanh(self.textual_fusion(read))  # p, q
        gate = torch.sigmoid(self.fusion_gate(torch.cat([visual, textual], dim=-1)))  # g: (batch, words, 1)
        fused = gate * visual + (1 - gate) * textual  # m
        filtering = torch.cat([self.word_filter(words), self.fused_filter(fused)], dim=-1)
        return torch.sigmoid(self.filter_gate(filtering)) * torch.tanh(self.output(fused)), weights  # s tanh(W_m m)


class AdaCANModel(AdaCANPreTrainedModel):
    """The network below the decoder: word states h and, with pictures, the filtered u beside them.

    Args:
        config ([`AdaCANConfig`]): the architecture.
        text_model (`PreTrainedModel`, *optional*): a loaded encoder for `text_encoder="bert"`.
        vgg_model ([`VGGFeatures`], *optional*): a loaded encoder of pictures. By default both are built from
            `config` with new weights.

    Example:

    ```python
    >>> import torch
    >>> from modeling_2mner import AdaCANConfig, AdaCANModel

    >>> config = AdaCANConfig(
    ...     vocab_size=5,
    ...     word_embedding_size=8,
    ...     character_embedding_size=None,
    ...     lstm_hidden_size=8,
    ...     vgg_channels=[[4], [8]],
    ...     image_size=32,
    ... )
    >>> model = AdaCANModel(config)
    >>> model(torch.tensor([[2, 3, 4]]), pixel_values=torch.zeros(1, 3, 32, 32)).attentions.shape  # 8 x 8 regions
    torch.Size([1, 3, 64])
    ```
    """

    encoders = ("text", "vgg")

    def __init__(
        self,
        config: AdaCANConfig,
        text_model: PreTrainedModel | None = None,
        vgg_model: VGGFeatures | None = None,
    ) -> None:
        config.check()
        super().__init__(config)
        if config.text_encoder == "bert":
            if text_model is None:
                text_model = build_encoder(cast(PreTrainedConfig, config.text_config))
            self.text_model, config.text_config = text_model, text_model.config
        else:
            self._create_word_encoder(config)
        if config.use_image:
            if vgg_model is None:
                vgg_model = VGGFeatures(cast(list[list[int]], config.vgg_channels))
            self.vgg_model, config.vgg_channels = vgg_model, vgg_model.channels
            self.image_projection = nn.Linear(vgg_model.channels[-1][-1], config.hidden_size)  # W_I, b_I
            self.co_attention = CoAttention(config)
        self.post_init()

    def _create_word_encoder(self, config: AdaCANConfig) -> None:
        self.words = WordEmbeddings(config)
        self.characters = (
            None if config.character_embedding_size is None else CharacterCNN(config, config.character_embedding_size)
        )
        self.dropout = nn.Dropout(config.dropout)
        size = config.word_embedding_size + (0 if self.characters is None else config.character_size)
        self.lstm = PackedBiLSTM(size, config.lstm_hidden_size)

    def get_input_embeddings(self) -> nn.Module:
        return self.words.vectors if self.config.reads_words else self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        if self.config.reads_words:
            self.words.vectors = value
        else:
            self.text_model.set_input_embeddings(value)

    def forward(
        self,
        word_ids: Tensor | None = None,
        char_ids: Tensor | None = None,
        char_lengths: Tensor | None = None,
        word_mask: Tensor | None = None,
        image_index: Tensor | None = None,
        pixel_values: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_positions: Tensor | None = None,
        first_window: Tensor | None = None,
        image_features: Tensor | None = None,
        image_hashes: Tensor | None = None,
    ) -> TaggerModelOutput:
        """Encode the words `(batch, words)` of sentences, and let them attend to their pictures.

        Args:
            word_ids, char_ids, char_lengths: `(batch, words)`, `(batch, words, characters)` and `(batch, words)`, for
                `text_encoder="lstm"`.
            word_mask: `(batch, words)` bool, true where there is a word; all by default.
            image_index: `(batch,)`, each sentence's picture, -1 for none; by default one picture per sentence, in
                order.
            pixel_values: `(images, 3, height, width)`; without, all sentences are text only.
            input_ids, attention_mask, word_positions: `(windows, pieces)`, and the place of each word's first piece
                `(batch, words)` in them when flattened; for `text_encoder="bert"`.
            first_window: also returned by the processor; not used here.
            image_features: `(images, regions, channels)`, what [`~AdaCANModel.encode_images`] returned for the pictures, in
                the place of their pixels.
            image_hashes: `(images,)`, equal for equal pictures; not used here, but by the Trainer.

        Returns:
            [`TaggerModelOutput`] with [h ; u] and, for a batch with pictures, the `attentions` α. For a sentence
            without a picture u and the weights are zero: its tags depend only on h.

        Raises:
            ValueError: for inputs of the other kind of text encoder, or without characters.
        """
        if self.config.reads_words:
            words = self.encode_words(word_ids, char_ids, char_lengths, word_mask)  # h: (batch, words, size)
        else:
            words = self.encode_pieces(input_ids, attention_mask, word_positions)
        if not self.config.use_image:
            return TaggerModelOutput(last_hidden_state=words)
        filtered, weights = self.attend(words, word_mask, pixel_values, image_index, image_features)
        return TaggerModelOutput(last_hidden_state=torch.cat([words, filtered], dim=-1), attentions=weights)

    def encode_words(
        self,
        word_ids: Tensor | None,
        char_ids: Tensor | None,
        char_lengths: Tensor | None,
        word_mask: Tensor | None,
    ) -> Tensor:
        """h for `text_encoder="lstm"`, `(batch, words, size)`."""
        unread = self.characters is not None and (char_ids is None or char_lengths is None)
        if word_ids is None or unread:
            raise ValueError("this model reads words; pass `word_ids`, `char_ids`, `char_lengths` of `WordProcessor`.")
        states = self.words(word_ids)
        if self.characters is not None:
            states = torch.cat([states, self.characters(char_ids, char_lengths)], dim=-1)  # x = [w ; c]
        lengths = (torch.ones_like(word_ids) if word_mask is None else word_mask).sum(dim=1)
        return self.lstm(self.dropout(states), lengths)[0]

    def encode_pieces(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, word_positions: Tensor | None
    ) -> Tensor:
        """h for `text_encoder="bert"`, the state of each word's first piece: `(batch, words, size)`."""
        if input_ids is None or word_positions is None:
            raise ValueError("this model reads sub-words; pass `input_ids`, `word_positions` of `OneImageProcessor`.")
        states = encode_windows(self.text_model, input_ids, attention_mask, word_positions.shape[0]).last_hidden_state
        return gather_words(states, word_positions)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What [`~AdaCANModel.encode_images`] returns."""
        return ("image_features",) if self.config.use_image else ()

    def encode_images(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Run the VGG alone: `image_features (images, regions, channels)`, which `forward` takes for pixels."""
        return {"image_features": self.vgg_model(pixel_values).flatten(2).transpose(1, 2)}

    def attend(
        self,
        words: Tensor,
        word_mask: Tensor | None,
        pixel_values: Tensor | None,
        image_index: Tensor | None,
        image_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """u `(batch, words, size)` and α `(batch, words, regions)`, zero for sentences without a picture."""
        pictures = choose_pictures(pixel_values, image_features)
        if pictures is None:
            return torch.zeros_like(words), None
        if image_index is None:
            image_index = default_image_index(torch.arange(words.shape[0], device=words.device), pictures)
        if word_mask is None:
            word_mask = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
        if image_features is None:
            image_features = self.encode_images(pictures)["image_features"]
        grid = image_features.to(words.dtype)  # (images, regions, channels)
        regions = gather_images(torch.tanh(self.image_projection(grid)), image_index)  # v: (batch, regions, size)
        blind = (image_index < 0)[:, None, None]
        filtered, weights = self.co_attention(words, regions, word_mask)
        return filtered.masked_fill(blind, 0.0), weights.masked_fill(blind, 0.0)


class AdaCANForTokenClassification(AdaCANPreTrainedModel, WordTagger):
    """AdaCAN, or CNN-BiLSTM-CRF for `use_image=False`; arguments and outputs of [`WordTagger`] and
    [`AdaCANModel.forward`].

    Example:

    ```python
    >>> from PIL import Image
    >>> from modeling_2mner import AdaCANConfig, AdaCANForTokenClassification, WordProcessor, WordTokenizer

    >>> tokenizer = WordTokenizer(words=["Anna", "in", "Paris"], characters="APainrs")
    >>> config = AdaCANConfig(
    ...     vocab_size=tokenizer.vocab_size,
    ...     num_characters=tokenizer.num_characters,
    ...     word_embedding_size=8,
    ...     lstm_hidden_size=8,
    ...     vgg_channels=[[4], [8]],
    ...     image_size=32,
    ... )
    >>> model = AdaCANForTokenClassification(config).eval()  # with new weights
    >>> processor = WordProcessor.for_model(model, tokenizer)
    >>> batch = processor([["Anna", "in", "Paris"], ["Paris"]], [Image.new("RGB", (64, 64)), None])
    >>> model(**batch).predictions.shape  # (sentences, words)
    torch.Size([2, 3])
    ```
    """

    base_model_class = AdaCANModel

    @classmethod
    def _load_encoders(cls, sources: dict[str, str], settings: dict) -> dict[str, nn.Module]:
        kind = settings.setdefault("text_encoder", "bert" if "text" in sources else "lstm")
        if (kind == "bert") != ("text" in sources):
            remedy = "pass `text`" if kind == "bert" else "leave `text` out"
            raise ValueError(f'`text_encoder` is {kind!r}; {remedy}, since only "bert" takes an encoder.')
        return super()._load_encoders(sources, settings)

    @classmethod
    def _load_encoder(cls, name: str, source: str, settings: dict) -> nn.Module:
        if name != "vgg":
            return super()._load_encoder(name, source, settings)
        encoder = load_vgg_encoder(source)
        settings["vgg_channels"] = encoder.channels
        return encoder


__all__ = ["AdaCANForTokenClassification", "AdaCANModel", "AdaCANPreTrainedModel"]
