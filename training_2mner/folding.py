"""Batch norms folded into the convolutions before them: in exports, and in the training of a frozen ResNet."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Put each batch norm in eval mode into the convolution before it; only rounding changes."""
    for module in network.modules():
        for (name, first), (next_name, second) in pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(first, second))
                setattr(module, next_name, nn.Identity())


@torch.no_grad()
def folded_copy(resnet: nn.Module) -> nn.Module:
    """A copy of a network in eval mode, with its batch norms folded."""
    plain = copy.copy(resnet)
    vars(plain).pop("forward", None)  # the copy runs as its class does
    folded = copy.deepcopy(plain).eval()
    fold_batch_norms(folded)
    return folded


@contextmanager
def folded_in_training(model: nn.Module) -> Iterator[None]:
    """Let a frozen ResNet with fixed batch norms run as a folded copy while its model trains.

    The copy is made in the first step, unless pictures come as stored features, and it is no part of the model: it is never
    saved, and evaluations run the ResNet itself, so that a model answers as it does after it was saved and loaded.
    """
    resnet = getattr(getattr(model, "base_model", None), "resnet_model", None)
    if resnet is None or not _stays_as_it_is(model, resnet):
        yield
        return
    plain = resnet.forward
    copies: list[nn.Module] = []  # the one, once it is needed

    def forward(*inputs: Any, **named: Any) -> Any:
        if not model.training:
            return plain(*inputs, **named)
        if not copies:
            copies.append(folded_copy(resnet))
        return copies[0](*inputs, **named)

    resnet.forward = forward
    try:
        yield
    finally:
        del resnet.forward


def _stays_as_it_is(model: nn.Module, resnet: nn.Module) -> bool:
    """Whether neither the weights nor the statistics of a ResNet learn; another library may already run it."""
    if "forward" in vars(resnet) or any(parameter.requires_grad for parameter in resnet.parameters()):
        return False
    training = model.training
    model.train()  # which leaves fixed batch norms alone
    norms = [module for module in resnet.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    learns = any(norm.training for norm in norms)
    model.train(training)
    return bool(norms) and not learns
