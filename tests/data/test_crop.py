"""Boxes lie inside their frames and are spread as they should be."""

import math

import pytest
import torch

from tubelet.data.crop import (
    crop,
    draw_multiscale_crop,
    draw_resized_crop,
    multiscale_crop_offsets,
    multiscale_crop_sizes,
)
from tubelet.errors import ConfigError

FRAMES = [(256, 340), (340, 256), (17, 17), (1, 300), (300, 1), (1, 1), (223, 400)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("height", "width"), FRAMES)
def test_drawn_boxes_lie_inside_the_frame(height: int, width: int):
    draws = generator()
    for _ in range(200):
        for box in (draw_resized_crop(height, width, draws), draw_multiscale_crop(height, width, 224, draws)):
            top, left, box_height, box_width = box
            assert 0 <= top <= top + box_height <= height
            assert 0 <= left <= left + box_width <= width
            assert min(box_height, box_width) > 0


def test_resized_crops_keep_to_their_areas_and_shapes():
    draws = generator()
    boxes = [draw_resized_crop(1000, 1000, draws, (0.2, 0.5), (0.75, 1.3333)) for _ in range(2000)]
    areas = [height * width / 1e6 for _, _, height, width in boxes]
    shapes = [math.log(width / height) for _, _, height, width in boxes]
    assert 0.199 < min(areas) < 0.21
    assert 0.49 < max(areas) < 0.501
    assert sum(areas) / len(areas) == pytest.approx(0.35, abs=0.01)
    assert math.log(0.749) < min(shapes)
    assert max(shapes) < math.log(1.335)
    assert sum(shapes) / len(shapes) == pytest.approx(0, abs=0.015)


def test_frames_too_narrow_for_any_shape_give_the_largest_centred_box():
    assert draw_resized_crop(100, 10, generator(), (0.9, 1.0), (0.5, 2.0)) == (40, 0, 20, 10)
    assert draw_resized_crop(10, 100, generator(), (0.9, 1.0), (0.5, 2.0)) == (0, 40, 10, 20)


def test_multiscale_crops_of_every_size_and_place_are_drawn():
    draws = generator()
    boxes = {draw_multiscale_crop(256, 340, 224, draws) for _ in range(4000)}
    expected = {
        (top, left, height, width)
        for width, height in multiscale_crop_sizes(340, 256, 224)
        for left, top in multiscale_crop_offsets(340, 256, width, height)
    }
    assert boxes == expected


def test_a_side_near_the_image_size_becomes_the_image_size():
    assert multiscale_crop_sizes(300, 226, 224, scales=(1.0,)) == [(224, 224)]
    assert multiscale_crop_sizes(300, 227, 224, scales=(1.0,)) == [(227, 227)]


def test_distortion_is_limited_by_places_in_the_list_of_scales():
    sizes = multiscale_crop_sizes(400, 400, 100, scales=(1.0, 0.8, 0.6), max_distort=0)
    assert sizes == [(400, 400), (320, 320), (240, 240)]
    assert len(multiscale_crop_sizes(400, 400, 100, scales=(1.0, 0.8, 0.6), max_distort=2)) == 9


def test_the_same_generator_state_draws_the_same_box():
    assert draw_resized_crop(99, 77, generator(5)) == draw_resized_crop(99, 77, generator(5))
    assert draw_multiscale_crop(99, 77, 48, generator(5)) == draw_multiscale_crop(99, 77, 48, generator(5))


def test_a_crop_is_a_view_of_the_right_pixels():
    pixels = torch.arange(6 * 8).view(1, 6, 8)
    part = crop(pixels, (2, 3, 2, 4))
    assert part.tolist() == [[[19, 20, 21, 22], [27, 28, 29, 30]]]
    assert part.data_ptr() == pixels[0, 2, 3:].data_ptr()


def test_boxes_outside_the_frame_are_refused():
    pixels = torch.zeros(3, 6, 8)
    for box in [(0, 0, 7, 8), (-1, 0, 2, 2), (0, 5, 2, 4), (0, 0, 0, 2)]:
        with pytest.raises(ConfigError, match="leaves frame 6 x 8"):
            crop(pixels, box)
