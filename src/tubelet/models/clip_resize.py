"""CLIP's and X-CLIP's tables of positions moved to frames of another size, or to other numbers of frames."""

from collections.abc import Mapping

import torch
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
    tables = {PLACES: state[PLACES]}
    if found.grid != wanted.grid:
        places = resize_positions(state[PLACES][1:], found.grid, wanted.grid)
        tables[PLACES] = torch.cat([state[PLACES][:1], places])
    if TIMES in state:
        tables[TIMES] = resize_positions(state[TIMES], (len(state[TIMES]), 1, 1), (num_frames, 1, 1))
    return {**state, **tables}
