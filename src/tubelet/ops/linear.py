"""A linear map with a factor that costs nothing."""

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.ops.backend import bias_is_faster_added_last


def scaled_linear(
    x: Float[Tensor, "*batch dim"],
    weight: Float[Tensor, "out dim"],
    bias: Float[Tensor, " out"],
    scale: float,
) -> Float[Tensor, "*batch out"]:
    """scale · x weightᵀ + bias; the bias is not scaled."""
    rows = x.reshape(-1, x.shape[-1])
    if bias_is_faster_added_last(x):
        # With a beta of 0 the first argument gives no more than its dtype.
        product = torch.addmm(bias.detach(), rows, weight.T, beta=0, alpha=scale).add_(bias)
    else:
        product = torch.addmm(bias, rows, weight.T, alpha=scale)
    return product.view(*x.shape[:-1], len(weight))
