"""Stochastic depth."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """In training, a branch is skipped for some samples and scaled up for the others (Huang et al. 2016).

    `rate` is the share of samples that skip. The branch keeps its mean because what stays is divided by
    1 - rate.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "batch *rest"]) -> Float[Tensor, "batch *rest"]:
        if self.rate == 0.0 or not self.training:
            return branch
        keep = 1.0 - self.rate
        kept = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) < keep
        return branch * kept / keep

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """Rates that grow linearly from 0 in the first block to `rate` in the last.

    >>> drop_path_rates(0.2, 3)
    [0.0, 0.1, 0.2]
    """
    return [rate * i / max(depth - 1, 1) for i in range(depth)]
