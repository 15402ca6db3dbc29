"""VideoMamba's tables of positions moved to clips of another size or length."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tubelet.models.videomamba import EncoderConfig
from tubelet.ops.resample import resize_positions


def resized_positions(
    state: Mapping[str, Tensor], found: EncoderConfig, wanted: EncoderConfig
) -> dict[str, Tensor]:
    """A model's tensors with both tables of its encoder resampled; everything else is passed on as it is.

    Space is resampled bicubic and time linearly, as the authors do when they go on with larger frames or longer
    clips; the row of the class token stays. A model of images has no positions in time and gets none.
    """
    (frames, rows, columns), (new_frames, new_rows, new_columns) = found.grid, wanted.grid
    position, time = state["encoder.position"], state.get("encoder.time_position")
    places = resize_positions(position[1:], (1, rows, columns), (1, new_rows, new_columns))
    tables = {"encoder.position": torch.cat([position[:1], places])}
    if time is not None:
        tables["encoder.time_position"] = resize_positions(time, (frames, 1, 1), (new_frames, 1, 1))
    return {**state, **tables}
