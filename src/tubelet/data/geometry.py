"""Sizes and crop positions in whole pixels, exactly as the published pipelines round them."""

from typing import Literal

from tubelet.errors import ConfigError

# Whose pixels these are: VideoMAE and VideoMamba round alike, X-CLIP takes the nearest size and whole steps,
# UniFormerV2 rounds places up.
Rounding = Literal["videomae", "xclip", "uniformerv2"]


def short_side_size(
    height: int, width: int, short_side: int, rounding: Rounding = "videomae"
) -> tuple[int, int]:
    """(height, width) after a resize that makes the shorter side `short_side` pixels long.

    The other side keeps the aspect ratio and is truncated (in UniFormerV2 after arithmetic in floats, which may
    cost a pixel); X-CLIP's is rounded to the nearest pixel.

    >>> short_side_size(240, 320, 224), short_side_size(240, 320, 224, "xclip")
    ((224, 298), (224, 299))
    """
    if min(height, width, short_side) < 1:
        raise ConfigError(
            f"cannot resize {height} x {width} to a short side of {short_side}: sizes start at 1 pixel"
        )
    shorter, longer = min(height, width), max(height, width)
    if rounding == "xclip":
        longer = int(longer * (short_side / shorter) + 0.5)
    elif rounding == "uniformerv2" and shorter != short_side:
        longer = int(longer / shorter * short_side)
    else:
        longer = short_side * longer // shorter
    return (short_side, longer) if height <= width else (longer, short_side)


def center_crop_offset(length: int, size: int, rounding: Rounding = "videomae") -> int:
    """First pixel of a centred crop of `size` out of `length` pixels.

    Halves round to the even number; in X-CLIP they are cut off, in UniFormerV2 they round up.

    >>> center_crop_offset(297, 224), center_crop_offset(299, 224), center_crop_offset(299, 224, "xclip")
    (36, 38, 37)
    """
    if rounding == "uniformerv2":
        return (length - size + 1) // 2
    return (length - size) // 2 if rounding == "xclip" else round((length - size) / 2)


def spread_crop_boxes(
    height: int, width: int, size: int, num_crops: int, rounding: Rounding = "videomae"
) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) of `num_crops` square crops spread evenly along the longer side.

    The first crop touches one end, the last one the other; a single crop is centred. Across the shorter
    side crops are centred, which moves nothing when that side was resized to `size`. X-CLIP goes from crop to
    crop in steps of whole pixels, so that its last one may end some pixels before the end.

    >>> spread_crop_boxes(224, 298, size=224, num_crops=3)
    [(0, 0, 224, 224), (0, 37, 224, 224), (0, 74, 224, 224)]
    """
    if num_crops < 1:
        raise ConfigError(f"num_crops is {num_crops}; a frame needs at least one crop")
    if not 1 <= size <= min(height, width):
        raise ConfigError(f"a crop of {size} does not fit into {height} x {width}; resize the frames first")
    longer, shorter = max(height, width), min(height, width)
    if num_crops == 1:
        starts = [center_crop_offset(longer, size, rounding)]
    elif rounding == "xclip":
        starts = [i * ((longer - size) // (num_crops - 1)) for i in range(num_crops)]
    elif rounding == "uniformerv2":
        starts = [-(i * (size - longer) // (num_crops - 1)) for i in range(num_crops)]
    else:
        starts = [i * (longer - size) // (num_crops - 1) for i in range(num_crops)]
    across = center_crop_offset(shorter, size, rounding)
    if width >= height:
        return [(across, start, size, size) for start in starts]
    return [(start, across, size, size) for start in starts]
