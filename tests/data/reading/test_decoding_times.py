"""Time stamps that count pictures as they lie in the file do not tell in which order they are shown."""

from pathlib import Path

import av
import pytest
import torch

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.video import Video


def stamp_in_file_order(source: Path, target: Path) -> Path:
    """The same pictures under time stamps that only grow."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet.pts = packet.dts = number * 100
            packet.stream = stream
            new.mux(packet)
    return target


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_frames_come_in_the_order_of_the_decoder(ending: str, tmp_path: Path):
    good = write_video(tmp_path / "good.mkv", 20, options=x264(10, 2))
    path = stamp_in_file_order(good, tmp_path / f"stamped.{ending}")
    video, expected = Video(path), decode_all(good)
    assert torch.equal(video.frames(range(20)).pixels, expected)
    assert torch.equal(video.frames([17, 4]).pixels, expected[[17, 4]])
    assert bool((video.seconds.diff() > 0).all())


def test_asf_with_reordered_pictures(tmp_path: Path):
    path = write_video(tmp_path / "a.asf", 20, options=x264(10, 2))
    assert torch.equal(Video(path).frames(range(20)).pixels, decode_all(path))


def test_times_in_growing_order_are_believed_where_nothing_is_reordered(tmp_path: Path):
    path = write_video(tmp_path / "a.mkv", 8, codec="mpeg2video", options={"bf": "0"}, fps=25)
    video = Video(path)
    assert video.seconds.tolist() == pytest.approx([i / 25 for i in range(8)], abs=1e-3)
    assert torch.equal(video.frames([6, 1]).pixels, decode_all(path)[[6, 1]])
