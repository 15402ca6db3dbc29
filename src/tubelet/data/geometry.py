"""Sizes and crop positions in whole pixels, exactly as the published pipelines round them."""

from tubelet.errors import ConfigError


def short_side_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after a resize that makes the shorter side `short_side` pixels long.

    The other side keeps the aspect ratio and is truncated, never rounded.

    >>> short_side_size(240, 320, 224)
    (224, 298)
    """
    if min(height, width, short_side) < 1:
        raise ConfigError(
            f"cannot resize {height} x {width} to a short side of {short_side}: sizes start at 1 pixel"
        )
    if height <= width:
        return short_side, short_side * width // height
    return short_side * height // width, short_side


def center_crop_offset(length: int, size: int) -> int:
    """First pixel of a centred crop of `size` out of `length` pixels; halves round to the even number.

    >>> center_crop_offset(297, 224), center_crop_offset(299, 224)
    (36, 38)
    """
    return round((length - size) / 2)


def spread_crop_boxes(height: int, width: int, size: int, num_crops: int) -> list[tuple[int, int, int, int]]:
    """(top, left, height, width) of `num_crops` square crops spread evenly along the longer side.

    The first crop touches one end, the last one the other; a single crop is centred. Across the shorter
    side crops are centred, which moves nothing when that side was resized to `size`.

    >>> spread_crop_boxes(224, 298, size=224, num_crops=3)
    [(0, 0, 224, 224), (0, 37, 224, 224), (0, 74, 224, 224)]
    """
    if num_crops < 1:
        raise ConfigError(f"num_crops is {num_crops}; a frame needs at least one crop")
    if not 1 <= size <= min(height, width):
        raise ConfigError(f"a crop of {size} does not fit into {height} x {width}; resize the frames first")
    longer, shorter = max(height, width), min(height, width)
    if num_crops == 1:
        starts = [center_crop_offset(longer, size)]
    else:
        starts = [i * (longer - size) // (num_crops - 1) for i in range(num_crops)]
    across = center_crop_offset(shorter, size)
    if width >= height:
        return [(across, start, size, size) for start in starts]
    return [(start, across, size, size) for start in starts]
