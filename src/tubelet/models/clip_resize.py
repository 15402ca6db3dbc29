"""CLIP's and X-CLIP's tables of positions moved to frames of another size, or to other numbers of frames."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.models.clip import ImageTowerConfig
from tubelet.ops.resample import resize_positions

PLACES, TIMES = "image.embed.position", "integration.position"


def resized_towers(
    state: Mapping[str, Tensor], found: ImageTowerConfig, wanted: ImageTowerConfig, num_frames: int
) -> dict[str, Tensor]:
    """A model's tensors with its positions resampled: places bicubic, frames linear, the class token as it is.

    Everything else is passed on, and a model without positions in time gets none.
    """
    tables = {PLACES: resized_places(state[PLACES], found.grid, wanted.grid)}
    if TIMES in state:
        tables[TIMES] = resize_positions(state[TIMES], (len(state[TIMES]), 1, 1), (num_frames, 1, 1))
    return {**state, **tables}


def resized_places(
    table: Float[Tensor, "positions dim"], grid: tuple[int, int, int], new_grid: tuple[int, int, int]
) -> Float[Tensor, "new_positions dim"]:
    """The positions of a class token and of the patches of an image, for images of another size."""
    if grid == new_grid:
        return table
    return torch.cat([table[:1], resize_positions(table[1:], grid, new_grid)])
