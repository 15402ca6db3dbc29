"""Pixels: the same bits everywhere, and the shapes where the paths put them."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tubelet.data.synthetic.render import OCTAVE_DEVIATION, OCTAVES, body, stretched
from tubelet.data.synthetic.synth import LEVELS, SynthConfig, render_clip

# Made on x86-64 with AVX2. If these change, people's data sets change: raise `RENDERER` in synth.py.
DIGESTS = {
    "L0": "9c39bcdfd7334dff",
    "L1": "3ac19e4b1b8c1a27",
    "L2": "167b81421736c153",
    "L3": "766e7b414b2699c7",
}


def digest(level: str) -> str:
    clips = [render_clip(LEVELS[level], "train", index).pixels for index in range(32)]
    return hashlib.sha256(b"".join(clip.numpy().tobytes() for clip in clips)).hexdigest()[:16]


@pytest.mark.parametrize("level", LEVELS)
def test_pixels_are_those_of_every_other_machine(level: str):
    assert digest(level) == DIGESTS[level]


def test_pixels_do_not_depend_on_the_number_of_threads():
    torch.set_num_threads(2)
    assert digest("L3") == DIGESTS["L3"]


def test_pixels_do_not_depend_on_the_width_of_the_vectors():
    code = "from tests.data.synthetic.test_render import digest; print(digest('L3'))"
    scalar = {**os.environ, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", code], env=scalar, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == DIGESTS["L3"]


def test_one_octave_of_noise_has_the_deviation_that_scales_the_texture():
    generator = torch.Generator().manual_seed(0)
    lattices = [
        torch.randint(0, 2**16, (4, 8, 8), generator=generator, dtype=torch.int32) for _ in range(100)
    ]
    noise = torch.stack([stretched(lattice, 64) for lattice in lattices])
    assert float(noise.std()) == pytest.approx(OCTAVE_DEVIATION, rel=0.03)
    assert float(noise.min()) >= -1
    assert float(noise.max()) <= 1


def test_texture_is_two_standard_deviations_of_the_background():
    config = SynthConfig(texture=0.3, noise=0.0, radius=(0.001, 0.001), motions=("grow", "shrink"))
    deviations = [render_clip(config, "train", i).pixels[0].double().std((1, 2)).mean() for i in range(50)]
    assert float(torch.stack(deviations).mean()) / 255 == pytest.approx(0.15, rel=0.1)


def test_backgrounds_have_no_seam():
    lattice = torch.randint(0, 2**16, (4, OCTAVES[0], OCTAVES[0]), dtype=torch.int32)
    picture = stretched(lattice, 64)
    seam = (picture[:, :, 0] - picture[:, :, -1]).abs().max()
    inside = picture.diff(dim=2).abs().max()
    assert seam <= inside * 1.5


@pytest.mark.parametrize("shape", ["disc", "square", "triangle", "ring", "bar"])
def test_a_shape_is_inside_out_of_its_border(shape: str):
    place = torch.linspace(-2, 2, 81)
    distance = body(shape, place[None, None, :].expand(1, 81, 81), place[None, :, None].expand(1, 81, 81))
    area = float((distance < 0).float().mean()) * 16
    assert 0.9 < area < 4.2
    assert distance[0, 0].min() > 0  # nothing reaches twice the radius
    assert distance[0, :, -1].min() > 0


def test_a_clip_that_slides_is_its_first_frame_rolled():
    # A speed of one frame width in 17 frames of 16 pixels moves by one pixel per frame.
    config = SynthConfig(
        motions=("move_right", "move_left"),
        sprites=1,
        size=16,
        num_frames=17,
        speed=(1.0, 1.0),
        radius=(0.2, 0.3),
        texture=0.0,
        noise=0.0,
    )
    for index in range(4):
        clip = render_clip(config, "train", index)
        step = 1 if clip.motion == "move_right" else -1
        for frame in range(17):
            rolled = clip.pixels[0].roll(step * frame, dims=2)
            assert (clip.pixels[frame].int() - rolled.int()).abs().max() <= 1


def test_noise_stays_within_its_bound():
    plain = SynthConfig(texture=0.1, noise=0.0)
    difference = (
        render_clip(replace(plain, noise=0.02), "train", 0).pixels.int()
        - render_clip(plain, "train", 0).pixels.int()
    )
    assert difference.abs().max() in (5, 6)
    assert float(difference.float().mean().abs()) < 0.05
