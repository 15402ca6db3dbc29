"""Shears and translations of uint8 frames that give the pixels PIL gives: every row moves along itself.

All pixels of a row move by the same distance, so that a row needs four weights, not sixteen for each pixel, and
frames are read in the order in which they lie in memory. Columns move alike, with the axes exchanged.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

from tubelet.data.crop import Box


def slide_rows(
    pixels: UInt8[Tensor, "frames channels rows columns"],
    distance: Float64[Tensor, "rows"],
    fill: int,
    box: Box,
) -> UInt8[Tensor, "frames channels box_rows box_columns"]:
    """The part `box` of frames whose row y shows what lay `distance[y]` columns further right; bicubic.

    What comes from outside the frame is `fill`.
    """
    return _slide(pixels, distance, fill, box, columns_move=False)


def slide_columns(
    pixels: UInt8[Tensor, "frames channels rows columns"],
    distance: Float64[Tensor, "columns"],
    fill: int,
    box: Box,
) -> UInt8[Tensor, "frames channels box_rows box_columns"]:
    """The part `box` of frames whose column x shows what lay `distance[x]` rows further down; bicubic."""
    top, left, height, width = box
    return _slide(pixels.mT, distance, fill, (left, top, width, height), columns_move=True).mT


def _slide(
    pixels: UInt8[Tensor, "frames channels rows columns"],
    distance: Float64[Tensor, "rows"],
    fill: int,
    box: Box,
    *,
    columns_move: bool,
) -> UInt8[Tensor, "frames channels box_rows box_columns"]:
    top, left, height, width = box
    distance = distance[top : top + height]
    moved = _interleaved(pixels, height, width + 3, columns_move)
    for first, last, start in _runs(distance.floor().long() + left - 1):
        _copy_clamped(moved[:, :, first:last], pixels[:, :, top + first : top + last], start)
    weights = _weights(distance, pixels.shape[1], columns_move).to(pixels.device)
    slid = _interleaved(pixels, height, width, columns_move)
    for frame, out in zip(moved, slid, strict=True):
        levels = frame.float()
        sums = levels[..., :width] * weights[0]
        for tap in (1, 2, 3):
            sums.addcmul_(levels[..., tap : tap + width], weights[tap])
        out.copy_(truncated(sums))
    places = torch.arange(left, left + width, dtype=torch.float64) + 0.5 + distance[:, None]
    for first, last, low in _runs((places < 0).sum(1)):
        slid[:, :, first:last, :low] = fill
    for first, last, high in _runs((places < pixels.shape[-1]).sum(1)):
        slid[:, :, first:last, high:] = fill
    return slid


def truncated(sums: Float32[Tensor, "*pixels"]) -> UInt8[Tensor, "*pixels"]:
    """Whole levels of weighted sums, which are used up.

    PIL sums in float64 and truncates; the margin keeps whole numbers whole after float32 rounding. The way over
    16 bits is twice as fast as the direct one.
    """
    return sums.add_(2.5e-4).clamp_(0, 255).to(torch.int16).to(torch.uint8)


def cubic_weights(t: Float32[Tensor, "*places"]) -> tuple[Float32[Tensor, "*places"], ...]:
    """Of the four neighbours of a place that lies `t` behind the second: cubic convolution (Keys 1981).

    a = -1, which PIL uses in transforms; its resize has a = -0.5.
    """
    u = 1 - t
    return -t * u * u, 1 + t * t * (t - 2), 1 + u * u * (u - 2), -u * t * t


def _runs(values: Int64[Tensor, "rows"]) -> Iterator[tuple[int, int, int]]:
    """(first, last + 1, value) of rows one after the other that have the same value."""
    kinds, counts = torch.unique_consecutive(values, return_counts=True)
    first = 0
    for value, count in zip(kinds.tolist(), counts.tolist(), strict=True):
        yield first, first + count, value
        first += count


def _copy_clamped(
    target: UInt8[Tensor, "frames channels rows width"],
    source: UInt8[Tensor, "frames channels rows columns"],
    start: int,
) -> None:
    """Columns from `start` on; before the first and after the last one those are repeated."""
    width, columns = target.shape[-1], source.shape[-1]
    low = min(max(-start, 0), width)
    high = max(min(columns - start, width), low)
    target[..., :low] = source[..., :1]
    target[..., low:high] = source[..., start + low : start + high]
    target[..., high:] = source[..., -1:]


def _weights(
    distance: Float64[Tensor, "rows"], channels: int, columns_move: bool
) -> Float32[Tensor, "taps channels_or_one rows 1"]:
    t = (distance - distance.floor()).float()
    weights = torch.stack(cubic_weights(t))
    if not columns_move:
        return weights[:, None, :, None]
    # Written out for all channels, so that they run along memory as the pixels do.
    return weights[:, :, None].repeat(1, 1, channels).mT[..., None]


def _interleaved(
    like: Tensor, rows: int, columns: int, columns_move: bool
) -> UInt8[Tensor, "frames channels rows columns"]:
    """New frames with the channels of a pixel side by side, and the picture's own rows one after the other."""
    frames, channels = like.shape[:2]
    if columns_move:
        return like.new_empty(frames, columns, rows, channels).permute(0, 3, 2, 1)
    return like.new_empty(frames, rows, columns, channels).permute(0, 3, 1, 2)
