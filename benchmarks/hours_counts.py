"""Floating-point operations and launched operations of a training step and of a prediction, counted on the meta device.

Nothing is computed and no memory is needed. All sentences of a batch are alike, so no masked position is counted.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.hours_networks import Length, make_model, make_processor, make_rows
from experiments.plan import Run
from modeling_2mner.word_layers import PackedBiLSTM

BATCH = 2  # counted; costs are per sentence, and the launched operations do not depend on it


@dataclass(frozen=True)
class Count:
    """What a network costs.

    Args:
        train, evaluate: floating-point operations a sentence, a multiplication and an addition being two; with the
            backward pass in training.
        train_launches, evaluate_launches: tensor operations a batch, views not counted.
        trained: weights that the optimizer moves.
        pictures: whether the network looks at pictures.
    """

    train: float
    evaluate: float
    train_launches: int
    evaluate_launches: int
    trained: int
    pictures: bool


class LaunchCounter(TorchDispatchMode):
    """Count the tensor operations that are no views.

    Where a network looks at a value it asks whether a mask is full, and the answer is yes: there is no padding.
    """

    def __init__(self):
        super().__init__()
        self.launches = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._local_scalar_dense.default:
            return True
        self.launches += not func.is_view
        return func(*args, **(kwargs or {}))


class LSTMProducts(nn.Module):
    """The matrix products of a bidirectional LSTM, as two linear layers a direction, in the place of [`PackedBiLSTM`].

    An LSTM multiplies each step's input and the state before it by its weights: 2 * 4h(i + h) operations a step and
    direction, and twice as many in the backward pass. The meta device cannot pack sequences, and the counter does not
    know the LSTM's kernels. The values are not the LSTM's.
    """

    def __init__(self, lstm: nn.LSTM):
        super().__init__()
        self.lstm = lstm

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        outputs = torch.cat([self._direction(states, suffix) for suffix in ("l0", "l0_reverse")], dim=-1)
        return outputs, outputs[:, -1]

    def _direction(self, states: Tensor, suffix: str) -> Tensor:
        from_input = states @ self.lstm.get_parameter(f"weight_ih_{suffix}").T  # (rows, steps, 4 * hidden)
        hidden = from_input[..., : self.lstm.hidden_size]
        gates = from_input + hidden @ self.lstm.get_parameter(f"weight_hh_{suffix}").T
        return gates.unflatten(-1, (4, -1)).sum(dim=-2).tanh()


@cache
def count(run: Run, settings: str, length: Length) -> Count:
    """Count the network of a run on sentences of this length, each with a picture of its own."""
    with torch.device("meta"):
        model = make_model(run, settings)
    processor = make_processor(run, settings, model, length)
    rows = make_rows(model.config.uses_image, BATCH, length)
    batch = {name: tensor.to("meta") for name, tensor in processor(*rows).items()}
    replace_lstms(model)
    with counting() as (flops, launches):
        loss_with_heads(model.train(), batch).backward()
    train, train_launches = flops.get_total_flops(), launches.launches
    with torch.no_grad(), counting() as (flops, launches):
        model.eval()(**batch)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return Count(
        train / BATCH,
        flops.get_total_flops() / BATCH,
        train_launches,
        launches.launches,
        trained,
        model.config.uses_image,
    )


def loss_with_heads(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The loss of the tags, and for Eq. 18 the sum of the embeddings that it contrasts.

    The backward pass goes through all that Eq. 18 goes through. The cosines themselves, less than a hundred-thousandth
    of the whole, need values and cannot be taken here.
    """
    outputs = model(**batch)
    embeds = (outputs.get(f"{name}_embeds") for name in ("text", "vit", "resnet"))
    return outputs.loss + sum(embed.sum() for embed in embeds if embed is not None)


@contextmanager
def counting():
    """Count what happens inside, on the meta device."""
    flops, launches = FlopCounterMode(display=False), LaunchCounter()
    with flops, launches:
        yield flops, launches


def replace_lstms(model: nn.Module) -> None:
    """Put [`LSTMProducts`] in the place of each LSTM."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, PackedBiLSTM):
                setattr(module, name, LSTMProducts(child.lstm))
