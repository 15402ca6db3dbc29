"""Which tubelets a masked model does not see."""

import torch
from jaxtyping import Bool
from torch import Tensor

from tubelet.errors import ConfigError


def tube_mask(
    grid: tuple[int, int, int], mask_ratio: float, generator: torch.Generator
) -> Bool[Tensor, "tokens"]:
    """One random set of places, masked in every frame (VideoMAE, section 3.2); true where hidden.

    The number of places per frame is ⌊mask_ratio · rows · columns⌋, so 0.9 of 14×14 hides 176 and shows 20.
    Content that stays in place cannot be copied from a neighbouring frame.
    """
    frames, rows, columns = grid
    places = torch.zeros(rows * columns, dtype=torch.bool)
    order = torch.randperm(rows * columns, generator=generator)
    places[order[: num_masked_places(grid, mask_ratio)]] = True
    return places.repeat(frames)


def num_masked_places(grid: tuple[int, int, int], mask_ratio: float) -> int:
    """Places hidden per frame; a ConfigError for a ratio that is no share or leaves nothing to see."""
    if not 0 <= mask_ratio < 1:
        raise ConfigError(f"mask_ratio {mask_ratio} is not a share from 0 up to (not including) 1")
    places = grid[1] * grid[2]
    return int(mask_ratio * places)
