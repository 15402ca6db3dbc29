"""Any frames in any order are those of decoding from the start, bit for bit, in every kind of stream."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.stream import VideoStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.video import Video

NUM_FRAMES = 40


def x265(params: str) -> dict[str, str]:
    return {"preset": "ultrafast", "x265-params": f"{params}:log-level=none"}


def veryfast(params: str) -> dict[str, str]:
    return {"preset": "veryfast", "x264-params": params}


CODED = {
    "long.mp4": ("libx264", x264(250, 2)),
    "open.mkv": ("libx264", veryfast("open-gop=1:keyint=10:min-keyint=10:bframes=3:scenecut=0")),
    "pyramid.ts": ("libx264", veryfast("keyint=15:bframes=5:b-pyramid=normal:b-adapt=0")),
    "refresh.mp4": ("libx264", veryfast("intra-refresh=1:keyint=10:bframes=1")),
    "interlaced.mp4": ("libx264", veryfast("tff=1:keyint=12:bframes=2")),
    "altref.webm": ("libvpx-vp9", {"g": "20", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}),
    "altref8.webm": ("libvpx", {"g": "20", "cpu-used": "8", "lag-in-frames": "16", "auto-alt-ref": "1"}),
    "hevc.mp4": ("libx265", x265("keyint=12:bframes=3:open-gop=1")),
    "layers.mkv": ("libx265", x265("keyint=12:bframes=3:temporal-layers=3")),
    "av1.mp4": ("libsvtav1", {"preset": "12", "g": "15"}),
    "mpeg2.ts": ("mpeg2video", {"g": "12", "bf": "2"}),
    "mpeg2.mpg": ("mpeg2video", {"g": "12", "bf": "2"}),
    "mpeg4.avi": ("mpeg4", {"g": "12", "bf": "2"}),
    "mjpeg.avi": ("mjpeg", {}),
    "raw.h264": ("libx264", x264(12, 2)),
}


@dataclass(frozen=True)
class Coded:
    video: Video
    right: Tensor


@pytest.fixture(scope="module", params=CODED)
def coded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Coded:
    codec, options = CODED[request.param]
    path: Path = tmp_path_factory.mktemp("access") / request.param
    side = 64 if codec in {"libsvtav1", "libx265"} else 48  # x265 breaks its own heap below 64
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    write_video(path, NUM_FRAMES, codec, options, fps=25, pix_fmt=pix_fmt, height=side, width=side)
    return Coded(Video(path), decode_all(path))


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.integers(0, NUM_FRAMES - 1), min_size=1, max_size=8))
def test_any_frames_are_those_of_decoding_from_the_start(coded: Coded, indices: list[int]):
    # The same reader goes on from wherever the last example left it.
    assert len(coded.video) == len(coded.right) == NUM_FRAMES
    assert torch.equal(coded.video.frames(indices).pixels, coded.right[indices])


def test_pictures_of_a_program_stream_that_look_alike_to_its_container_are_told_apart(tmp_path: Path):
    """Times after a seek are wrong until a packet says its own, and here all packets have the same size."""
    path = tmp_path / "flat.mpg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg1video", rate=25, options={"g": "1"})
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for brightness in range(16, 16 + 4 * NUM_FRAMES, 4):
            picture = np.full((48, 64, 3), brightness, np.uint8)
            picture[:16, :16] = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    right = decode_all(path)
    with Video(path) as video:
        for index in reversed(range(NUM_FRAMES)):
            assert torch.equal(video.frames([index]).pixels[0], right[index])
