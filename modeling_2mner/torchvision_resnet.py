"""Read a torchvision ResNet state dict into the ResNet of transformers."""

import re

import torch
from transformers import ResNetConfig, ResNetModel

# torchvision's name and the name of the same tensor in transformers.
_RULES = (
    (r"^conv1\.", "embedder.embedder.convolution."),
    (r"^bn1\.", "embedder.embedder.normalization."),
    (r"^layer(\d+)\.(\d+)\.conv(\d+)\.", r"encoder.stages.{\1}.layers.\2.layer.{\3}.convolution."),
    (r"^layer(\d+)\.(\d+)\.bn(\d+)\.", r"encoder.stages.{\1}.layers.\2.layer.{\3}.normalization."),
    (r"^layer(\d+)\.(\d+)\.downsample\.0\.", r"encoder.stages.{\1}.layers.\2.shortcut.convolution."),
    (r"^layer(\d+)\.(\d+)\.downsample\.1\.", r"encoder.stages.{\1}.layers.\2.shortcut.normalization."),
)


def load_torchvision_resnet(path: str) -> ResNetModel:
    """Load a torchvision bottleneck ResNet (50, 101 or 152) from its state dict file.

    Only tensors are unpickled (`weights_only=True`); the classifier `fc` is left out.

    Raises:
        ValueError: if a tensor has no counterpart or a different shape, or one is missing.
    """
    tensors = convert_torchvision_resnet(torch.load(path, map_location="cpu", weights_only=True))
    encoder = ResNetModel(torchvision_resnet_config(tensors))
    try:
        encoder.load_state_dict(tensors)
    except RuntimeError as error:  # missing, unknown or of a different shape
        raise ValueError(
            f"`resnet` {str(path)!r} is not a torchvision bottleneck ResNet: {str(error).splitlines()[1].strip()} "
            "Pass resnet50, 101 or 152."
        ) from error
    return encoder


def convert_torchvision_resnet(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename the tensors of a torchvision ResNet to their names in `ResNetModel`, without the classifier."""
    return {_rename(name): tensor for name, tensor in tensors.items() if not name.startswith("fc.")}


def torchvision_resnet_config(tensors: dict[str, torch.Tensor]) -> ResNetConfig:
    """Infer the architecture from converted tensors; torchvision puts the stride in the 3x3 convolution."""
    depths = [0, 0, 0, 0]
    for name in tensors:
        place = re.match(r"encoder\.stages\.([0-3])\.layers\.(\d+)\.", name)
        if place:
            stage, layer = int(place[1]), int(place[2])
            depths[stage] = max(depths[stage], layer + 1)
    return ResNetConfig(depths=depths, layer_type="bottleneck", downsample_in_bottleneck=False)


def _rename(name: str) -> str:
    for pattern, replacement in _RULES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:  # torchvision counts from one
            return re.sub(r"\{(\d+)\}", lambda number: str(int(number[1]) - 1), renamed)
    return name


__all__ = ["convert_torchvision_resnet", "load_torchvision_resnet", "torchvision_resnet_config"]
