"""VGG (Simonyan and Zisserman 2015) below its classifier, under the parameter names of torchvision and timm."""

import re
from pathlib import Path
from typing import cast

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from torch import nn

from .configuration_words import VGG_16

CLASSIFIERS = ("classifier.", "pre_logits.", "head.")  # the first is torchvision's, the others are timm's


class VGGFeatures(nn.Module):
    """Stages of 3x3 convolutions with ReLU, each followed by 2x2 max pooling; no batch norm.

    Args:
        channels (`list[list[int]]`): channels of the convolutions, stage by stage.
    """

    def __init__(self, channels: list[list[int]]) -> None:
        super().__init__()
        self.channels = [list(stage) for stage in channels]
        layers: list[nn.Module] = []
        inside = 3
        for stage in self.channels:
            for outside in stage:
                layers += [nn.Conv2d(inside, outside, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
                inside = outside
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Read pictures `(images, 3, height, width)`: `(images, channels, height / 2^stages, width / 2^stages)`."""
        pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)  # the faster layout for convolutions
        return self.features(pixel_values.to(cast(nn.Conv2d, self.features[0]).weight.dtype))


def load_vgg_encoder(name: str) -> VGGFeatures:
    """Load a pretrained VGG-16 without its classifier, from a torchvision state dict file, a folder or a Hub id.

    The folder or Hub repository holds a `model.safetensors` as timm writes it. From a state dict file, only tensors
    are unpickled (`weights_only=True`). A narrower network of any depth is also accepted.

    Raises:
        ValueError: if a tensor is missing, unknown or of a different shape, as with batch norm, and for VGG-11, 13 and
            19.
    """
    features = {key: tensor for key, tensor in _read(name).items() if not key.startswith(CLASSIFIERS)}
    for key in features:
        if not re.fullmatch(r"features\.\d+\.(weight|bias)", key):
            raise _refusal(name, f"it holds {key!r}.")
    if not features:
        raise _refusal(name, "it holds no `features`.")
    channels = read_channels(features)
    if channels[-1][-1:] == VGG_16[-1][-1:] and channels != VGG_16:
        raise _refusal(name, f"its stages have {', '.join(str(len(stage)) for stage in channels)} convolutions.")
    encoder = VGGFeatures(channels)
    try:
        encoder.load_state_dict(features)
    except RuntimeError as error:  # missing, unknown or of a different shape
        raise _refusal(name, str(error).splitlines()[1].strip()) from error
    for module in encoder.modules():  # otherwise the model would draw new weights, as for its own layers
        module._is_hf_initialized = True  # type: ignore[assignment]  # transformers checks this mark
    return encoder


def read_channels(features: dict[str, torch.Tensor]) -> list[list[int]]:
    """Infer the channels, stage by stage: stages are separated by pooling layers, which have no tensors."""
    places = sorted(int(name.split(".")[1]) for name in features if name.endswith(".weight"))
    channels: list[list[int]] = [[]]
    for place, before in zip(places, [-2, *places], strict=False):
        if place - before > 2:
            channels.append([])
        channels[-1].append(features[f"features.{place}.weight"].shape[0])
    return channels


def _read(name: str) -> dict[str, torch.Tensor]:
    if Path(name).is_file():
        return torch.load(name, map_location="cpu", weights_only=True)
    if not Path(name).is_dir():
        return load_file(hf_hub_download(name, "model.safetensors"))
    path = Path(name) / "model.safetensors"
    if not path.is_file():
        raise _refusal(name, "the folder has no `model.safetensors`.")
    return load_file(path)


def _refusal(name: str, reason: str) -> ValueError:
    return ValueError(
        f"`vgg` {str(name)!r} is not a VGG-16 without batch norm: {reason} Pass torchvision's `vgg16` state dict or a "
        "checkpoint such as timm/vgg16.tv_in1k."
    )


__all__ = ["VGGFeatures", "load_vgg_encoder", "read_channels"]
