"""Frames into mp4 files and back."""

import random
from pathlib import Path

import pytest
import torch

from tubelet.data.encode import write_mp4
from tubelet.data.synth import LEVELS, render_clip
from tubelet.data.video import Video


def test_what_is_written_is_what_is_read(tmp_path: Path):
    pixels = render_clip(LEVELS["L1"], "train", 0).pixels
    write_mp4(tmp_path / "clip.mp4", pixels, fps=8)
    with Video(tmp_path / "clip.mp4") as video:
        assert len(video) == 16
        assert video.fps == 8
        frames = video.frames(range(16))
    assert torch.equal(frames.seconds, torch.arange(16, dtype=torch.float64) / 8)
    difference = (frames.pixels.int() - pixels.int()).abs().float()
    assert difference.mean() < 8  # colour is stored at half the resolution
    # Every frame is nearest to itself, also in the order in which they came.
    distances = (frames.pixels.float()[:, None] - pixels.float()[None]).abs().mean((2, 3, 4))
    assert distances.argmin(1).tolist() == list(range(16))


def test_a_lower_rate_factor_is_truer_and_larger(tmp_path: Path):
    pixels = render_clip(LEVELS["L2"], "train", 0).pixels
    for crf in (10, 40):
        write_mp4(tmp_path / f"{crf}.mp4", pixels, fps=8, crf=crf)
    assert (tmp_path / "10.mp4").stat().st_size > 2 * (tmp_path / "40.mp4").stat().st_size


def test_the_same_pixels_give_the_same_file(tmp_path: Path):
    # With x264's macroblock tree, one file in four differed; what memory held before decided.
    clips = [render_clip(LEVELS["L1"], "train", index).pixels for index in range(20)]
    chance = random.Random(0)
    clutter, files = [], []
    for turn in range(3):
        for index, pixels in enumerate(clips):
            clutter.append(chance.randbytes(chance.randint(1000, 400_000)))
            write_mp4(tmp_path / f"{turn}-{index}.mp4", pixels, fps=8)
        files.append([(tmp_path / f"{turn}-{index}.mp4").read_bytes() for index in range(20)])
        clutter = clutter[::3]
    assert files[0] == files[1] == files[2]


def test_a_failure_leaves_nothing_behind(tmp_path: Path):
    odd = torch.zeros(4, 3, 15, 15, dtype=torch.uint8)
    with pytest.raises(Exception, match=r".+"):
        write_mp4(tmp_path / "clip.mp4", odd, fps=8)
    assert list(tmp_path.iterdir()) == []
