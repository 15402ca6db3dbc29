"""Tables of positions moved from one grid of tokens to another."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def resize_positions(
    table: Float[Tensor, "positions dim"],
    grid: tuple[int, int, int],
    new_grid: tuple[int, int, int],
) -> Float[Tensor, "new_positions dim"]:
    """A table over `grid` (frames, rows, columns) resampled to `new_grid`.

    Space first: every time index is resized on its own, bicubic with `align_corners=False`, as VideoMAE does
    for detection. Then time, linearly. A grid that does not change is returned as it is.
    """
    if grid == new_grid:
        return table
    frames, rows, columns = grid
    maps = table.reshape(frames, rows, columns, -1).permute(0, 3, 1, 2)
    if (rows, columns) != new_grid[1:]:
        maps = F.interpolate(maps, size=new_grid[1:], mode="bicubic", align_corners=False)
    if frames != new_grid[0]:
        lines = maps.flatten(1).T[None]
        lines = F.interpolate(lines, size=new_grid[0], mode="linear", align_corners=False)
        maps = lines[0].T.reshape(new_grid[0], *maps.shape[1:])
    return maps.permute(0, 2, 3, 1).reshape(-1, table.shape[-1])
