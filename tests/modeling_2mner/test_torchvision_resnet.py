from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import ResNetConfig

from modeling_2mner.encoders import load_resnet_encoder
from modeling_2mner.torchvision_resnet import convert_torchvision_resnet, load_torchvision_resnet

DEPTHS = (2, 1, 1, 1)


def torchvision_tensors(
    depths: tuple[int, ...] = DEPTHS, expansion: int = 4, counters: bool = True
) -> dict[str, Tensor]:
    """A state dict under torchvision's names and shapes, filled with numbers that keep activations moderate."""
    generator = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def convolution(name: str, outside: int, inside: int, side: int) -> None:
        tensors[f"{name}.weight"] = torch.randn(outside, inside, side, side, generator=generator) * 0.02

    def norm(name: str, width: int) -> None:
        for part, offset in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            tensors[f"{name}.{part}"] = torch.rand(width, generator=generator) * 0.2 + offset
        if counters:
            tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 64, 3, 7)
    norm("bn1", 64)
    inside = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            sides = (1, 3, 1) if expansion == 4 else (3, 3)
            widths = (width, width, width * expansion) if expansion == 4 else (width, width)
            channels = inside
            for number, (outside, side) in enumerate(zip(widths, sides, strict=True), start=1):
                convolution(f"{name}.conv{number}", outside, channels, side)
                norm(f"{name}.bn{number}", outside)
                channels = outside
            if block == 0 and (stage > 0 or expansion == 4):
                convolution(f"{name}.downsample.0", width * expansion, inside, 1)
                norm(f"{name}.downsample.1", width * expansion)
            inside = width * expansion
    tensors["fc.weight"], tensors["fc.bias"] = torch.randn(1000, inside), torch.randn(1000)
    return tensors


def torchvision_forward(tensors: dict[str, Tensor], pixels: Tensor, depths: tuple[int, ...] = DEPTHS) -> Tensor:
    """What torchvision's bottleneck ResNet computes before its pooling: the stride is in the 3x3 convolution."""

    def norm(states: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(states, mean, variance, weight, bias)

    states = functional.conv2d(pixels, tensors["conv1.weight"], stride=2, padding=3).float()
    states = functional.max_pool2d(norm(states, "bn1").relu(), 3, stride=2, padding=1)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            shortcut = states
            if block == 0:
                shortcut = functional.conv2d(states, tensors[f"{name}.downsample.0.weight"], stride=stride)
                shortcut = norm(shortcut, f"{name}.downsample.1")
            states = norm(functional.conv2d(states, tensors[f"{name}.conv1.weight"]), f"{name}.bn1").relu()
            states = functional.conv2d(states, tensors[f"{name}.conv2.weight"], stride=stride, padding=1)
            states = norm(states, f"{name}.bn2").relu()
            states = norm(functional.conv2d(states, tensors[f"{name}.conv3.weight"]), f"{name}.bn3")
            states = (states + shortcut).relu()
    return states


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return torchvision_tensors()


@pytest.fixture(scope="module")
def encoder(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet") / "resnet.pth"
    torch.save(tensors, path)
    return load_resnet_encoder(str(path)).eval()


def test_computes_what_torchvision_computes(encoder, tensors):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = encoder(pixels)
    expected = torchvision_forward(tensors, pixels)
    assert expected.shape == (2, 2048, 2, 2) and expected.std() > 0.01
    torch.testing.assert_close(outputs.last_hidden_state, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(outputs.pooler_output.flatten(1), expected.mean(dim=(2, 3)), atol=1e-5, rtol=1e-4)


def test_every_tensor_landed_and_the_classifier_is_dropped(encoder, tensors):
    loaded = encoder.state_dict()
    converted = convert_torchvision_resnet(tensors)
    assert set(converted) == set(loaded) and len(converted) == len(tensors) - 2
    assert all(torch.equal(loaded[name], tensor) for name, tensor in converted.items())
    assert not any("fc" in name for name in loaded)


def test_the_architecture_is_read_off_the_tensors(encoder):
    config = encoder.config
    assert (config.depths, config.layer_type, config.downsample_in_bottleneck) == (list(DEPTHS), "bottleneck", False)
    assert config.hidden_sizes == ResNetConfig().hidden_sizes


def test_the_names_of_resnet_152_are_all_known():
    """Names alone, by the blocks of the full depth; the tensors are empty."""
    names = {f"layer3.{block}.conv{number}.weight" for block in range(36) for number in (1, 2, 3)}
    converted = convert_torchvision_resnet(dict.fromkeys(names, torch.empty(0)))
    assert len(converted) == 108
    assert "encoder.stages.2.layers.35.layer.2.convolution.weight" in converted


def test_files_from_before_the_batch_counters_load(tmp_path, tensors):
    torch.save(torchvision_tensors(counters=False), tmp_path / "old.pth")
    loaded = load_torchvision_resnet(tmp_path / "old.pth").state_dict()
    assert torch.equal(loaded["embedder.embedder.convolution.weight"], tensors["conv1.weight"])


@pytest.mark.parametrize("fault", ["basic", "missing", "unknown", "wrapped"])
def test_another_network_is_refused(tmp_path, tensors, fault):
    if fault == "basic":  # ResNet-18 and 34 have the same names and other shapes
        wrong = torchvision_tensors((1, 1, 1, 1), expansion=1)
    elif fault == "missing":
        wrong = {name: tensor for name, tensor in tensors.items() if name != "layer2.0.conv2.weight"}
    elif fault == "unknown":
        wrong = tensors | {"layer2.0.attention.weight": torch.zeros(3)}
    else:
        wrong = {f"module.{name}": tensor for name, tensor in tensors.items()}
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(
        ValueError, match=r"wrong.pth' is not a torchvision bottleneck ResNet.*Pass resnet50, 101 or 152"
    ):
        load_torchvision_resnet(tmp_path / "wrong.pth")


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_code_in_the_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        load_resnet_encoder(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()
