"""What all models share around their networks: weights, encoders, decoder and loss."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.utils import can_return_tuple

from .configuration_tagging import TaggingConfig
from .crf import LinearChainCRF
from .encoders import ENCODERS, build_encoder, hold_batch_norm
from .foreign_inputs import drop_foreign
from .outputs import TaggerOutput
from .pieces import load_piece_kinds, piece_kinds, tag_pieces
from .pipeline_2mner import TwoMNERPipeline


class TaggingPreTrainedModel(PreTrainedModel):
    """Weights, loading and saving."""

    config: TaggingConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    config_class: type[TaggingConfig]  # set by transformers from the annotation of `config`
    encoders: tuple[str, ...] = ()  # keys of `ENCODERS`, in a model without decoder
    input_modalities: tuple[str, ...] = ("image", "text")  # type: ignore[assignment]  # transformers: list or text
    # What `encode_images` returns for pictures alone, in a model without decoder; empty if it cannot.
    feature_names: Any = ()
    # Losses are means over sentences; the Trainer must not divide them by its own count of items.
    accepts_loss_kwargs = False
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _keep_in_fp32_modules_strict: set[str] | list[str] | None = ["crf"]  # noqa: RUF012
    # The decoder's, which the models below it do not have.
    _keys_to_ignore_on_load_unexpected: set[str] | list[str] | None = [r"^(classifier|crf)\."]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LinearChainCRF):  # the initialisation by pytorch-crf is lost on the meta device
            for parameter in module.parameters(recurse=False):
                init.uniform_(parameter, -0.1, 0.1)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Move or convert the weights; `to(torch.bfloat16)` leaves in float32 what loading in bfloat16 leaves there."""
        parts = set(self._keep_in_fp32_modules_strict or ())
        exact = {name: weight.detach() for name, weight in self.named_parameters() if parts & set(name.split("."))}
        super()._apply(fn, recurse)
        for name, weight in self.named_parameters():
            if name in exact and weight.dtype in (torch.bfloat16, torch.float16):
                weight.data = exact[name].to(weight.device, torch.float32)
        return self

    def set_attn_implementation(self, attn_implementation: str | dict, allow_all_kernels: bool = False) -> None:
        """Set the attention of the new layers and of the encoders that have attention.

        Args:
            attn_implementation: such as `"sdpa"` or `"eager"`, or a dict by sub-config, `""` for the new layers.
            allow_all_kernels: see `PreTrainedModel`.
        """
        if isinstance(attn_implementation, str):
            parts = dict.fromkeys(("", *self.config.sub_configs), attn_implementation)
            # A ResNet has no attention and refuses any other value.
            attn_implementation = {name: "eager" if name == "resnet_config" else kind for name, kind in parts.items()}
        super().set_attn_implementation(attn_implementation, allow_all_kernels)


class PieceModel(TaggingPreTrainedModel):
    """What networks on sub-words share below their decoders: a text encoder and, in some, a ResNet.

    Args:
        config ([`TaggingConfig`]): the architecture.
        text_model, vision_model, resnet_model (`PreTrainedModel`, *optional*): loaded encoders; by default
            built from `config` with new weights.

    Their `forward` takes

        input_ids, attention_mask: `(windows, pieces)`.
        word_positions: `(batch, words)`, each word's first piece in the flattened `(windows * pieces)` axis.
        word_mask: `(batch, words)` bool, true where there is a word; all by default.
        first_window: `(batch,)`, a sentence's first window; by default each sentence has one window.
        image_index: `(batch,)`, each sentence's picture, -1 for none; by default one picture per sentence,
            in order.
        pixel_values: `(images, 3, height, width)`; without it, no sentence has a picture.
        image_features: `(images, regions, size)`, what `encode_images` returned for the pictures, in the place of
            their pixels.
        image_hashes: `(images,)`, equal for equal pictures; not used here, but by the Trainer.
    """

    def _add_text_model(self, config: TaggingConfig, text_model: PreTrainedModel | None, pooler: bool = False) -> None:
        if text_model is None:
            text_model = build_encoder(config.text_config, pooler)
        # Not the other way round: the encoder's layers keep the config that they were built with, and with another
        # attention implementation their padding mask would be ignored.
        self.text_model, config.text_config = text_model, text_model.config

    def _add_resnet_model(self, config: TaggingConfig, resnet_model: PreTrainedModel | None) -> int:
        """Return the number of channels of its grid."""
        self.resnet_model = build_encoder(config.resnet_config) if resnet_model is None else resnet_model
        config.resnet_config = self.resnet_model.config
        return config.resnet_config.hidden_sizes[-1]

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.text_model.set_input_embeddings(value)

    def train(self, mode: bool = True) -> "PieceModel":
        """Switch the training mode; a ResNet with `resnet_batch_norm="fixed"` keeps its running statistics."""
        super().train(mode)
        resnet_model = self._modules.get("resnet_model")
        if resnet_model is not None and self.config.resnet_batch_norm == "fixed":
            hold_batch_norm(resnet_model)
        return self


