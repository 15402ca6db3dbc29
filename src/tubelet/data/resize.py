"""Bilinear resizing of uint8 frames, with the two meanings of "bilinear" that published pipelines use."""

import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.geometry import Rounding, short_side_size
from tubelet.data.resize_taps import resize_in_whole_numbers
from tubelet.errors import ConfigError


def resize(
    pixels: UInt8[Tensor, "frames channels rows columns"], height: int, width: int, *, antialias: bool
) -> UInt8[Tensor, "frames channels height width"]:
    """Frames of `height` x `width`, bilinear.

    With `antialias`, a pixel averages everything it now covers, as PIL's BILINEAR does (pre-training).
    Without, it mixes its four nearest neighbours at any scale, as OpenCV's INTER_LINEAR does
    (evaluation and fine-tuning). Both are within one grey level of those libraries, and the same on every device.

    The colours of a pixel lie side by side in the result, as decoders write them.
    """
    if min(height, width) < 1:
        raise ConfigError(f"cannot resize frames to {height} x {width}: sizes start at 1 pixel")
    rows, columns = pixels.shape[-2:]
    if (rows, columns) == (height, width):
        return pixels
    if antialias and _rows_first(rows, columns, height, width):
        pixels = _interpolate(pixels, height, columns, antialias)
    return _interpolate(pixels, height, width, antialias)


def resize_short_side(
    pixels: UInt8[Tensor, "frames channels rows columns"],
    short_side: int,
    *,
    antialias: bool = False,
    rounding: Rounding = "videomae",
) -> UInt8[Tensor, "frames channels height width"]:
    """Frames whose shorter side is `short_side` pixels long; the other side as `short_side_size` rounds it."""
    height, width = short_side_size(pixels.shape[-2], pixels.shape[-1], short_side, rounding)
    return resize(pixels, height, width, antialias=antialias)


def _interpolate(
    pixels: UInt8[Tensor, "frames channels rows columns"], height: int, width: int, antialias: bool
) -> UInt8[Tensor, "frames channels height width"]:
    if pixels.device.type == "cpu":
        if pixels.stride(1) != 1:
            # Planes cost the kernel more than this copy.
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        return F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=antialias)
    # Other devices have no antialiased kernel for bytes, and their plain one truncates.
    return resize_in_whole_numbers(pixels, height, width, antialias=antialias)


def _rows_first(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether PIL shrinks rows before columns.

    The order shows because the result of the first pass is rounded. PIL 13 was observed to start with the
    rows exactly when they lose more than twice as many pixels as the columns (3000 random sizes).
    """
    return rows > height and rows - height > 2 * (columns - width)
