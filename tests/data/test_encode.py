"""Frames into mp4 files and back."""

import random
from pathlib import Path

import pytest
import torch

from tubelet.data.encode import Encoding, write_mp4, write_timed_mp4
from tubelet.data.synthetic.synth import LEVELS, render_clip
from tubelet.data.video import Frames, Video


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


@pytest.mark.parametrize("fps", [0.5, 23.976, 30000 / 1001, 60.0, 1000.0])
def test_frames_with_times_keep_them_and_the_rate(tmp_path: Path, fps: float):
    pixels = render_clip(LEVELS["L1"], "train", 0).pixels
    seconds = 5 + torch.arange(16, dtype=torch.float64) / fps
    chunks = [Frames(pixels[:7], seconds[:7]), Frames(pixels[7:], seconds[7:])]
    write_timed_mp4(tmp_path / "clip.mp4", chunks, encoding=Encoding(keyframe_every=5))
    with Video(tmp_path / "clip.mp4") as video:
        torch.testing.assert_close(video.seconds, seconds - 5, rtol=0.0, atol=1e-5)
        assert video.fps == pytest.approx(fps, rel=1e-4)
        assert video.duration == pytest.approx(16 / fps, rel=1e-4)


def test_times_need_not_be_even_and_equal_ones_are_moved_apart(tmp_path: Path):
    pixels = render_clip(LEVELS["L1"], "train", 0).pixels[:6]
    seconds = torch.tensor([2.0, 2.04, 2.04, 2.3, 2.31, 5.0], dtype=torch.float64)
    write_timed_mp4(tmp_path / "clip.mp4", [Frames(pixels, seconds)], encoding=Encoding())
    with Video(tmp_path / "clip.mp4") as video:
        torch.testing.assert_close(video.seconds, seconds - 2, rtol=0.0, atol=2e-5)
        assert video.seconds.diff().min() > 0


def test_one_frame_is_a_video(tmp_path: Path):
    pixels = render_clip(LEVELS["L1"], "train", 0).pixels[:1]
    frames = Frames(pixels, torch.tensor([7.0], dtype=torch.float64))
    write_timed_mp4(tmp_path / "clip.mp4", [frames], encoding=Encoding())
    assert Video(tmp_path / "clip.mp4").seconds.tolist() == [0.0]


def test_files_for_fast_decoding_use_no_arithmetic_coding(tmp_path: Path):
    pixels = render_clip(LEVELS["L1"], "train", 0).pixels
    frames = Frames(pixels, torch.arange(16, dtype=torch.float64) / 8)
    profiles = []
    for fast_decode in (True, False):
        write_timed_mp4(tmp_path / "a.mp4", [frames], encoding=Encoding(fast_decode=fast_decode))
        data = (tmp_path / "a.mp4").read_bytes()
        profiles.append([word in data for word in (b"cabac=0", b"cabac=1", b"b_pyramid=0", b"deblock=0")])
    assert profiles == [[True, False, True, True], [False, True, False, False]]
