"""Where to cut frames: boxes in whole pixels, drawn by pure functions, and the cut itself.

A box is (top, left, height, width). Cutting copies nothing.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

from tubelet.data.randomness import integer, uniform
from tubelet.errors import ConfigError

Box = tuple[int, int, int, int]

MULTISCALE = (1.0, 0.875, 0.75, 0.66)


def crop(
    pixels: Shaped[Tensor, "*batch rows columns"], box: Box
) -> Shaped[Tensor, "*batch cropped_rows cropped_columns"]:
    """The part of the frames inside `box`, as a view."""
    top, left, height, width = box
    rows, columns = pixels.shape[-2:]
    if min(top, left) < 0 or min(height, width) < 1 or top + height > rows or left + width > columns:
        raise ConfigError(
            f"box at row {top}, column {left} of {height} x {width} pixels leaves frame {rows} x {columns}"
        )
    return pixels[..., top : top + height, left : left + width]


def draw_resized_crop(
    height: int,
    width: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """A box of random area and shape: the crop of Inception training (Szegedy et al. 2015, section 6).

    The area is uniform in `scale` (share of the frame), width / height log-uniform in `ratio`. Ten tries;
    if none fits into the frame, the largest centred box whose shape is allowed.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        area = height * width * uniform(*scale, generator)
        shape = math.exp(uniform(low, high, generator))
        box_height, box_width = round(math.sqrt(area / shape)), round(math.sqrt(area * shape))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = integer(0, height - box_height + 1, generator)
            return top, integer(0, width - box_width + 1, generator), box_height, box_width
    box_height = min(height, max(1, round(width / ratio[0])))
    box_width = min(width, max(1, round(height * ratio[1])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def multiscale_crop_sizes(
    width: int, height: int, image_size: int, scales: Sequence[float] = MULTISCALE, max_distort: int = 1
) -> list[tuple[int, int]]:
    """(width, height) of the crops that multi-scale cropping draws from (TSN, Wang et al. 2016, section 3.2).

    A side is a scale times the shorter side of the frame, truncated; one less than 3 pixels away from
    `image_size` becomes `image_size`, which may be a pixel or two more than the frame has. The scales of
    the two sides lie at most `max_distort` places apart.

    >>> multiscale_crop_sizes(340, 256, image_size=224, scales=(1.0, 0.875))
    [(256, 256), (224, 256), (256, 224), (224, 224)]
    """
    sides = [int(min(width, height) * scale) for scale in scales]
    sides = [image_size if abs(side - image_size) < 3 else side for side in sides]
    return [
        (crop_width, crop_height)
        for i, crop_height in enumerate(sides)
        for j, crop_width in enumerate(sides)
        if abs(i - j) <= max_distort
    ]


def multiscale_crop_offsets(
    width: int, height: int, crop_width: int, crop_height: int
) -> list[tuple[int, int]]:
    """(left, top) of the 13 places where a multi-scale crop may lie, on a grid of quarters of the room.

    The corners and the centre come first, which are all that X-CLIP draws from, then the middles of the edges,
    then the middles of the quadrants.
    """
    right, down = (width - crop_width) // 4, (height - crop_height) // 4
    quarters = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    quarters += [(0, 2), (4, 2), (2, 4), (2, 0)]
    quarters += [(1, 1), (3, 1), (1, 3), (3, 3)]
    return [(x * right, y * down) for x, y in quarters]


def draw_multiscale_crop(
    height: int,
    width: int,
    image_size: int,
    generator: torch.Generator,
    scales: Sequence[float] = MULTISCALE,
    max_distort: int = 1,
    num_places: Literal[5, 13] = 13,
) -> Box:
    """One of the crop sizes and one of the first places, each with equal chance; always inside the frame."""
    sizes = multiscale_crop_sizes(width, height, image_size, scales, max_distort)
    crop_width, crop_height = sizes[integer(0, len(sizes), generator)]
    # In tiny frames, `image_size` may not fit and a scale may truncate to no pixel at all.
    crop_width, crop_height = min(max(crop_width, 1), width), min(max(crop_height, 1), height)
    offsets = multiscale_crop_offsets(width, height, crop_width, crop_height)[:num_places]
    left, top = offsets[integer(0, len(offsets), generator)]
    return top, left, crop_height, crop_width
