"""Changes of colour and contrast on uint8 clips that give the pixels PIL gives.

What happens to a level independently of its neighbours is a table of 256 entries: one for the clip, one per
frame, or one per frame and channel. Statistics (range, histogram, mean) are of single frames. Operations
that look at channels one by one leave the clip as planes in memory: that copy is cheaper than their strides.
"""

import torch
from jaxtyping import Float32, Int32, Shaped, UInt8
from torch import Tensor

Clip = UInt8[Tensor, "frames 3 rows columns"]


def invert(pixels: Clip) -> Clip:
    return 255 - pixels


def posterize(pixels: Clip, bits: float) -> Clip:
    """Keeps the `bits` highest bits of each level; 0 bits leave a black clip."""
    return pixels & (256 - (1 << (8 - int(bits))))


def solarize(pixels: Clip, threshold: float) -> Clip:
    """Inverts the levels from `threshold` up."""
    levels = _levels(pixels)
    return _look_up(pixels, torch.where(levels < threshold, levels, 255 - levels))


def solarize_add(pixels: Clip, amount: float, threshold: float = 128.0) -> Clip:
    """Adds `amount` to the levels below `threshold`."""
    levels = _levels(pixels)
    return _look_up(pixels, torch.where(levels < threshold, (levels + amount).clamp(0, 255), levels))


def autocontrast(pixels: Clip) -> Clip:
    """Stretches each channel of each frame to the full range."""
    pixels = pixels.contiguous()
    planes = pixels.flatten(2)
    low, high = planes.amin(2, keepdim=True).double(), planes.amax(2, keepdim=True).double()
    levels = _levels(pixels)
    # PIL truncates, so the last bit decides: float64, this order, and a division (`255 / range` in torch
    # multiplies by a reciprocal).
    scale = torch.full_like(low, 255).div_((high - low).clamp(min=1))
    stretched = (levels * scale + -low * scale).clamp(0, 255).trunc()
    return _look_up(pixels, torch.where(high > low, stretched, levels.double()))


