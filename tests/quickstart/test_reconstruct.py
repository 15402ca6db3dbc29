"""Pictures of reconstructions: the arithmetic, and that hidden pixels stay hidden."""

import pytest
import torch
from jaxtyping import Bool
from torch import Tensor

from tubelet.models.videomae import tubelet_targets
from tubelet.quickstart.reconstruct import (
    denormalize,
    replace_tubelets,
    to_frames,
    visible_statistics,
)

TUBELET = (2, 4, 4)
SHAPE = (3, 4, 12, 16)  # a grid of 2 × 3 × 4 tubelets


@pytest.fixture
def clip() -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def masked() -> Bool[Tensor, "tokens"]:
    places = torch.tensor([1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 1], dtype=torch.bool)
    return places.repeat(2)


def scrambled(clip: Tensor, masked: Tensor) -> Tensor:
    """The clip with noise in its hidden tubelets."""
    noise = torch.rand(int(masked.sum()), 3 * 2 * 4 * 4, generator=torch.Generator().manual_seed(2))
    return replace_tubelets(clip, masked, noise, TUBELET)


def test_tubelets_go_back_to_where_targets_take_them_from(clip: Tensor, masked: Tensor):
    pixels = tubelet_targets(clip[None], masked[None], TUBELET, normalize=False)[0]
    assert torch.equal(replace_tubelets(clip, masked, pixels, TUBELET), clip)
    other = scrambled(clip, masked)
    assert not torch.equal(other, clip)
    visible = tubelet_targets(other[None], ~masked[None], TUBELET, normalize=False)
    assert torch.equal(visible, tubelet_targets(clip[None], ~masked[None], TUBELET, normalize=False))
    hidden = tubelet_targets(clip[None], masked[None], TUBELET, normalize=False)[0]
    assert torch.equal(replace_tubelets(other, masked, hidden, TUBELET), clip)


def test_no_hidden_pixel_is_read(clip: Tensor, masked: Tensor):
    predicted = torch.randn(int(masked.sum()), 96, generator=torch.Generator().manual_seed(3))
    expected = denormalize(predicted, clip, masked, TUBELET)
    assert torch.equal(denormalize(predicted, scrambled(clip, masked), masked, TUBELET), expected)


def test_a_visible_pixel_is_read(clip: Tensor, masked: Tensor):
    predicted = torch.randn(int(masked.sum()), 96, generator=torch.Generator().manual_seed(3))
    expected = denormalize(predicted, clip, masked, TUBELET)
    assert not torch.equal(denormalize(predicted, scrambled(clip, ~masked), masked, TUBELET), expected)


def test_equal_tubelets_give_their_own_statistics(masked: Tensor):
    """Where all tubelets look alike, standardizing and showing are inverse."""
    tubelet = torch.rand(3, *TUBELET, generator=torch.Generator().manual_seed(4))
    clip = tubelet.repeat(1, 2, 3, 4)
    standardized = tubelet_targets(clip[None], masked[None], TUBELET, normalize=True)[0]
    shown = replace_tubelets(clip, masked, denormalize(standardized, clip, masked, TUBELET), TUBELET)
    torch.testing.assert_close(shown, clip, rtol=0, atol=1e-5)


def test_channels_keep_their_own_statistics(masked: Tensor):
    clip = torch.stack([torch.full(SHAPE[1:], value) for value in (0.1, 0.5, 0.9)])
    mean, std = visible_statistics(clip, masked, TUBELET)
    torch.testing.assert_close(mean, torch.tensor([0.1, 0.5, 0.9]).expand_as(mean))
    assert std.abs().max() < 1e-6


def test_the_nearest_visible_tubelet_counts_most():
    """From dark on the left to bright on the right, with all tubelets between the two ends hidden."""
    clip = torch.ones(3, 2, 4, 24)
    clip[..., :8] = 0.0
    masked = torch.tensor([False, True, True, True, True, False])
    mean, _ = visible_statistics(clip, masked, TUBELET)
    assert (mean.diff(dim=0) > 0).all()
    assert mean[0].max() < 0.1
    assert mean[-1].min() > 0.9


def test_frames_are_bytes_and_never_wrap_around():
    clip = torch.tensor([-0.5, 0.5, 1.5]).view(1, 1, 1, 3).expand(3, 2, 1, 3)
    frames = to_frames(clip)
    assert frames.shape == (2, 3, 1, 3)
    assert frames[0, 0, 0].tolist() == [0, 128, 255]
