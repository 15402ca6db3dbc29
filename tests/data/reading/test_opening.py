"""Which stream of a file is the video, and what is said where there is none."""

from pathlib import Path

import av.error
import pytest
import torch

from tests.data.media_files import decode_all, write_video
from tubelet.data.reading.opening import failure
from tubelet.data.video import Video

HAS_AV1 = "libsvtav1" in av.codecs_available


@pytest.mark.skipif(not HAS_AV1, reason="this PyAV encodes no AV1")
def test_an_animated_avif_is_its_animation_and_not_its_still_picture(tmp_path: Path):
    options = {"preset": "12", "svtav1-params": "lp=1"}
    path = write_video(tmp_path / "a.avif", 6, "libsvtav1", options, height=64, width=64)
    twin = write_video(tmp_path / "a.mkv", 6, "libsvtav1", options, height=64, width=64)
    video = Video(path)
    assert len(video) == 6
    assert torch.equal(video.frames([5, 0, 3]).pixels, decode_all(twin)[[5, 0, 3]])


@pytest.mark.skipif(not HAS_AV1, reason="this PyAV encodes no AV1")
def test_a_still_avif_is_one_frame(tmp_path: Path):
    path = write_video(tmp_path / "a.avif", 1, "libsvtav1", {"preset": "12"}, height=64, width=64)
    assert torch.equal(Video(path).frames([0]).pixels, decode_all(path))


def test_what_was_stopped_took_too_long():
    for error in (
        av.error.ExitError(1, ""),
        av.error.BlockingIOError(11, "Resource temporarily unavailable"),
    ):
        assert failure(error) == "it takes too long (limits: seconds)"
    assert failure(MemoryError()) == "memory is used up (limits: memory_bytes)"
