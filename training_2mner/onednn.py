"""Products of matrices in float32 by oneDNN, in the training on CPUs where PyTorch's own are slower.

PyTorch multiplies float32 matrices by MKL, which reaches half of what oneDNN does on AMD's processors
(`benchmarks/RESULTS.md`). In bfloat16 PyTorch takes oneDNN anyway. Only rounding differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

LEAST_ROWS = 16  # with fewer, preparing the product costs more than it gains


class OneDNNLinear(TorchFunctionMode):
    """While it is entered, linear layers in float32 on the CPU compute by oneDNN, forward and backward.

    Layers in other types, such as those under autocast, are left alone.

    Example:

    ```python
    >>> import torch
    >>> from training_2mner.onednn import OneDNNLinear

    >>> layer, inputs = torch.nn.Linear(8, 4), torch.randn(32, 8)
    >>> with OneDNNLinear():
    ...     outputs = layer(inputs)
    >>> torch.allclose(outputs, layer(inputs), atol=1e-5)
    True
    ```
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs and _fits(*args[:2]):
            return _Linear.apply(*args, *([None] * (3 - len(args))))
        return func(*args, **(kwargs or {}))


def check_onednn(torch_compile: bool) -> None:
    """Check that the option `onednn_linear` can be used.

    Raises:
        ValueError: for a PyTorch without oneDNN's linear layer, and with `torch_compile`, which chooses products itself.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        raise ValueError("`onednn_linear` is true, but this PyTorch has no oneDNN; leave the option out.")
    if torch_compile:
        raise ValueError(
            "`onednn_linear` is true, but `torch_compile` chooses the products itself; leave out one of the two."
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        return _product(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        inputs, weight = ctx.saved_tensors
        (gradient,) = gradients
        rows = gradient.reshape(-1, gradient.shape[-1])
        needs_inputs, needs_weight, needs_bias = ctx.needs_input_grad
        of_inputs = _product(gradient, weight.t()) if needs_inputs else None
        of_weight = _product(rows.t(), inputs.reshape(-1, inputs.shape[-1]).t()) if needs_weight else None
        return of_inputs, of_weight, rows.sum(0) if needs_bias else None


def _product(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`inputs @ weight.T + bias`."""
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def _fits(inputs: torch.Tensor, weight: torch.Tensor) -> bool:
    return (
        inputs.device.type == "cpu"
        and inputs.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and inputs.dim() > 1
        and inputs.numel() // max(inputs.shape[-1], 1) >= LEAST_ROWS
        and weight.numel() > 0
    )


__all__ = ["OneDNNLinear", "check_onednn"]
