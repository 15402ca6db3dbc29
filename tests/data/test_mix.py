"""Mixup and CutMix: what is drawn, what is shown, and that labels say the same."""

from typing import Literal

import pytest
import torch

from tubelet.data.mix import Mix, MixConfig, apply_mix, cutmix_box, draw_mix, minmax_box, mix_targets
from tubelet.errors import ConfigError, DataError

Mode = Literal["batch", "elem", "pair"]
MODES: list[Mode] = ["batch", "elem", "pair"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered_clips(batch_size: int, height: int = 8, width: int = 10) -> torch.Tensor:
    """Clip i is i everywhere, so a mixed clip shows what it is made of."""
    return torch.arange(batch_size, dtype=torch.float32).view(-1, 1, 1, 1, 1).expand(-1, 3, 2, height, width)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("minmax", [None, (0.2, 0.8)])
@pytest.mark.parametrize("batch_size", [4, 5, 1])
def test_labels_say_what_the_clips_show(mode: Mode, minmax: tuple[float, float] | None, batch_size: int):
    config = MixConfig(mode=mode, minmax=minmax)
    clips, labels = numbered_clips(batch_size), torch.arange(batch_size)
    for seed in range(20):
        mix = draw_mix(config, batch_size, 8, 10, generator(seed))
        targets = mix_targets(labels, mix, num_classes=batch_size)
        torch.testing.assert_close(targets.sum(1), torch.ones(batch_size))
        shown = apply_mix(clips, mix).mean(dim=(1, 2, 3, 4))
        torch.testing.assert_close(shown, targets @ torch.arange(batch_size, dtype=torch.float32))


def test_modes_share_draws_over_the_batch_the_pair_or_nothing():
    lams = {mode: draw_mix(MixConfig(mode=mode), 6, 64, 64, generator()).lam for mode in MODES}
    assert len(set(lams["batch"])) == 1
    assert len(set(lams["elem"])) == 6
    assert len(set(lams["pair"])) == 3
    assert lams["pair"] == lams["pair"][::-1]
    assert len(draw_mix(MixConfig(mode="pair"), 5, 64, 64, generator()).lam) == 5


def test_the_middle_of_an_odd_batch_stays_as_it_is():
    clips = torch.randn(5, 3, 2, 8, 10)
    for seed in range(10):
        mixed = apply_mix(clips, draw_mix(MixConfig(), 5, 8, 10, generator(seed)))
        torch.testing.assert_close(mixed[2], clips[2])


def test_cutmix_cuts_rows_and_columns_of_every_frame():
    clips = torch.randn(2, 3, 4, 8, 10)
    mixed = apply_mix(clips, Mix(lam=(0.85, 1.0), boxes=((1, 2, 3, 4), None)))
    expected = clips[0].clone()
    expected[:, :, 1:4, 2:6] = clips[1, :, :, 1:4, 2:6]
    assert torch.equal(mixed[0], expected)
    assert torch.equal(mixed[1], clips[1])


def test_partners_are_taken_from_the_unmixed_batch():
    mixed = apply_mix(numbered_clips(2), Mix(lam=(0.0, 0.0), boxes=(None, None)))
    assert mixed[:, 0, 0, 0, 0].tolist() == [1, 0]


def test_a_probability_of_zero_and_alphas_of_zero_mix_nothing():
    clips = torch.randn(4, 3, 2, 8, 10)
    for config in (MixConfig(probability=0.0), MixConfig(mixup_alpha=0.0, cutmix_alpha=0.0)):
        mix = draw_mix(config, 4, 8, 10, generator())
        mixed = apply_mix(clips, mix)
        assert torch.equal(mixed, clips)
        assert mixed.data_ptr() != clips.data_ptr()
        assert mix_targets(torch.tensor([0, 1, 2, 1]), mix, 3).argmax(1).tolist() == [0, 1, 2, 1]


def test_an_alpha_of_zero_switches_its_half_off():
    mixup = draw_mix(MixConfig(mode="elem", cutmix_alpha=0.0), 50, 32, 32, generator())
    cutmix = draw_mix(MixConfig(mode="elem", mixup_alpha=0.0), 50, 32, 32, generator())
    both = draw_mix(MixConfig(mode="elem"), 400, 32, 32, generator())
    assert not any(mixup.boxes)
    assert all(cutmix.boxes)
    assert sum(box is not None for box in both.boxes) / 400 == pytest.approx(0.5, abs=0.08)


def test_lambda_follows_the_beta_distribution():
    draws = [draw_mix(MixConfig(cutmix_alpha=0.0), 1, 8, 8, generator(s)).lam[0] for s in range(3000)]
    lam = torch.tensor(draws, dtype=torch.float64)
    assert lam.mean() == pytest.approx(0.5, abs=0.02)
    assert lam.var() == pytest.approx(1 / (4 * (2 * 0.8 + 1)), abs=0.006)


def test_uncorrected_lambda_is_the_one_that_was_drawn():
    same = {"mixup_alpha": 0.0, "mode": "elem"}
    corrected = draw_mix(MixConfig(**same), 30, 32, 32, generator())
    drawn = draw_mix(MixConfig(**same, correct_lam=False), 30, 32, 32, generator())
    assert corrected.boxes == drawn.boxes
    assert corrected.lam != drawn.lam
    for lam, box in zip(corrected.lam, corrected.boxes, strict=True):
        assert box is not None
        assert lam == pytest.approx(1 - box[2] * box[3] / 1024)


def test_boxes_lie_inside_the_frame_and_reach_its_edges():
    draws = generator()
    for box in [cutmix_box(20, 30, 0.4, draws) for _ in range(500)]:
        top, left, height, width = box
        assert 0 <= top <= top + height <= 20
        assert 0 <= left <= left + width <= 30
    tops = {minmax_box(20, 30, (0.2, 0.8), draws)[0] for _ in range(500)}
    assert min(tops) == 0
    sides = [minmax_box(20, 30, (0.2, 0.8), draws)[2:] for _ in range(500)]
    assert {min(h for h, _ in sides), max(h for h, _ in sides)} == {4, 15}


def test_smoothing_spreads_its_mass_over_all_classes():
    mix = Mix(lam=(1.0,), boxes=(None,))
    targets = mix_targets(torch.tensor([1]), mix, num_classes=4, smoothing=0.2)
    torch.testing.assert_close(targets, torch.tensor([[0.05, 0.85, 0.05, 0.05]]))


def test_mistakes_are_named():
    mix = Mix(lam=(0.5, 0.5), boxes=(None, None))
    with pytest.raises(DataError, match="drawn for 2 clips, but the batch has 3"):
        apply_mix(numbered_clips(3), mix)
    with pytest.raises(DataError, match="labels must lie in 0 to 1, found 0 to 7"):
        mix_targets(torch.tensor([0, 7]), mix, num_classes=2)
    with pytest.raises(DataError, match="one box or None per clip"):
        Mix(lam=(1.0,), boxes=())
    with pytest.raises(ConfigError, match="alphas"):
        MixConfig(mixup_alpha=-1.0)
    with pytest.raises(ConfigError, match="minmax"):
        MixConfig(minmax=(0.8, 0.2))
    with pytest.raises(ConfigError, match="probabilities"):
        MixConfig(probability=2.0)
