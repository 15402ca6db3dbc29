"""Resizing in whole numbers, the way of GPUs, against the kernel of the CPU: not one level apart."""

import pytest
import torch
import torch.nn.functional as F

from tubelet.data.resize_taps import resize_in_whole_numbers

# The kernel that all pixels here were found equal to; other processors have other kernels.
EXACT = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
# rows, columns -> height, width: up, down, both, one axis, extreme shapes, and one that sums of floats got wrong
SIZES = [
    ((36, 50), (24, 24)),
    ((20, 26), (32, 41)),
    ((7, 100), (24, 24)),
    ((100, 7), (24, 24)),
    ((1, 1), (5, 3)),
    ((33, 40), (33, 20)),
    ((33, 40), (20, 40)),
    ((360, 1), (1, 200)),
    ((232, 245), (224, 224)),
]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("size", "target"), SIZES)
def test_whole_numbers_give_the_bytes_of_the_kernel(
    size: tuple[int, int], target: tuple[int, int], antialias: bool
):
    noise = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    for pixels in (noise, (noise > 127).to(torch.uint8) * 255):
        for layout in (torch.contiguous_format, torch.channels_last):
            pixels = pixels.contiguous(memory_format=layout)
            expected = F.interpolate(pixels, size=target, mode="bilinear", antialias=antialias)
            found = resize_in_whole_numbers(pixels, *target, antialias=antialias)
            off = (found.int() - expected.int()).abs()
            assert off.max() <= (0 if EXACT else 1)


@pytest.mark.parametrize("antialias", [True, False])
def test_flat_frames_stay_flat(antialias: bool):
    for level in (0, 1, 127, 254, 255):
        pixels = torch.full((1, 3, 30, 41), level, dtype=torch.uint8)
        assert resize_in_whole_numbers(pixels, 17, 64, antialias=antialias).unique().tolist() == [level]