class WordTagger(TaggingPreTrainedModel):
    """A network with its decoder: dropout, a linear layer and, if the config has one, a CRF over words.

    Args:
        config ([`TaggingConfig`]): the architecture.
        **encoders (`PreTrainedModel`, *optional*): loaded encoders for `base_model_class`, see
            [`~WordTagger.from_encoders`].
    """

    base_model_class: type[TaggingPreTrainedModel]
    # Whether the text encoder sees nothing of the pictures, so that several rows of a batch can share its windows.
    reads_text_apart = False
    # Whether `forward` returns embeddings for contrastive losses, which `output_embeds=False` leaves out.
    has_embeds = False

    def __init__(self, config: TaggingConfig, **encoders: nn.Module):
        super().__init__(config)
        self.model = self.base_model_class(config, **encoders)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self._create_decoder(config)
        self.post_init()
        self._keys_to_ignore_on_load_unexpected = set()  # unlike in the base model, a dropped decoder must be reported

    def _create_decoder(self, config: Any) -> None:
        self.classifier = nn.Linear(config.classifier_size, config.num_states)
        if config.use_crf:
            self.crf = LinearChainCRF(config.num_states, config.labels if config.tags_words else None)

    @classmethod
    def from_encoders(cls, attn_implementation: str | None = None, **settings: Any) -> Any:
        """Assemble a model from pretrained encoders, in eval mode; everything else starts with new weights.

        Args:
            attn_implementation: as in `from_pretrained`.
            **settings: for each encoder of the model (`text`, `vision`, `resnet`, `vgg`) a Hub id, a folder or, if it
                is convolutional, the file of a torchvision state dict; and fields of the config. Without an image
                encoder the model is text only.

        Raises:
            ValueError: for an encoder that the model does not have, or without one that it needs.
        """
        sources = {name: settings.pop(name, None) for name in ENCODERS}
        encoders = cls._load_encoders({name: source for name, source in sources.items() if source}, settings)
        # VGG is not a model of transformers and has no config: its fields are in the model's own.
        configs: dict[str, Any] = {
            f"{name}_config": encoder.config for name, encoder in encoders.items() if name != "vgg"
        }
        config = cls.config_class(**configs, **settings)
        model = cls(config, **{ENCODERS[name].module: encoder for name, encoder in encoders.items()}).eval()
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model

    @classmethod
    def _load_encoders(cls, sources: dict[str, str], settings: dict) -> dict[str, nn.Module]:
        wanted = cls.base_model_class.encoders
        for name in sources:
            if name not in wanted:
                known = ", ".join(f"`{known}`" for known in wanted) or "none"
                raise ValueError(f"{cls.__name__} has no `{name}` encoder; its encoders: {known}.")
        if "text_config" in cls.config_class.encoder_defaults and "text" not in sources:
            raise ValueError(
                "`text` is missing; pass a text encoder, or build the model from a config for new weights."
            )
        switches = cls.config_class.image_switches
        for name, switch in switches.items():
            if settings.setdefault(switch, name in sources) and name not in sources:
                raise ValueError(f"`{switch}=True` needs an encoder; pass `{name}`, or leave `{switch}` out.")
        # The text encoder last, since its pooling layer may draw new weights.
        needed = [*(name for name, switch in switches.items() if settings[switch]), "text"]
        return {name: cls._load_encoder(name, sources[name], settings) for name in needed if name in sources}

    @classmethod
    def _load_encoder(cls, name: str, source: str, settings: dict) -> nn.Module:
        """Load one of `ENCODERS`; config fields that it determines go into `settings`."""
        load = ENCODERS[name].load
        assert load is not None, name  # AdaCAN loads its VGG itself
        return load(source)

    @can_return_tuple
    def forward(
        self, labels: torch.Tensor | None = None, word_mask: torch.Tensor | None = None, **inputs: Any
    ) -> TaggerOutput:
        """Tag the words of a batch.

        Args:
            labels: `(batch, words)` tags, -100 where there is no word; for the loss.
            word_mask: `(batch, words)` bool, true where there is a word; all by default.
            **inputs: all other inputs of the model below, see its `forward`.
        """
        inputs = drop_foreign(inputs, self.config.reads_words)
        if inputs.get("word_positions") is None and "input_ids" in inputs:
            return self._tag_pieces(
                inputs.pop("input_ids"), inputs.pop("attention_mask", None), labels=labels, **inputs
            )
        if is_empty(word_mask):
            return TaggerOutput(**self.empty_answer(word_mask, labels))
        states = self.model(word_mask=word_mask, **inputs).last_hidden_state
        logits = self.classifier(self.dropout(states))  # (batch, words, labels)
        if word_mask is None:
            word_mask = torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
        return self.read_emissions(logits, labels, word_mask)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features of pictures that [`~WordTagger.encode_images`] returns; empty if the model has none."""
        return getattr(self._modules.get("model"), "feature_names", ())

    def encode_images(self, **pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the image towers alone: features that `forward` takes in the place of the pixels.

        Args:
            **pixels: the pixel tensors of the processor, `(images, 3, height, width)`.

        Returns:
            For each of `feature_names` a tensor `(images, regions, size)`.

        Raises:
            ValueError: for a model whose pictures cannot be read apart from its text.
        """
        if not self.feature_names:
            raise ValueError(f"{type(self).__name__} cannot read its pictures apart; pass their pixels to the model.")
        network: Any = self.model
        return network.encode_images(**pixels)

    def read_emissions(self, logits: torch.Tensor, labels: torch.Tensor | None, mask: torch.Tensor) -> TaggerOutput:
        """Loss and predictions for emissions `(rows, positions, labels)` where `mask` is true."""
        return TaggerOutput(
            loss=None if labels is None else self.tag_loss(logits, labels, mask),
            logits=logits,
            predictions=self.decode(logits, mask) if self.decodes() else None,
        )

    def read_pieces(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Let the model tag batches without `word_positions` piece by piece, for transformers' "token-classification".

        A loaded model finds the tokenizer saved with its weights without this; see [`tag_pieces`].
        """
        self._piece_kinds = piece_kinds(tokenizer)

    def _tag_pieces(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, **inputs: Any) -> TaggerOutput:
        if self.config.reads_words:
            raise ValueError(
                "`input_ids` cannot be used: this model reads whole words and characters; use "
                '`pipeline("multimodal-ner", ...)`, or make the inputs with `WordProcessor`.'
            )
        if not hasattr(self, "_piece_kinds"):
            self._piece_kinds = load_piece_kinds(self)
        return tag_pieces(self, self._piece_kinds, input_ids, attention_mask, **inputs)

    def empty_answer(self, words: torch.Tensor | None, labels: torch.Tensor | None) -> dict[str, Any]:
        """The loss, logits and predictions of a batch without sentences, which encoders refuse; the loss is 0."""
        width = 0 if words is None else words.shape[1]
        logits = self.classifier.weight.new_zeros(0, width, len(self.config.labels))
        predictions = torch.zeros(0, width, dtype=torch.long, device=logits.device)
        return {
            "loss": None if labels is None else self.classifier.weight.sum() * 0,
            "logits": logits,
            "predictions": predictions if self.decodes() else None,
        }

    def decodes(self) -> bool:
        """Whether to decode: training has no need to, and an exported graph would fix the length of Viterbi's loop."""
        return not self.training and not torch.compiler.is_exporting()

    def tag_loss(
        self, logits: torch.Tensor, labels: torch.Tensor, word_mask: torch.Tensor, decoder: Any = None
    ) -> torch.Tensor:
        """L_CRF of Eq. 17, the mean over sentences; without a CRF the cross-entropy, the mean over words.

        The CRF is that of `decoder`, by default this model's.
        """
        if not self.config.use_crf:
            labels = labels.masked_fill(~word_mask, -100)
            return nn.functional.cross_entropy(logits.float().transpose(1, 2), labels)
        crf: Any = (decoder or self).crf
        return crf.neg_log_likelihood(logits, labels, word_mask, self.config.crf_constrained_likelihood).mean()

    def decode(self, logits: torch.Tensor, word_mask: torch.Tensor) -> torch.Tensor:
        """The best tags `(batch, words)` for emissions `(batch, words, labels)`, -100 where there is no word."""
        if self.config.use_crf:
            return self.crf.viterbi(logits, word_mask, constrained=self.config.crf_constrained_decoding)
        return logits.argmax(dim=-1).masked_fill(~word_mask, -100)

    def objective(
        self,
        tag_loss: torch.Tensor,
        text_embeds: torch.Tensor | None,
        vit_embeds: torch.Tensor | None,
        resnet_embeds: torch.Tensor | None,
        image_ids: torch.Tensor | None,
    ) -> dict[str, torch.Tensor]:
        """What the Trainer minimises: the `loss` of `forward`. 2M-NER adds its contrastive losses here (Eq. 18)."""
        return {"loss": tag_loss}


def is_empty(words: torch.Tensor | None) -> bool:
    """Whether a batch has no sentence, by a tensor of its words; not in an exported graph, whose size is open."""
    return words is not None and not torch.compiler.is_exporting() and words.shape[0] == 0


__all__ = ["PieceModel", "TaggingPreTrainedModel", "TwoMNERPipeline", "WordTagger", "is_empty"]
