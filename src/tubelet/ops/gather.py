"""Tensors of all devices put together, so that a loss can compare what lies on different ones."""

from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, distributed


def gathered(local: Shaped[Tensor, "batch *rest"]) -> Shaped[Tensor, "total *rest"]:
    """The rows of all processes, in the order of their ranks, with gradients to each; alone, just the rows.

    All processes have to bring as many rows. Where each of them computes the same loss of the whole and gradients
    are averaged over them, as DistributedDataParallel does, the result is the gradient of that loss.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return local
    total: Any = Gathered.apply(local)
    return total


class Gathered(torch.autograd.Function):
    """Backward, a row collects what all processes' losses want of it."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.num_rows = len(local)
        parts = [torch.empty_like(local) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total[distributed.get_rank() * ctx.num_rows :][: ctx.num_rows]
