"""Products by oneDNN give the losses, gradients and weights of PyTorch's own, up to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training_2mner import onednn
from training_2mner.arguments import TwoMNERTrainingArguments
from training_2mner.onednn import OneDNNLinear

SGD = {"plain_adam": False, "optim": "sgd"}  # Adam makes a step of every rounding error around zero


@pytest.fixture
def products(monkeypatch):
    """How many products oneDNN makes, from now on."""
    made = []
    product = onednn._product
    monkeypatch.setattr(onednn, "_product", lambda *args: made.append(args) or product(*args))
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(16, 24), (2, 9, 24)])
def test_outputs_and_gradients_are_equal_up_to_rounding(products, bias, shape):
    torch.manual_seed(3)
    layer, inputs = nn.Linear(24, 40, bias=bias), torch.randn(shape, requires_grad=True)
    found = []
    for mode in (None, OneDNNLinear()):
        inputs.grad, outputs = None, layer(inputs) if mode is None else _inside(mode, layer, inputs)
        layer.zero_grad()
        (outputs * torch.linspace(-1, 1, 40)).sum().backward()
        found.append([outputs.detach(), inputs.grad.clone(), *(weight.grad.clone() for weight in layer.parameters())])
    assert len(products) == 3
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(other, own, atol=1e-5, rtol=1e-5)


def _inside(mode, layer, inputs):
    with mode:
        return layer(inputs)


def test_other_types_few_rows_and_autocast_are_left_alone(products):
    layer = nn.Linear(8, 4)
    with OneDNNLinear():
        layer(torch.randn(4, 8))
        layer.double()(torch.randn(32, 8, dtype=torch.float64))
        with torch.autocast("cpu", torch.bfloat16):
            layer.float()(torch.randn(32, 8))
    assert not products


def test_frozen_weights_get_no_gradient(products):
    layer = nn.Linear(8, 4).requires_grad_(False)
    with OneDNNLinear():
        layer(torch.randn(32, 8, requires_grad=True)).sum().backward()
    assert len(products) == 2 and layer.weight.grad is None


def test_a_training_ends_with_the_same_weights(make_trainer, make_model, no_dropout, weights_of, products):
    weights = []
    for name, option in (("own", False), ("onednn", True)):
        trainer = make_trainer(
            make_model(**no_dropout), folder=name, max_steps=3, onednn_linear=option, learning_rate=1e-2, **SGD
        )
        trainer.train()
        weights.append(weights_of(trainer.model))
        assert bool(products) == option
    for name in weights[0]:
        torch.testing.assert_close(weights[1][name], weights[0][name], atol=1e-4, rtol=1e-3)


def test_it_is_refused_where_it_would_do_nothing(tmp_path, monkeypatch):
    settings = {"output_dir": str(tmp_path), "use_cpu": True, "onednn_linear": True}
    with pytest.raises(ValueError, match="`onednn_linear` is true, but `torch_compile`"):
        TwoMNERTrainingArguments(**settings, torch_compile=True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(ValueError, match="`onednn_linear` is true, but this PyTorch has no oneDNN"):
        TwoMNERTrainingArguments(**settings)


def test_on_a_gpu_it_does_nothing(make_trainer, monkeypatch):
    trainer = make_trainer(onednn_linear=True)
    assert trainer._uses_onednn
    monkeypatch.setattr(TwoMNERTrainingArguments, "device", torch.device("cuda"))
    assert not trainer._uses_onednn
    TwoMNERTrainingArguments(onednn_linear=True, torch_compile=True)  # as a run file for both may say
