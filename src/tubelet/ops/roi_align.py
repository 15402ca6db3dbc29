"""Region features on a fixed grid (He et al. 2017, Mask R-CNN, section 3)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def roi_align(
    maps: Float[Tensor, "batch dim rows columns"],
    boxes: Float[Tensor, "boxes 4"],
    batch_index: Int[Tensor, "boxes"],
    size: int,
) -> Float[Tensor, "boxes dim {size} {size}"]:
    """The mean of bilinear samples in each of `size`² cells of every box.

    `boxes` are (x1, y1, x2, y2) in cells of the map, without the half-cell shift (`aligned=False` in
    torchvision, which this equals). The number of samples per cell adapts to the box: ⌈extent / size⌉. Written
    out here because torchvision's compiled operators do not load beside every build of torch.
    """
    if not len(boxes):
        return maps.new_zeros(0, maps.shape[1], size, size)
    rows, columns = maps.shape[2:]
    regions = []
    for box, index in zip(boxes, batch_index.tolist(), strict=True):
        x1, y1, x2, y2 = box.tolist()
        y, num_y = _sample_points(y1, max(y2 - y1, 1.0), size)
        x, num_x = _sample_points(x1, max(x2 - x1, 1.0), size)
        rows_weight = _interpolation(y, rows).to(maps)
        columns_weight = _interpolation(x, columns).to(maps)
        samples = torch.einsum("yr,drc,xc->dyx", rows_weight, maps[index], columns_weight)
        cells = samples.unflatten(2, (size, num_x)).unflatten(1, (size, num_y))
        regions.append(cells.mean(dim=(2, 4)))
    return torch.stack(regions)


def _sample_points(start: float, extent: float, size: int) -> tuple[Float[Tensor, "points"], int]:
    """Where one axis of a box is sampled, and how many samples each of its cells has."""
    per_cell = math.ceil(extent / size)
    steps = (torch.arange(size * per_cell, dtype=torch.float64) + 0.5) / per_cell
    return start + steps * (extent / size), per_cell


def _interpolation(points: Float[Tensor, "points"], length: int) -> Float[Tensor, "points length"]:
    """Weights of the cells that each point interpolates; a point more than one cell outside counts zero."""
    inside = (points >= -1.0) & (points <= length)
    clamped = points.clamp(0, length - 1)
    low = clamped.floor().long()
    high = (low + 1).clamp(max=length - 1)
    share = clamped - low
    weights = torch.zeros(len(points), length, dtype=points.dtype)
    weights.scatter_add_(1, low[:, None], (1 - share)[:, None])
    weights.scatter_add_(1, high[:, None], share[:, None])
    return weights * inside[:, None]
