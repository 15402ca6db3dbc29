import math

import pytest
import torch
from torch import Tensor

from tubelet.ops.roi_align import roi_align

BOXES = torch.tensor(
    [
        [0.0, 0.0, 6.0, 5.0],  # the whole map
        [1.3, 0.2, 4.9, 3.7],
        [2.0, 2.0, 2.0, 2.0],  # empty: counts as one cell
        [-3.0, -2.5, 1.5, 2.0],  # partly outside
        [4.5, 3.5, 9.0, 8.0],
        [20.0, 20.0, 25.0, 24.0],  # all outside
        [0.4, 0.1, 5.9, 1.2],
    ]
)


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """One sample as Mask R-CNN's published code takes it: zero more than a cell outside, else clamped."""
    rows, columns = plane.shape
    if y < -1 or y > rows or x < -1 or x > columns:
        return 0.0
    y, x = min(max(y, 0.0), rows - 1), min(max(x, 0.0), columns - 1)
    y0, x0 = int(y), int(x)
    y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
    top = float(plane[y0, x0]) * (1 - (x - x0)) + float(plane[y0, x1]) * (x - x0)
    bottom = float(plane[y1, x0]) * (1 - (x - x0)) + float(plane[y1, x1]) * (x - x0)
    return top * (1 - (y - y0)) + bottom * (y - y0)


def brute_force(maps: Tensor, box: list[float], index: int, size: int) -> Tensor:
    """RoIAlign of one box as loops over cells and samples."""
    x1, y1, x2, y2 = box
    height, width = max(y2 - y1, 1.0) / size, max(x2 - x1, 1.0) / size
    num_y, num_x = math.ceil(height), math.ceil(width)
    out = torch.zeros(maps.shape[1], size, size)
    for channel, plane in enumerate(maps[index]):
        for row in range(size):
            for column in range(size):
                samples = [
                    bilinear(
                        plane,
                        y1 + (row + (i + 0.5) / num_y) * height,
                        x1 + (column + (j + 0.5) / num_x) * width,
                    )
                    for i in range(num_y)
                    for j in range(num_x)
                ]
                out[channel, row, column] = sum(samples) / len(samples)
    return out


@pytest.mark.parametrize("size", [1, 3, 7])
def test_regions_are_the_means_of_bilinear_samples(size: int):
    maps = torch.randn(2, 3, 5, 6)
    index = torch.arange(len(BOXES)) % 2
    regions = roi_align(maps, BOXES, index, size)
    for region, box, i in zip(regions, BOXES.tolist(), index.tolist(), strict=True):
        torch.testing.assert_close(region, brute_force(maps, box, i, size), rtol=1e-5, atol=1e-5)


def test_regions_equal_torchvisions():
    ops = pytest.importorskip("torchvision.ops")
    maps, index = torch.randn(2, 3, 5, 6), torch.arange(len(BOXES)) % 2
    rois = torch.cat([index[:, None].float(), BOXES], dim=1)
    expected = ops.roi_align(maps, rois, 7, 1.0, 0, False)
    torch.testing.assert_close(roi_align(maps, BOXES, index, 7), expected, rtol=1e-5, atol=1e-5)


def test_no_boxes_give_no_regions():
    regions = roi_align(torch.randn(1, 3, 5, 6), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 7)
    assert regions.shape == (0, 3, 7, 7)


def test_gradients_reach_the_maps():
    maps = torch.randn(1, 2, 5, 6, requires_grad=True)
    roi_align(maps, BOXES[:2], torch.zeros(2, dtype=torch.long), 3).sum().backward()
    assert maps.grad is not None
    torch.testing.assert_close(float(maps.grad.sum()), 2 * 2 * 9.0)  # every mean passes on a weight of 1
