"""Files put end to end, as `cat` does it, and other clocks that are not one."""

from pathlib import Path

import pytest
import torch

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.reading.frame_index import on_one_clock
from tubelet.data.video import Video

MPEG = {"g": "8", "bf": "2"}
HEVC = {"preset": "ultrafast", "x265-params": "keyint=8:bframes=2:log-level=none"}
OTHER = {"preset": "veryfast", "x264-params": "keyint=6:ref=5:bframes=3"}
JOINED = {
    "same.ts": ("libx264", x264(8, 2), x264(8, 2)),
    "other.ts": ("libx264", x264(8, 0), OTHER),
    "hevc.ts": ("libx265", HEVC, HEVC),
    "mpeg2.ts": ("mpeg2video", MPEG, MPEG),
    "mpeg2.mpg": ("mpeg2video", MPEG, MPEG),
    "raw.h264": ("libx264", x264(8, 2), OTHER),
    "raw.hevc": ("libx265", HEVC, HEVC),
    "raw.m2v": ("mpeg2video", MPEG, MPEG),
    "segments.mkv": ("libx264", x264(8, 2), x264(8, 2)),
    "segments.webm": ("libvpx", {"g": "8", "deadline": "realtime"}, {"g": "4", "deadline": "realtime"}),
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_files_are_one_video_of_all_their_frames(name: str, tmp_path: Path):
    codec, one, other = JOINED[name]
    first = write_video(tmp_path / f"1_{name}", 17, codec, one, fps=25)
    second = write_video(tmp_path / f"2_{name}", 12, codec, other, fps=25)
    right = torch.cat([decode_all(first), decode_all(second)])
    joined = tmp_path / name
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with Video(joined) as video:
        assert len(video) == len(right)
        assert torch.equal(video.frames(range(len(right))).pixels, right)
        for index in (28, 3, 17, 16, 20):
            assert torch.equal(video.frames([index]).pixels[0], right[index])
        assert video.seconds.diff().tolist() == pytest.approx([0.04] * (len(right) - 1), abs=2e-3)


def test_joined_files_of_two_sizes_come_in_the_size_of_the_first(tmp_path: Path):
    first = write_video(tmp_path / "1.ts", 9, options=x264(8, 0))
    second = write_video(tmp_path / "2.ts", 7, options=x264(8, 0), height=96, width=128)
    (tmp_path / "joined.ts").write_bytes(first.read_bytes() + second.read_bytes())
    with Video(tmp_path / "joined.ts") as video:
        assert video.frames(range(16)).pixels.shape == (16, 3, 48, 64)
        assert torch.equal(video.frames([4]).pixels[0], decode_all(first)[4])


@pytest.mark.parametrize(
    ("times", "num_joints", "seconds"),
    [
        ([0, 1, 2], 0, [0.0, 0.5, 1.0]),
        ([6, 7, 0, 1], 1, [3.0, 3.5, 3.6, 4.1]),
        ([6, 7, 7, 8, 2], 2, [3.0, 3.5, 3.6, 4.1, 4.2]),
        ([0, 2, 1, 3], 0, [0.0, 0.1, 0.2, 0.3]),  # times of some other kind
        ([0, None, 1], 0, [0.0, 0.1, 0.2]),
        ([], 0, []),
    ],
)
def test_at_a_joint_the_clock_goes_on(times: list[int | None], num_joints: int, seconds: list[float]):
    assert on_one_clock(times, 0.5, 10.0, num_joints) == pytest.approx(seconds)
