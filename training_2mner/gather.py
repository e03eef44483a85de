"""Collect embeddings from all processes and keep their gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, tensor.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        # Every process computes the same loss; the averaging over processes that follows requires the sum here.
        grad = grad.contiguous()
        dist.all_reduce(grad)
        size = len(grad) // dist.get_world_size()
        return grad[dist.get_rank() * size : (dist.get_rank() + 1) * size]


def gather_with_gradient(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """Concatenate `(batch, ...)` tensors of all processes to `(processes * batch, ...)`, in the order of their ranks.

    All processes must call it with the same shape. With a single process, or for `None`, it returns its input.
    """
    if tensor is None or not dist.is_initialized() or dist.get_world_size() == 1:
        return tensor
    if tensor.is_floating_point() and not tensor.requires_grad:
        # A process whose sentences have no pictures has no gradient here, but the others wait for its backward pass.
        tensor = tensor.detach().requires_grad_()
    return _AllGather.apply(tensor)
