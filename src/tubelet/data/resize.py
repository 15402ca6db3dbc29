"""Bilinear resizing of uint8 frames, with the two meanings of "bilinear" that published pipelines use."""

import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.geometry import Rounding, short_side_size
from tubelet.errors import ConfigError


def resize(
    pixels: UInt8[Tensor, "frames channels rows columns"], height: int, width: int, *, antialias: bool
) -> UInt8[Tensor, "frames channels height width"]:
    """Frames of `height` x `width`, bilinear.

    With `antialias`, a pixel averages everything it now covers, as PIL's BILINEAR does (pre-training).
    Without, it mixes its four nearest neighbours at any scale, as OpenCV's INTER_LINEAR does
    (evaluation and fine-tuning). Both are within one grey level of those libraries.

    Frames in channels-last memory, which is how decoders write them, are three times faster here; the
    result keeps the layout.
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
            # Cut-out planes cost the kernel more than this copy; cut-out interleaved colours do not.
            pixels = pixels.contiguous()
        return F.interpolate(pixels, size=(height, width), mode="bilinear", antialias=antialias)
    return _interpolate_floats(pixels, height, width, antialias)


def _interpolate_floats(
    pixels: UInt8[Tensor, "frames channels rows columns"], height: int, width: int, antialias: bool
) -> UInt8[Tensor, "frames channels height width"]:
    """The way of devices that have no antialiased uint8 kernel and whose plain one truncates.

    The kernel of the CPU rounds between its two passes, columns first, when it averages; so does this.
    """
    resized = pixels.float()
    if antialias and width != pixels.shape[-1]:
        size = (pixels.shape[-2], width)
        resized = F.interpolate(resized, size=size, mode="bilinear", antialias=True).round_()
    resized = F.interpolate(resized, size=(height, width), mode="bilinear", antialias=antialias)
    return resized.round_().clamp_(0, 255).to(pixels.dtype)


def _rows_first(rows: int, columns: int, height: int, width: int) -> bool:
    """Whether PIL shrinks rows before columns.

    The order shows because the result of the first pass is rounded. PIL 13 was observed to start with the
    rows exactly when they lose more than twice as many pixels as the columns (3000 random sizes).
    """
    return rows > height and rows - height > 2 * (columns - width)
