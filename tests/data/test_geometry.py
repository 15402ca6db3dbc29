import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.geometry import center_crop_offset, short_side_size, spread_crop_boxes
from tubelet.errors import ConfigError


@given(st.integers(1, 4000), st.integers(1, 4000), st.integers(1, 512))
def test_the_short_side_comes_out_as_asked(height: int, width: int, short_side: int):
    size = short_side_size(height, width, short_side)
    assert min(size) == short_side
    assert (size[0] <= size[1]) == (height <= width) or size[0] == size[1]
    assert short_side_size(width, height, short_side) == size[::-1]


def test_a_frame_of_the_right_size_stays():
    assert short_side_size(256, 340, 256) == (256, 340)


@given(st.integers(8, 400), st.integers(8, 400), st.integers(1, 8), st.integers(1, 9))
def test_spread_crops_lie_inside_and_touch_both_ends(height: int, width: int, size: int, num_crops: int):
    boxes = spread_crop_boxes(height, width, size, num_crops)
    assert len(boxes) == num_crops
    for top, left, rows, columns in boxes:
        assert 0 <= top <= height - rows
        assert 0 <= left <= width - columns
    if num_crops > 1:
        starts = [top if height > width else left for top, left, _, _ in boxes]
        assert (starts[0], starts[-1]) == (0, max(height, width) - size)


def test_a_single_crop_is_the_centre_crop():
    assert spread_crop_boxes(224, 299, 224, 1) == [(0, center_crop_offset(299, 224), 224, 224)]


def test_what_cannot_be_cropped_is_refused():
    with pytest.raises(ConfigError, match="does not fit"):
        spread_crop_boxes(100, 300, 224, 3)
    with pytest.raises(ConfigError, match="num_crops is 0"):
        spread_crop_boxes(224, 300, 224, 0)
    with pytest.raises(ConfigError, match="start at 1"):
        short_side_size(0, 300, 224)


def test_xclip_rounds_to_the_nearest_pixel_and_steps_by_whole_pixels():
    assert short_side_size(480, 270, 384, "xclip") == (683, 384)
    assert short_side_size(480, 270, 384) == (682, 384)
    starts = {
        rounding: [left for _, left, _, _ in spread_crop_boxes(224, 299, 224, 3, rounding)]
        for rounding in ("videomae", "xclip")
    }
    assert starts == {"videomae": [0, 37, 75], "xclip": [0, 37, 74]}
    assert spread_crop_boxes(256, 455, 224, 1, "xclip") == [(16, 115, 224, 224)]
    assert spread_crop_boxes(256, 455, 224, 1) == [(16, 116, 224, 224)]


def test_uniformerv2_rounds_places_up_and_sizes_down():
    lefts = [left for _, left, _, _ in spread_crop_boxes(32, 45, 32, 3, "uniformerv2")]
    assert lefts == [0, 7, 13]
    assert spread_crop_boxes(256, 455, 224, 1, "uniformerv2") == [(16, 116, 224, 224)]
    assert center_crop_offset(45, 32, "uniformerv2") == 7
    assert short_side_size(240, 320, 224, "uniformerv2") == (224, 298)
    # Exactly 224 · 549 / 252 = 488, which floats miss; a frame of the right size stays.
    assert short_side_size(252, 549, 224, "uniformerv2") == (224, 487)
    assert short_side_size(224, 341, 224, "uniformerv2") == (224, 341)
