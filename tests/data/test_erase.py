"""Random erasing: boxes, noise, and what stays."""

import pytest
import torch

from tubelet.data.erase import RandomErasing, draw_erase_box, erase
from tubelet.errors import ConfigError


def test_boxes_lie_inside_the_frame_with_the_area_and_shape_asked_for():
    generator = torch.Generator().manual_seed(0)
    boxes = [draw_erase_box(200, 300, generator) for _ in range(1000)]
    for box in boxes:
        assert box is not None
        top, left, height, width = box
        assert 0 <= top <= top + height <= 200
        assert 0 <= left <= left + width <= 300
        assert 0.018 <= height * width / 60000 <= 0.34
        assert 0.29 <= height / width <= 3.45


def test_a_frame_too_small_for_any_box_is_left_alone():
    generator = torch.Generator().manual_seed(0)
    assert draw_erase_box(1, 1, generator) is None
    clip = torch.randn(3, 2, 1, 1)
    assert RandomErasing(probability=1.0)(clip, generator) is clip


def test_only_the_box_changes_and_the_input_does_not():
    clip = torch.randn(3, 2, 8, 10)
    before, noise = clip.clone(), torch.randn(3, 2, 3, 4)
    erased = erase(clip, (2, 5, 3, 4), noise)
    assert torch.equal(erased[..., 2:5, 5:9], noise)
    erased[..., 2:5, 5:9] = before[..., 2:5, 5:9]
    assert torch.equal(erased, before)
    assert torch.equal(clip, before)


def test_one_box_for_all_frames_with_fresh_noise_in_each():
    clip = torch.zeros(3, 4, 32, 32)
    erased = RandomErasing(probability=1.0)(clip, torch.Generator().manual_seed(0))
    changed = erased != 0
    assert changed.any()
    assert torch.equal(changed, changed[:1, :1].expand_as(changed))
    assert not torch.equal(erased[:, 0], erased[:, 1])


def test_erasing_happens_as_often_as_asked():
    clip, generator = torch.zeros(3, 1, 16, 16), torch.Generator().manual_seed(0)
    count = sum(bool(RandomErasing()(clip, generator).any()) for _ in range(800))
    assert count / 800 == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("setting", [{"probability": 1.1}, {"area": (0.0, 0.3)}, {"aspect": (2.0, 1.0)}])
def test_settings_out_of_range_are_refused(setting: dict):
    with pytest.raises(ConfigError):
        RandomErasing(**setting)
