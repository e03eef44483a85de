"""Text and image encoders: how they are built, loaded and read; sub-words become words here."""

import copy
import inspect
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModel, CLIPVisionModel, PreTrainedConfig, PreTrainedModel, ResNetConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from .torchvision_resnet import load_torchvision_resnet

# Some checkpoints are stored in half precision; a model's encoders must agree with each other and with its new layers.
_LOADING = {"trust_remote_code": False, "dtype": torch.float32}

WINDOW_PIECES = 4096  # sub-words of a group of windows: 8 of 512


def build_encoder(config: PreTrainedConfig, pooler: bool = False) -> PreTrainedModel:
    """Create an encoder with new weights, with its pooling layer only if `pooler`.

    Code that the encoder's config refers to is never run.

    Raises:
        ValueError: if the encoder has no pooling layer but `pooler` is true.
    """
    if config.model_type == ResNetConfig.model_type:
        config._attn_implementation = "eager"  # it has no attention and refuses any other
    return AutoModel.from_config(config, trust_remote_code=False, **_pooling_argument(config, pooler))


def load_text_encoder(name: str, num_layers: int | None = None, pooler: bool = False) -> PreTrainedModel:
    """Load a pretrained text encoder from a Hub id or a folder, keeping its first `num_layers` layers."""
    config = _shorten(AutoConfig.from_pretrained(name, trust_remote_code=False), num_layers)
    return AutoModel.from_pretrained(name, config=config, **_LOADING, **_pooling_argument(config, pooler))


def load_vision_encoder(name: str, num_layers: int | None = None) -> PreTrainedModel:
    """Load a pretrained ViT; of a full CLIP model, only the image tower.

    Raises:
        ValueError: if `name` is not a ViT.
    """
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    config = _shorten(config.vision_config if config.model_type == "clip" else config, num_layers)
    if "patch_size" not in config.to_dict():
        raise ValueError(
            f"`vision` names a {config.model_type!r} model, which is not a ViT: {name!r}. Pass a ViT or a CLIP model."
        )
    if config.model_type == "clip_vision_model":
        return CLIPVisionModel.from_pretrained(name, config=config, dtype=torch.float32)
    return AutoModel.from_pretrained(name, config=config, **_LOADING, **_pooling_argument(config, False))


def load_resnet_encoder(name: str) -> PreTrainedModel:
    """Load a pretrained ResNet from a Hub id, a folder, or a torchvision state dict (`.pth`)."""
    if Path(name).is_file():
        return load_torchvision_resnet(name)
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if config.model_type != ResNetConfig.model_type:
        raise ValueError(
            f"`resnet` names a {config.model_type!r} model: {name!r}. Pass a ResNet of transformers "
            "(such as microsoft/resnet-152) or a torchvision `resnet152` state dict."
        )
    return AutoModel.from_pretrained(name, config=config, **_LOADING)


