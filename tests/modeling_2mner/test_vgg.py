from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from modeling_2mner.configuration_words import VGG_16
from modeling_2mner.vgg import VGGFeatures, load_vgg_encoder, read_channels

CHANNELS = [[4, 6], [8], [10, 12, 10]]
PLACES = ([0, 2], [5], [8, 10, 12])  # of the convolutions among all layers
VGG_16_PLACES = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
VGG_19 = [[64] * 2, [128] * 2, [256] * 4, [512] * 4, [512] * 4]
OTHERS = ("classifier.6.weight", "classifier.0.bias", "pre_logits.fc1.weight", "head.fc.weight")


def vgg_tensors(side: int = 3) -> dict[str, Tensor]:
    """A small state dict under torchvision's names."""
    generator = torch.Generator().manual_seed(0)
    tensors, inside = {}, 3
    for places, stage in zip(PLACES, CHANNELS, strict=True):
        for place, outside in zip(places, stage, strict=True):
            tensors[f"features.{place}.weight"] = torch.randn(outside, inside, side, side, generator=generator) * 0.2
            tensors[f"features.{place}.bias"] = torch.randn(outside, generator=generator)
            inside = outside
    return tensors


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return vgg_tensors()


@pytest.fixture(params=["torchvision", "timm", "hub"])
def source(request, tensors, tmp_path, monkeypatch) -> str:
    """The tensors with those of a classifier, as a state dict file, a folder, and a Hub id."""
    network = tensors | {name: torch.zeros(2, 2) for name in OTHERS}
    if request.param == "torchvision":
        torch.save(network, tmp_path / "vgg.pth")
        return str(tmp_path / "vgg.pth")
    save_file(network, tmp_path / "model.safetensors")
    files = {("timm/vgg16", "model.safetensors"): str(tmp_path / "model.safetensors")}
    monkeypatch.setattr("modeling_2mner.vgg.hf_hub_download", lambda *file: files[file])
    return str(tmp_path) if request.param == "timm" else "timm/vgg16"


def test_every_tensor_lands_and_the_classifier_is_dropped(source, tensors):
    encoder = load_vgg_encoder(source)
    loaded = encoder.state_dict()
    assert set(loaded) == set(tensors) and all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    assert encoder.channels == CHANNELS


def test_computes_what_vgg_computes(tensors):
    encoder = VGGFeatures(CHANNELS)
    encoder.load_state_dict(tensors)
    pixels = torch.randn(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    states = pixels
    for places in PLACES:
        for place in places:
            weight, bias = (tensors[f"features.{place}.{part}"] for part in ("weight", "bias"))
            states = functional.conv2d(states, weight, bias, padding=1).clamp(min=0)
        states = states.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    assert states.shape == (2, 10, 4, 6) and states.std() > 0.01
    torch.testing.assert_close(encoder(pixels), states, atol=1e-5, rtol=1e-4)


def test_vgg_16_has_the_published_names_and_sizes():
    with torch.device("meta"):
        encoder = VGGFeatures(VGG_16)
    state = encoder.state_dict()
    assert list(state) == [f"features.{place}.{part}" for place in VGG_16_PLACES for part in ("weight", "bias")]
    assert sum(tensor.numel() for tensor in state.values()) == 14_714_688  # counted by Keras' summary without top
    assert encoder(torch.zeros(1, 3, 224, 224, device="meta")).shape == (1, 512, 7, 7)
    assert read_channels(state) == VGG_16


def test_half_precision_becomes_single(tmp_path, tensors):
    torch.save({name: tensor.half() for name, tensor in tensors.items()}, tmp_path / "half.pth")
    encoder = load_vgg_encoder(str(tmp_path / "half.pth"))
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}
    assert encoder.to(torch.bfloat16)(torch.zeros(1, 3, 8, 8)).dtype == torch.bfloat16


def published(channels: list[list[int]]) -> dict[str, Tensor]:
    """The state dict of a VGG of full size, whose tensors take no space."""
    with torch.device("meta"):
        state = VGGFeatures(channels).state_dict()
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda _: published(VGG_19), "its stages have 2, 2, 4, 4, 4 convolutions"),
        (lambda _: published(VGG_16[:4]), "its stages have 2, 2, 3, 3 convolutions"),
        (lambda given: given | {"features.1.running_mean": torch.zeros(4)}, "it holds 'features.1.running_mean'"),
        (lambda given: given | {"features.1.weight": torch.zeros(4)}, "Missing key"),
        (lambda given: given | {"conv1.weight": torch.zeros(4)}, "it holds 'conv1.weight'"),
        (lambda given: {f"module.{name}": tensor for name, tensor in given.items()}, "it holds 'module.features.0"),
        (lambda given: {name: tensor for name, tensor in given.items() if name != "features.10.bias"}, "Missing key"),
        (lambda given: {name: tensor for name, tensor in given.items() if "s.2." not in name}, "Missing key"),
        (lambda _: vgg_tensors(side=5), "size mismatch"),
        (lambda _: {"head.fc.weight": torch.zeros(2)}, "it holds no `features`"),
    ],
)
def test_another_network_is_refused(tmp_path, tensors, change, reason):
    torch.save(change(tensors), tmp_path / "wrong.pth")
    with pytest.raises(
        ValueError, match=rf"wrong.pth' is not a VGG-16 without batch norm: {reason}.*Pass torchvision's"
    ):
        load_vgg_encoder(str(tmp_path / "wrong.pth"))


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the folder has no `model.safetensors`"):
        load_vgg_encoder(str(tmp_path))


class Malicious:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_code_in_the_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Malicious()}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        load_vgg_encoder(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()
