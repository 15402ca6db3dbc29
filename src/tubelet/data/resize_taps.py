"""Bilinear resizing in whole numbers, as PyTorch's uint8 kernel on CPUs does it, for tensors of any device.

Weights are numbers of 16 bits, and what the first pass gives is rounded to a level before the second one, as in
PIL. Arithmetic in floats rounds elsewhere: the two passes together may then differ by two levels.
"""

import torch
from jaxtyping import Float64, Int32, Int64, UInt8
from torch import Tensor


def resize_in_whole_numbers(
    pixels: UInt8[Tensor, "frames channels rows columns"], height: int, width: int, *, antialias: bool
) -> UInt8[Tensor, "frames channels height width"]:
    """Frames of `height` x `width`: columns first, then rows."""
    narrowed = _resize_last(pixels, width, antialias)
    return _resize_last(narrowed.mT, height, antialias).mT


def _resize_last(
    pixels: UInt8[Tensor, "frames channels across length"], size: int, antialias: bool
) -> UInt8[Tensor, "frames channels across size"]:
    length = pixels.shape[-1]
    if length == size:
        return pixels
    sources, weights = _taps(length, size) if antialias else _neighbours(length, size)
    whole, bits = _whole(weights)
    sums = torch.full((), 1 << (bits - 1), dtype=torch.int32, device=pixels.device)
    for source, weight in zip(sources.to(pixels.device), whole.to(pixels.device), strict=True):
        sums = sums + pixels[..., source].to(torch.int32) * weight
    return (sums >> bits).clamp_(0, 255).to(torch.uint8)


def _taps(length: int, size: int) -> tuple[Int64[Tensor, "taps size"], Float64[Tensor, "taps size"]]:
    """For each new pixel the old ones that it covers, and their weights: a triangle as wide as two new pixels."""
    scale = length / size
    support = max(scale, 1.0)
    centre = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    first = (centre - support + 0.5).long().clamp(min=0)
    last = (centre + support + 0.5).long().clamp(max=length)
    sources = first + torch.arange(int((last - first).max()))[:, None]
    weights = (1 - ((sources - centre + 0.5) / support).abs()).clamp(min=0) * (sources < last)
    return sources.clamp(max=length - 1), weights / weights.sum(0)


def _neighbours(length: int, size: int) -> tuple[Int64[Tensor, "taps size"], Float64[Tensor, "taps size"]]:
    """For each new pixel the two old ones next to its centre, at any scale."""
    place = ((torch.arange(size, dtype=torch.float64) + 0.5) * (length / size) - 0.5).clamp(min=0)
    first = place.long().clamp(max=length - 1)
    share = (place - first).clamp(0, 1)
    return torch.stack([first, (first + 1).clamp(max=length - 1)]), torch.stack([1 - share, share])


def _whole(weights: Float64[Tensor, "taps size"]) -> tuple[Int32[Tensor, "taps size"], int]:
    """The weights times 2^bits, as many bits as keep the largest below 2^15."""
    largest = float(weights.max())
    bits = next((b for b in range(22) if int(0.5 + largest * 2 ** (b + 1)) >= 1 << 15), 22)
    return (weights * 2**bits + 0.5).to(torch.int32), bits