def encode_resnet(resnet_model: PreTrainedModel, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a ResNet on pictures `(images, 3, height, width)`: its grid `(images, height * width, channels)` and its
    mean `(images, channels)`."""
    pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)  # the faster layout for convolutions
    # Unlike the ViT, the ResNet does not convert its pictures to the type of its weights.
    pixel_values = pixel_values.to(resnet_model.dtype)
    with _OneDNNConvolutions() if _few_on_one_thread(pixel_values) else nullcontext():
        outputs = resnet_model(pixel_values=pixel_values, return_dict=True)
    return outputs.last_hidden_state.flatten(2).transpose(1, 2), outputs.pooler_output.flatten(1)


class _OneDNNConvolutions(TorchFunctionMode):
    """Let oneDNN compute all convolutions.

    With one thread and fewer than 16 pictures, torch (tried: 2.13) takes another way for those of one pixel, half of a
    ResNet's work, which takes twice the time. Only rounding differs.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is not torch.conv2d or len(args) != 7 or isinstance(args[4], str):
            return func(*args, **(kwargs or {}))
        pictures, weight, bias, stride, padding, dilation, groups = args
        return torch.ops.aten.mkldnn_convolution(pictures, weight, bias, padding, stride, dilation, groups)


def _few_on_one_thread(pixel_values: torch.Tensor) -> bool:
    """Whether these pictures are read on a CPU, in float32, for their features alone, and torch would be slow."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    slow = pixel_values.device.type == "cpu" and pixel_values.dtype == torch.float32 and torch.get_num_threads() == 1
    known = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    return slow and bool(known) and 0 < pixel_values.shape[0] < 16


def read_grid(
    resnet_model: PreTrainedModel,
    pixel_values: torch.Tensor | None,
    image_features: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor | None:
    """The grid of pictures `(images, height * width, channels)`, read from their pixels or given as features; `None`
    without either."""
    pictures = choose_pictures(pixel_values, image_features)
    if pictures is None:
        return None
    return encode_resnet(resnet_model, pictures)[0] if image_features is None else image_features.to(dtype)


def encode_windows(
    text_model: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, num_sentences: int
) -> Any:
    """Run a text encoder; the windows of long texts go through it in groups, so that its memory has a bound.

    Windows do not see each other, so the states are the same. In training they stay together: dropout would draw other
    numbers.

    Args:
        text_model: the encoder.
        input_ids, attention_mask: `(windows, pieces)`.
        num_sentences: of the batch; with one window each, the size of the batch is the caller's choice.

    Returns:
        `BaseModelOutputWithPooling`: `last_hidden_state (windows, pieces, hidden)` and, if the encoder has one, `pooler_output (windows, hidden)`.
    """

    def encode(ids: torch.Tensor, mask: torch.Tensor | None) -> Any:
        return text_model(input_ids=ids, attention_mask=mask, return_dict=True)

    if torch.compiler.is_compiling() or text_model.training or input_ids.shape[0] <= num_sentences:
        return encode(input_ids, attention_mask)
    size = max(1, WINDOW_PIECES // input_ids.shape[1])
    groups = [slice(start, start + size) for start in range(0, input_ids.shape[0], size)]
    parts = [encode(input_ids[own], None if attention_mask is None else attention_mask[own]) for own in groups]
    if len(parts) == 1:
        return parts[0]
    pooled = [part.get("pooler_output") for part in parts]
    return BaseModelOutputWithPooling(
        last_hidden_state=torch.cat([part.last_hidden_state for part in parts]),
        pooler_output=None if pooled[0] is None else torch.cat(pooled),
    )


def without_pooler(text_model: nn.Module) -> nn.Module:
    """A view of a text encoder, with the same weights, that does not run its pooling layer.

    The encoder itself stays as it is, since other threads may use it. One that was compiled, or that another library runs in
    its own way, is returned with its pooling layer.
    """
    changed = "forward" in vars(text_model) or getattr(text_model, "_compiled_call_impl", None) is not None
    if text_model._modules.get("pooler") is None or changed or torch.compiler.is_compiling():
        return text_model
    view = copy.copy(text_model)
    view._modules = {**text_model._modules, "pooler": None}
    return view


def default_first_window(input_ids: torch.Tensor, word_positions: torch.Tensor) -> torch.Tensor:
    """One window per sentence, `(batch,)`; `ValueError` if there are more."""
    # `shape[0]`, since `len` would fix the size in an exported graph.
    if input_ids.shape[0] != word_positions.shape[0]:
        raise ValueError(
            f"there are {input_ids.shape[0]} windows for {word_positions.shape[0]} sentences; pass "
            "`first_window`, the first window of each sentence."
        )
    return torch.arange(word_positions.shape[0], device=word_positions.device)


def default_image_index(first_window: torch.Tensor, pixel_values: torch.Tensor | None) -> torch.Tensor:
    """One picture per sentence in order, `(batch,)`, or -1 without pictures; `ValueError` if the numbers differ."""
    if pixel_values is None:
        return torch.full_like(first_window, -1)
    if pixel_values.shape[0] != first_window.shape[0]:
        raise ValueError(
            f"there are {pixel_values.shape[0]} pictures for {first_window.shape[0]} sentences; pass `image_index`, "
            "the picture of each sentence or -1."
        )
    return torch.arange(first_window.shape[0], device=first_window.device)


def choose_pictures(pixel_values: torch.Tensor | None, image_features: torch.Tensor | None) -> torch.Tensor | None:
    """The one of both that a batch has, `(images, ...)`; `ValueError` if it has pixels and features."""
    if pixel_values is not None and image_features is not None:
        raise ValueError("the batch has pixels and features of the same pictures; leave one of them out.")
    return pixel_values if image_features is None else image_features


def window_images(image_index: torch.Tensor, first_window: torch.Tensor, num_windows: int) -> torch.Tensor:
    """The picture of each window's sentence, `(windows,)`, -1 for none."""
    windows = torch.arange(num_windows, device=first_window.device)
    begun = first_window <= windows[:, None]  # a comparison, since an exported graph has no `searchsorted`
    return image_index[begun.sum(dim=1) - 1]


def gather_words(states: torch.Tensor, word_positions: torch.Tensor) -> torch.Tensor:
    """Take the state of each word's first piece.

    Shapes: states `(windows, pieces, hidden)`, word_positions `(batch, words)` into the flattened
    `(windows * pieces)` axis; returns `(batch, words, hidden)`.
    """
    return states.flatten(0, 1)[word_positions]


def gather_images(features: torch.Tensor, image_index: torch.Tensor) -> torch.Tensor:
    """Give each sentence the features of its picture; a sentence without one (index -1) gets the first picture's,
    which the caller must mask.

    Shapes: features `(images, ...)`, image_index `(batch,)`; returns `(batch, ...)`.
    """
    return features[image_index.clamp(min=0)]


def pool_text(
    outputs: Any, words: torch.Tensor, word_mask: torch.Tensor, first_window: torch.Tensor, pooling: str
) -> torch.Tensor:
    """Pool a sentence into h_t of Eq. 7, `(batch, hidden)`: the `"pooler"` or `"cls"` state of its first window, or
    the `"mean"` over its words."""
    if pooling == "pooler":
        return outputs.pooler_output[first_window]
    if pooling == "cls":
        return outputs.last_hidden_state[first_window, 0]
    weights = word_mask[..., None].to(words.dtype)  # (batch, words, 1)
    return (words * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def pool_vit(tokens: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool ViT tokens `(images, tokens, size)` into h_i of Eq. 8: `"flatten"` `(images, tokens * size)`, `"cls"` or
    `"mean"` `(images, size)`."""
    if pooling == "flatten":
        return tokens.flatten(1)
    return tokens[:, 0] if pooling == "cls" else tokens.mean(dim=1)


def hold_batch_norm(module: nn.Module) -> None:
    """Put every batch norm below `module` in eval mode: running statistics are used and stay as they are."""
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.eval()


def _shorten(config: PreTrainedConfig, num_layers: int | None) -> PreTrainedConfig:
    """Keep only the first layers; [`TwoMNERConfig`] refuses an impossible number."""
    if num_layers is not None and 1 <= num_layers <= config.num_hidden_layers:
        config.num_hidden_layers = num_layers
    return config


def _pooling_argument(config: PreTrainedConfig, pooler: bool) -> dict[str, bool]:
    """The argument that turns the pooling layer on or off, if the encoder's class has one."""
    encoder_class: Any = MODEL_MAPPING[type(config)]
    if "add_pooling_layer" in inspect.signature(encoder_class.__init__).parameters:
        return {"add_pooling_layer": pooler}
    if pooler:
        raise ValueError(
            f'`contrastive_text_pooling="pooler"` needs a text encoder with a pooling layer, and {config.model_type!r} '
            'has none; write `contrastive_text_pooling="cls"` or `"mean"`.'
        )
    return {}


class Encoder(NamedTuple):
    """An encoder that a model of this project can have. Its key in `ENCODERS` is the argument of `from_encoders`; with
    a suffix it is the config's field (`vision_config`) and the run's option (`vision_encoder`).

    Args:
        module: the submodule of the network.
        title: its name in a sentence.
        load: loads a pretrained one; `None` for VGG, which AdaCAN loads itself, so that only its checkpoints carry the
            code.
    """

    module: str
    title: str
    load: Callable[[str], PreTrainedModel] | None


ENCODERS = {
    "text": Encoder("text_model", "a text encoder", load_text_encoder),
    "vision": Encoder("vision_model", "a ViT", load_vision_encoder),
    "resnet": Encoder("resnet_model", "a ResNet", load_resnet_encoder),
    "vgg": Encoder("vgg_model", "a VGG", None),
}
ENCODER_ALIASES = {"vit": "vision"}

__all__ = [
    "ENCODERS",
    "ENCODER_ALIASES",
    "Encoder",
    "build_encoder",
    "choose_pictures",
    "default_first_window",
    "default_image_index",
    "encode_resnet",
    "encode_windows",
    "gather_images",
    "gather_words",
    "hold_batch_norm",
    "load_resnet_encoder",
    "load_text_encoder",
    "load_vision_encoder",
    "pool_text",
    "pool_vit",
    "read_grid",
    "window_images",
    "without_pooler",
]
