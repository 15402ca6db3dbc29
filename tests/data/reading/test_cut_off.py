"""Files that break off within their last picture, whose decoders do not notice."""

from pathlib import Path

import pytest
import torch

from tests.data.media_files import decode_all, write_video
from tubelet.data.video import Video
from tubelet.errors import VideoError

HEVC = {"preset": "ultrafast", "x265-params": "keyint=4:bframes=0:log-level=none"}
CODED = {
    "clip.ts": ("libx265", HEVC, "yuv420p"),
    "clip.mjpeg": ("mjpeg", {}, "yuvj420p"),
    "clip.gif": ("gif", {}, "rgb8"),
}


@pytest.mark.parametrize("name", CODED)
def test_the_incomplete_last_picture_does_not_come_out(name: str, tmp_path: Path):
    codec, options, pix_fmt = CODED[name]
    path = write_video(tmp_path / name, 8, codec, options, pix_fmt=pix_fmt, height=96, width=128)
    right, data = decode_all(path), path.read_bytes()
    with Video(path) as video:
        assert torch.equal(video.frames(range(8)).pixels, right)
    for share in (0.5, 0.6, 0.72, 0.83, 0.94):
        cut = int(len(data) * share)
        path.write_bytes(data[: cut // 188 * 188 if name.endswith(".ts") else cut])
        with Video(path) as video:
            count = len(video)
            assert 2 < count <= 8
            whole = [i for i in range(count) if is_right(video, i, right)]
        assert whole == list(range(len(whole)))
        assert len(whole) >= count - 1


def is_right(video: Video, index: int, right: torch.Tensor) -> bool:
    """Whether a frame comes out, which must be the right one, or an error instead."""
    try:
        pixels = video.frames([index]).pixels[0]
    except VideoError:
        return False
    assert torch.equal(pixels, right[index])
    return True


@pytest.mark.parametrize(("cell_bytes", "front"), [(188, 0), (192, 4), (204, 0)])
def test_cells_of_a_transport_stream_may_carry_something_around_them(
    cell_bytes: int, front: int, tmp_path: Path
):
    path = write_video(tmp_path / "clip.ts", 8, "libx265", HEVC, height=96, width=128)
    data = path.read_bytes()
    cells = [data[i : i + 188] for i in range(0, len(data), 188)]
    around = [bytes(front) + cell + bytes(cell_bytes - 188 - front) for cell in cells]
    path.write_bytes(b"".join(around))
    with Video(path) as video:
        assert len(video.frames(range(8))) == 8
    path.write_bytes(b"".join(around[: len(around) - 3]))
    with Video(path) as video, pytest.raises(VideoError, match="the stream is damaged"):
        video.frames(range(len(video)))
