"""RandAugment against PIL, and the draws."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.pil_oracle import images, pil_op, pil_warp, pixels_of
from tubelet.data import affine
from tubelet.data.augment import (
    OPS,
    DrawnOp,
    RandAugment,
    apply_in_box,
    apply_op,
    op_amount,
    parse_randaugment,
)
from tubelet.data.crop import crop
from tubelet.errors import ConfigError

GEOMETRIC = ("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel")


def pictures(rows: int, columns: int) -> Tensor:
    """A noisy, a smooth dark, a nearly flat and a flat frame: statistics must not mix between them."""
    noise = torch.randint(0, 256, (3, rows, columns))
    smooth = torch.arange(rows * columns).view(rows, columns) * 90 // (rows * columns) + noise % 9
    nearly_flat = torch.full((3, rows, columns), 77)
    nearly_flat[0, 0, 0] = 78
    return torch.stack([noise, smooth, nearly_flat, torch.full_like(noise, 200)]).to(torch.uint8)


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("size", [(18, 22), (37, 25), (64, 85), (1, 1), (2, 9), (5, 2)])
def test_every_operation_gives_the_pixels_of_pil(name: str, size: tuple[int, int]):
    pixels = pictures(*size)
    wrong = total = 0
    for magnitude in (0.0, 2.5, 6.4, 7.0, 8.31, 10.0):
        for negative in (False, True):
            amount = op_amount(name, magnitude, negative=negative)
            for layout in (torch.contiguous_format, torch.channels_last):
                ours = apply_op(pixels.contiguous(memory_format=layout), DrawnOp(name, amount))
                off = (ours.int() - pixels_of([pil_op(i, name, amount) for i in images(pixels)]).int()).abs()
                assert off.max() <= (1 if name in GEOMETRIC else 0), (magnitude, negative, layout)
                wrong, total = wrong + int(off.sum()), total + off.numel()
    # Warps sum in float32 where PIL sums in float64: one value in some thousands truncates differently.
    assert wrong <= 0.002 * total


def test_affine_warps_of_any_matrix_give_the_pixels_of_pil(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(affine, "_BLOCK", 100)  # several blocks of rows and groups of frames
    monkeypatch.setattr(affine, "_TABLE", 10_000)
    pixels, draws = pictures(40, 51), np.random.default_rng(0)
    for _ in range(5):
        a, b, d, e = draws.normal([1, 0, 0, 1], 0.3)
        matrix = (a, b, draws.normal(0, 9), d, e, draws.normal(0, 9))
        expected = pixels_of([pil_warp(image, matrix) for image in images(pixels)])
        off = (affine.warp(pixels, matrix).int() - expected.int()).abs()
        assert off.max() <= 1
        assert off.double().mean() < 0.002


def test_a_part_of_an_augmented_clip_is_that_part_of_the_whole():
    pixels = pictures(37, 25)
    for seed in range(60):
        drawn = RandAugment(num_ops=5).draw(torch.Generator().manual_seed(seed))
        whole = pixels
        for op in drawn:
            whole = apply_op(whole, op)
        for box in ((0, 0, 37, 25), (3, 5, 20, 11), (36, 0, 1, 25), (0, 24, 37, 1)):
            assert torch.equal(apply_in_box(pixels, drawn, box), crop(whole, box)), (drawn, box)


@pytest.mark.gpu
@pytest.mark.parametrize("name", OPS)
def test_operations_on_a_gpu_are_the_same_within_a_level(name: str):
    pixels, drawn = pictures(37, 25), DrawnOp(name, op_amount(name, 7.0))
    off = apply_op(pixels.cuda(), drawn).cpu().int() - apply_op(pixels, drawn).int()
    assert off.abs().max() <= 1
    assert off.abs().double().mean() < 0.002


def test_operations_leave_their_input_alone():
    for layout in (torch.contiguous_format, torch.channels_last):
        pixels = pictures(18, 22).contiguous(memory_format=layout)
        before = pixels.clone()
        for name in OPS:
            apply_op(pixels, DrawnOp(name, op_amount(name, 7.0)))
            assert torch.equal(pixels, before), name


def test_amounts_grow_with_the_magnitude_and_take_a_sign():
    assert op_amount("Invert", 7.0) is None
    assert op_amount("SolarizeIncreasing", 7.0) == 77
    assert op_amount("SolarizeAdd", 7.0, negative=True) == 77
    assert op_amount("ColorIncreasing", 7.0) == pytest.approx(1.63)
    assert op_amount("ColorIncreasing", 7.0, negative=True) == pytest.approx(0.37)
    assert op_amount("TranslateYRel", 7.0, negative=True) == pytest.approx(-0.315)


def test_draws_follow_the_setting():
    generator = torch.Generator().manual_seed(0)
    policy = RandAugment(magnitude=9.5, num_ops=4)
    draws = [policy.draw(generator) for _ in range(3000)]
    ops = [drawn for clip in draws for drawn in clip]
    assert len(ops) / len(draws) == pytest.approx(2, abs=0.08)
    counts = [sum(drawn.name == name for drawn in ops) for name in OPS]
    assert all(count / len(ops) == pytest.approx(1 / 15, abs=0.015) for count in counts)
    angles = torch.tensor([drawn.amount for drawn in ops if drawn.name == "Rotate"])
    assert angles.abs().max() == 30  # magnitudes stop at 10
    assert angles.abs().median() == pytest.approx(28.5, abs=0.3)
    assert (angles < 0).double().mean() == pytest.approx(0.5, abs=0.1)


def test_the_generator_decides_the_outcome_alone():
    pixels, policy = pictures(18, 22), RandAugment(num_ops=6)
    first, again, other = (policy(pixels, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_all_frames_of_a_clip_change_alike():
    frame = pictures(18, 22)[:1]
    for seed in range(10):
        changed = RandAugment()(frame.repeat(3, 1, 1, 1), torch.Generator().manual_seed(seed))
        assert torch.equal(changed[0], changed[1])
        assert torch.equal(changed[0], changed[2])


def test_the_published_string_is_the_default():
    assert parse_randaugment("rand-m7-n4-mstd0.5-inc1") == RandAugment()
    assert parse_randaugment("rand-m7-n4-mstd0.5-inc0") == RandAugment()
    assert parse_randaugment("rand-m9.5-inc1") == RandAugment(magnitude=9.5, num_ops=2, magnitude_std=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rand-m7-x3-inc1", "cannot read 'x3'"),
        ("rand-m7-n4.5-inc1", "cannot read 'n4.5'"),
        ("rand-mseven-inc1", "cannot read 'mseven'"),
        ("rand-m7--inc1", "cannot read ''"),
        ("augmix-m3", "starts with 'augmix'"),
        ("", "starts with ''"),
        ("rand-m7-n4", "add '-inc1'"),
        ("rand-m11-inc1", "lies in 0 to 10, found 11"),
        ("rand-n0-inc1", "at least one operation, found 0"),
    ],
)
def test_strings_that_mean_nothing_are_refused_by_their_token(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        parse_randaugment(text)


@pytest.mark.parametrize(
    "setting", [{"magnitude_std": -1.0}, {"magnitude_std": math.inf}, {"probability": 2.0}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, float]):
    with pytest.raises(ConfigError):
        RandAugment(**setting)  # pyright: ignore[reportArgumentType]
