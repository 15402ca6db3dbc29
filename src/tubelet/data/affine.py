"""Affine warps of uint8 frames that give the pixels PIL gives, for a whole clip at once.

A matrix (a, b, c, d, e, f) says where the output pixel with centre (x, y) is read from:
(a x + b y + c, d x + e y + f), in pixels from the top left corner of the frame, pixel centres at halves.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, Int32, UInt8
from torch import Tensor

from tubelet.data.crop import Box
from tubelet.data.slide import cubic_weights, slide_columns, slide_rows, truncated

Matrix = tuple[float, float, float, float, float, float]

# Output pixels per block and table entries per group of frames: bounds on memory, about 100 MB.
_BLOCK = 1 << 14
_TABLE = 24_000_000


def warp(
    pixels: UInt8[Tensor, "frames channels rows columns"],
    matrix: Matrix,
    fill: int = 128,
    box: Box | None = None,
) -> UInt8[Tensor, "frames channels box_rows box_columns"]:
    """Bicubic warp of every frame by one matrix; what comes from outside the frame is `fill`.

    With `box` only that part of the warped frames, at the cost of that part.
    """
    a, b, c, d, e, f = matrix
    rows, columns = pixels.shape[-2:]
    box = box or (0, 0, rows, columns)
    if (a, d, e, f) == (1, 0, 1, 0):
        return slide_rows(pixels, b * _centres(rows) + c, fill, box)
    if (a, b, c, e) == (1, 0, 0, 1):
        return slide_columns(pixels, d * _centres(columns) + f, fill, box)
    return _warp(pixels, matrix, fill, box)


def _warp(
    pixels: UInt8[Tensor, "frames channels rows columns"], matrix: Matrix, fill: int, box: Box
) -> UInt8[Tensor, "frames channels box_rows box_columns"]:
    """A warp is a sparse matrix over the pixels of a frame, the same for all frames and channels. It is built
    once and applied as a weighted sum of rows of a table (pixels x frames and channels), which is what an
    embedding bag computes.
    """
    frames, channels, rows, columns = pixels.shape
    at_once = max(1, _TABLE // (channels * rows * columns))
    if frames > at_once:
        return torch.cat([_warp(group, matrix, fill, box) for group in pixels.split(at_once)])
    # One row more than there are pixels: what lies outside the frame.
    table = pixels.new_empty(rows * columns + 1, frames * channels, dtype=torch.float32)
    table[-1] = fill
    table[:-1].view(rows, columns, frames, channels).copy_(pixels.permute(2, 3, 0, 1).contiguous())
    top, left, height, width = box
    warped = pixels.new_empty(height, width, frames, channels)
    block_rows = max(1, _BLOCK // width)
    for first in range(0, height, block_rows):
        block = warped[first : first + block_rows]
        part = (top + first, left, len(block), width)
        sources, weights = (x.to(pixels.device) for x in _sources(matrix, part, rows, columns))
        sums = F.embedding_bag(sources, table, mode="sum", per_sample_weights=weights)
        block.copy_(truncated(sums).view(block.shape))
    # Pixels of three channels lie together afterwards: the layout that `resize` likes.
    return warped.permute(2, 0, 1, 3).contiguous().permute(0, 3, 1, 2)


def rotation(degrees: float, rows: int, columns: int) -> Matrix:
    """The matrix that turns a frame counter-clockwise about its centre."""
    angle = -math.radians(degrees % 360)
    # PIL rounds here, so that right angles are exact.
    cos, sin = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = columns / 2, rows / 2
    return (cos, sin, (-cos * x - sin * y) + x, -sin, cos, (sin * x - cos * y) + y)


def _centres(length: int) -> Float64[Tensor, "length"]:
    return torch.arange(length, dtype=torch.float64) + 0.5


def _sources(
    matrix: Matrix, box: Box, rows: int, columns: int
) -> tuple[Int32[Tensor, "pixels taps"], Float32[Tensor, "pixels taps"]]:
    """The rows of the table that make up each pixel of a part of the output, and weights that sum to 1."""
    a, b, c, d, e, f = matrix
    top, left, height, width = box
    y, x = top + _centres(height)[:, None], left + _centres(width)
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    outside = (from_x < 0) | (from_x >= columns) | (from_y < 0) | (from_y >= rows)
    x_taps, x_weights = _taps(from_x, columns)
    y_taps, y_weights = _taps(from_y, rows)
    sources = y_taps[..., :, None] * columns + x_taps[..., None, :]
    weights = y_weights[..., :, None] * x_weights[..., None, :]
    sources.masked_fill_(outside[..., None, None], rows * columns)
    num_pixels = height * width
    return sources.view(num_pixels, -1), weights.view(num_pixels, -1)


def _taps(
    position: Float64[Tensor, "rows columns"], size: int
) -> tuple[Int32[Tensor, "rows columns taps"], Float32[Tensor, "rows columns taps"]]:
    """The four neighbours along one axis and their weights; one neighbour where all positions are centres."""
    position = position - 0.5
    first = position.floor()
    t = (position - first).to(torch.float32)
    first = first.to(torch.int32)
    if not t.any():
        return first.clamp(0, size - 1)[..., None], torch.ones_like(t)[..., None]
    weights = torch.stack(cubic_weights(t), dim=-1)
    neighbours = torch.arange(-1, 3, dtype=torch.int32)
    return (first[..., None] + neighbours).clamp_(0, size - 1), weights
