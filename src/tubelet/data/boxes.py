"""Boxes of people around keyframes."""

import torch
from jaxtyping import Float
from torch import Tensor


def enlarge_boxes(
    boxes: Float[Tensor, "boxes 4"], by: tuple[float, float], height: int, width: int
) -> Float[Tensor, "boxes 4"]:
    """Boxes (x1, y1, x2, y2 in pixels, corners included) padded by a share of their width and height.

    Half of each share goes to either side; the result is clipped to the frame. AVA models enlarge detected
    people by (0.1, 0.05) in tests.
    """
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    pad_x = (x2 - x1 + 1) * by[0] / 2
    pad_y = (y2 - y1 + 1) * by[1] / 2
    x = torch.stack([x1 - pad_x, x2 + pad_x]).clamp(0, width - 1)
    y = torch.stack([y1 - pad_y, y2 + pad_y]).clamp(0, height - 1)
    return torch.stack([x[0], y[0], x[1], y[1]], dim=1)