def equalize(pixels: Clip) -> Clip:
    """Makes the histogram of each channel of each frame as flat as whole levels allow."""
    pixels = pixels.contiguous()
    counts = torch.stack(
        [torch.bincount(plane, minlength=256) for plane in pixels.view(-1, pixels[0, 0].numel())]
    )
    last = 255 - (counts > 0).to(torch.uint8).flip(1).argmax(1, keepdim=True)
    step = (counts.sum(1, keepdim=True) - counts.gather(1, last)) // 255
    below = counts.cumsum(1) - counts
    levels = _levels(pixels).to(counts.dtype)
    # A plane with a step of zero (few pixels, or nearly one level) stays as it is.
    table = torch.where(step > 0, (step // 2 + below) // step.clamp(min=1), levels).clamp(max=255)
    return _look_up(pixels, table.view(len(pixels), 3, 256))


def brightness(pixels: Clip, factor: float) -> Clip:
    """Away from black for factors above 1, towards it below."""
    levels = _levels(pixels)
    return _look_up(pixels, _blend(torch.zeros_like(levels), levels, factor))


def contrast(pixels: Clip, factor: float) -> Clip:
    """Away from the mean grey of each frame for factors above 1, towards it below."""
    means = torch.stack([_grey(frame.to(torch.float32)).double().mean() for frame in pixels])
    grey = (means + 0.5).to(torch.int32)[:, None, None]
    return _look_up(pixels, _blend(grey, _levels(pixels), factor))


def color(pixels: Clip, factor: float) -> Clip:
    """Away from grey for factors above 1, towards it below."""
    pixels = pixels.contiguous()
    changed = torch.empty_like(pixels)
    for frame, out in zip(pixels, changed, strict=True):
        levels = frame.to(torch.float32)
        out.copy_(_blend(_grey(levels), levels, factor).to(torch.int16))
    return changed


def grayscale(pixels: Clip) -> Clip:
    """The luma of each pixel in all three channels."""
    grey = torch.stack([_grey(frame.to(torch.float32)) for frame in pixels])
    return grey.to(torch.uint8).expand(-1, 3, -1, -1).contiguous()


def hue(pixels: Clip, turns: float) -> Clip:
    """Hues moved by a share of the colour circle, red towards green for shares above 0 (Smith 1978).

    Brightness and saturation (value and chroma of HSV) stay, and greys with them. Nothing is rounded on the way;
    PIL rounds hue and saturation to 256 levels, and is off by a few grey levels for that.
    """
    pixels = pixels.contiguous()
    changed = torch.empty_like(pixels)
    for frame, out in zip(pixels, changed, strict=True):
        levels = frame.to(torch.float32)
        high, low = levels.amax(0), levels.amin(0)
        chroma = high - low
        sixths = _hue_in_sixths(levels, high, chroma).add_(6 * turns)
        # Each channel falls from the highest level to the lowest and back on its own part of the circle.
        for channel, offset in enumerate((5.0, 3.0, 1.0)):
            place = torch.remainder(sixths + offset, 6.0)
            share = place.sub_(2.0).abs_().neg_().add_(2.0).clamp_(0, 1)
            out[channel] = share.mul_(chroma).neg_().add_(high).round_()
    return changed


def sharpness(pixels: Clip, factor: float) -> Clip:
    """Away from the smoothed frame for factors above 1, towards it below."""
    changed = torch.empty_like(pixels)
    for frame, out in zip(pixels, changed, strict=True):
        levels = frame.to(torch.float32)
        out.copy_(_blend(_smooth(levels), levels, factor).to(torch.int16))
    return changed


def _levels(pixels: Tensor) -> Int32[Tensor, "levels"]:
    return torch.arange(256, dtype=torch.int32, device=pixels.device)


def _look_up(pixels: Clip, table: Shaped[Tensor, "*frames_and_channels 256"]) -> Clip:
    """Every level replaced by its entry; the table is for all, per frame, or per frame and channel."""
    indices = pixels.to(torch.int32)
    if table.ndim > 1:
        starts = torch.arange(0, table.numel(), 256, dtype=torch.int32, device=pixels.device)
        indices += starts.view(*table.shape[:2], 1, 1)
    # Walking through memory in its own order: any other walk costs more than the look-up.
    interleaved = pixels.is_contiguous(memory_format=torch.channels_last)
    walk = indices.permute(0, 2, 3, 1) if interleaved else indices
    found = table.to(torch.uint8).reshape(-1).index_select(0, walk.reshape(-1)).view(walk.shape)
    return found.permute(0, 3, 1, 2) if interleaved else found


def _grey(frame: Float32[Tensor, "3 rows columns"]) -> Float32[Tensor, "1 rows columns"]:
    """Luma (ITU-R 601) in PIL's 16-bit fixed point, whose numbers float32 still holds exactly."""
    red, green, blue = frame
    sums = (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471)
    return sums.add_(0x8000).mul_(2**-16).floor_()[None]


def _hue_in_sixths(
    frame: Float32[Tensor, "3 rows columns"],
    high: Float32[Tensor, "rows columns"],
    chroma: Float32[Tensor, "rows columns"],
) -> Float32[Tensor, "rows columns"]:
    """Hue as -1 to 5 sixths of the circle: red is 0, green 2, blue 4; of grey it says nothing."""
    red, green, blue = frame
    colourful = chroma.clamp(min=1)
    from_red = (green - blue).div_(colourful)
    from_green = (blue - red).div_(colourful).add_(2)
    from_blue = (red - green).div_(colourful).add_(4)
    return torch.where(high == red, from_red, torch.where(high == green, from_green, from_blue))


def _smooth(frame: Float32[Tensor, "channels rows columns"]) -> Float32[Tensor, "channels rows columns"]:
    """The 3 x 3 mean whose centre counts five times, rounded; the outermost pixels stay as they are."""
    smoothed = frame.clone()
    if min(frame.shape[-2:]) < 3:
        return smoothed
    rows = (frame[:, :-2] + frame[:, 1:-1]).add_(frame[:, 2:])
    sums = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).add_(frame[:, 1:-1, 1:-1], alpha=4)
    # The weights sum to 13, so no mean lies near a tie and float32 rounds as whole numbers would.
    smoothed[:, 1:-1, 1:-1] = sums.mul_(1 / 13).add_(0.5).floor_()
    return smoothed


def _blend(
    start: Shaped[Tensor, "*start"], end: Shaped[Tensor, "*end"], factor: float
) -> Float32[Tensor, "*blended"]:
    """start + factor (end - start) in the float32 steps of PIL's blend; a cast to whole levels then truncates.

    The cast by way of 16 bits is twice as fast as the direct one to uint8.
    """
    start = start.to(torch.float32)
    # A multiplication and an addition, not one fused operation: truncation shows the last bit.
    return (end - start).mul_(factor).add_(start).clamp_(0, 255)
