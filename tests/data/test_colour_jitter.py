"""Colours that are drawn, and the hue of a frame against Python's own HSV and PIL's."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.data.pil_oracle import images, pixels_of
from tubelet.data import photometric
from tubelet.data.colour_jitter import CHANGES, ColourJitter, apply_changes
from tubelet.errors import ConfigError

SURE = ColourJitter(probability=1.0)


def random_frames(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def python_hue(frame: Tensor, turns: float) -> Tensor:
    """The frame (3, H, W) with its hue moved in float64 by the standard library, not yet rounded."""
    moved = torch.empty(frame.shape, dtype=torch.float64)
    for row, column in np.ndindex(*frame.shape[1:]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(frame[:, row, column].double() / 255).tolist())
        shares = colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)
        moved[:, row, column] = 255 * torch.tensor(shares, dtype=torch.float64)
    return moved


@pytest.mark.parametrize("turns", [-0.5, -0.1, -0.01, 0.07, 0.33, 0.5])
def test_hue_moves_as_on_the_circle_of_hsv(turns: float):
    torch.manual_seed(0)
    frame = random_frames(3, 24, 20)
    frame[:, 0] = frame[:1, 0]  # greys
    frame[1, 1] = frame[0, 1]  # two channels alike
    expected = python_hue(frame, turns)
    # Half a level is rounding; what float32 adds to it is far less than a hundredth.
    assert (photometric.hue(frame[None], turns)[0].double() - expected).abs().max() < 0.51


def test_hue_is_within_what_pil_rounds_away():
    torch.manual_seed(0)
    frames, step = random_frames(2, 3, 40, 50), 20

    def shifted(picture: Image.Image) -> Image.Image:
        hue, saturation, value = picture.convert("HSV").split()
        table = [(level + step) % 256 for level in range(256)]
        return Image.merge("HSV", (hue.point(table), saturation, value))

    theirs = pixels_of([shifted(picture).convert("RGB") for picture in images(frames)])
    difference = (photometric.hue(frames, step / 256).int() - theirs.int()).abs()
    assert difference.float().mean() < 1
    assert difference.max() < 16


def test_red_turned_by_a_third_is_green_and_greys_stay():
    colours = torch.tensor([[255, 0, 0], [90, 90, 90], [0, 0, 0]], dtype=torch.uint8).view(3, 3, 1, 1)
    turned = photometric.hue(colours, 1 / 3).view(3, 3)
    assert turned.tolist() == [[0, 255, 0], [90, 90, 90], [0, 0, 0]]


@pytest.mark.parametrize("turns", [0.0, 1.0, -1.0])
def test_a_whole_turn_of_hue_changes_nothing(turns: float):
    frames = random_frames(2, 3, 8, 8)
    assert torch.equal(photometric.hue(frames, turns), frames)


def test_grayscale_is_the_luma_of_pil():
    frames = random_frames(2, 3, 9, 7)
    theirs = pixels_of([picture.convert("L").convert("RGB") for picture in images(frames)])
    assert torch.equal(photometric.grayscale(frames), theirs)


def test_all_frames_of_a_clip_change_alike_unless_told_otherwise():
    still = random_frames(1, 3, 12, 12).expand(4, -1, -1, -1)
    together = SURE(still, generator())
    assert (together == together[:1]).all()
    assert not torch.equal(together, still)
    flickering = ColourJitter(probability=1.0, per_frame=True)(still, generator())
    assert len({frame.numpy().tobytes() for frame in flickering}) == 4


def test_a_clip_changes_as_a_whole_or_not_at_all():
    still = random_frames(1, 3, 6, 6).expand(5, -1, -1, -1)
    jitter = ColourJitter(probability=0.5, per_frame=True)
    changed = [(jitter(still, generator(seed)) != still).flatten(1).any(dim=1) for seed in range(60)]
    assert {int(frames.sum()) for frames in changed} == {0, 5}
    assert 15 < sum(bool(frames.all()) for frames in changed) < 45


def test_amounts_lie_where_the_strengths_say_in_any_order():
    drawn = [SURE.draw(generator(seed)) for seed in range(300)]
    orders = {tuple(change.name for change in changes) for changes in drawn}
    assert len(orders) == 24
    bounds = {"brightness": (0.6, 1.4), "contrast": (0.6, 1.4), "saturation": (0.8, 1.2), "hue": (-0.1, 0.1)}
    for name, (low, high) in bounds.items():
        amounts = [change.amount for changes in drawn for change in changes if change.name == name]
        assert low <= min(amounts) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(amounts) < high


def test_a_strength_of_zero_changes_nothing_and_shifts_no_other_draw():
    without = ColourJitter(probability=1.0, hue=0.0)
    expected = [change for change in SURE.draw(generator(5)) if change.name != "hue"]
    assert without.draw(generator(5)) == expected
    frames = random_frames(2, 3, 6, 6)
    nothing = ColourJitter(probability=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    assert torch.equal(nothing(frames, generator()), frames)


def test_what_follows_does_not_depend_on_whether_a_clip_was_changed():
    frames = random_frames(3, 3, 6, 6)
    for per_frame in (False, True):
        after = []
        for probability in (0.0, 1.0):
            draws = generator(1)
            ColourJitter(probability=probability, per_frame=per_frame)(frames, draws)
            after.append(float(torch.rand((), generator=draws)))
        assert after[0] == after[1]


def test_changes_are_applied_one_after_the_other():
    frames = random_frames(2, 3, 10, 10)
    drawn = SURE.draw(generator(2))
    expected = frames
    for change in drawn:
        expected = CHANGES[change.name](expected, change.amount)
    assert torch.equal(apply_changes(frames, drawn), expected)


@pytest.mark.parametrize(
    "settings",
    [{"probability": 1.1}, {"brightness": -0.1}, {"contrast": float("nan")}, {"hue": 0.6}, {"hue": -0.1}],
)
def test_strengths_that_mean_nothing_are_refused(settings: dict[str, float]):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        ColourJitter(**settings)  # pyright: ignore[reportArgumentType]
