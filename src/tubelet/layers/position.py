"""Fixed tables of positions."""

import torch
from jaxtyping import Float
from torch import Tensor


def sincos_positions(num_positions: int, dim: int) -> Float[Tensor, "num_positions dim"]:
    """The sine-cosine table over a flat token index (Vaswani et al. 2017, section 3.5).

    Even columns hold sines and odd ones cosines of p / 10000^(2⌊j/2⌋/dim). VideoMAE numbers its tokens
    (t·H + h)·W + w and does not treat time, rows and columns apart. Computed in float64, returned in float32.
    """
    positions = torch.arange(num_positions, dtype=torch.float64)[:, None]
    columns = torch.arange(dim)
    angles = positions / 10000 ** (2 * (columns // 2).double() / dim)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()
