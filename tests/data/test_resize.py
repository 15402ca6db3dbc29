"""Resizing against PIL, against the arithmetic, and in both memory layouts."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.data.pil_oracle import images, pil_resize, pixels_of
from tubelet.data.resize import resize, resize_short_side
from tubelet.errors import ConfigError

# rows, columns -> height, width: odd sizes, extreme shapes, up, down, both, one axis only
SIZES = [
    ((36, 50), (24, 24)),
    ((31, 27), (24, 24)),
    ((27, 31), (24, 24)),
    ((64, 85), (56, 74)),
    ((20, 26), (32, 41)),
    ((7, 100), (24, 24)),
    ((100, 7), (24, 24)),
    ((1, 1), (5, 3)),
    ((90, 76), (48, 48)),
    ((33, 40), (33, 20)),
]


def random_frames(rows: int, columns: int, frames: int = 2) -> Tensor:
    return torch.randint(0, 256, (frames, 3, rows, columns), dtype=torch.uint8)


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_antialiased_resize_gives_the_pixels_of_pil(size: tuple[int, int], target: tuple[int, int]):
    pixels = random_frames(*size)
    expected = pixels_of([pil_resize(image, *target) for image in images(pixels)])
    off = (resize(pixels, *target, antialias=True).int() - expected.int()).abs()
    assert off.max() <= 1
    assert off.double().mean() < 0.1


@pytest.mark.parametrize(("size", "target"), SIZES)
def test_plain_resize_is_within_a_level_of_exact_bilinear(size: tuple[int, int], target: tuple[int, int]):
    pixels = random_frames(*size)
    exact = F.interpolate(pixels.double(), size=target, mode="bilinear")
    off = resize(pixels, *target, antialias=False).double() - exact
    assert off.abs().max() <= 1.05
    assert off.abs().mean() < 0.4
    # Ties go up, so where source and target pixels are in step, halves are all lost on the same side.
    assert abs(off.mean()) < 0.26


@pytest.mark.parametrize("antialias", [True, False])
def test_memory_layout_does_not_change_the_pixels(antialias: bool):
    planar = random_frames(40, 52)[..., 3:34, 5:44]
    interleaved = planar.contiguous(memory_format=torch.channels_last)
    for frames in (planar, interleaved):
        resized = resize(frames, 24, 24, antialias=antialias)
        assert torch.equal(resized, resize(planar, 24, 24, antialias=antialias))
        assert resized.stride(1) == 1  # colours side by side


def test_a_resize_to_the_same_size_copies_nothing():
    pixels = random_frames(24, 24)
    assert resize(pixels, 24, 24, antialias=True) is pixels


def test_the_long_side_is_truncated():
    assert resize_short_side(random_frames(20, 26), 32).shape[-2:] == (32, 41)
    assert resize_short_side(random_frames(26, 20), 32).shape[-2:] == (41, 32)


def test_an_empty_size_is_refused():
    with pytest.raises(ConfigError, match="0 x 24"):
        resize(random_frames(8, 8), 0, 24, antialias=True)
