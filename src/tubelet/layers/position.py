"""Fixed tables of positions."""

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.errors import ConfigError

MOST_NUMBERS = 1 << 28


def sincos_positions(num_positions: int, dim: int) -> Float[Tensor, "num_positions dim"]:
    """The sine-cosine table over a flat token index (Vaswani et al. 2017, section 3.5).

    Even columns hold sines and odd ones cosines of p / 10000^(2⌊j/2⌋/dim). VideoMAE numbers its tokens
    (t·H + h)·W + w and does not treat time, rows and columns apart. Computed in float64, returned in float32.
    """
    # A stranger's config may ask for more than there is memory; no model has a table near this.
    if num_positions * dim > MOST_NUMBERS:
        raise ConfigError(f"a table of {num_positions:,} positions in {dim:,} dimensions is too large")
    # No file holds the table, so a model that is built empty, to be filled from a file, has it nevertheless.
    device = "cpu" if torch.get_default_device().type == "meta" else None
    positions = torch.arange(num_positions, dtype=torch.float64, device=device)[:, None]
    columns = torch.arange(dim, device=device)
    angles = positions / 10000 ** (2 * (columns // 2).double() / dim)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos()).float()
