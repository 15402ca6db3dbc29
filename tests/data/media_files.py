"""Tiny media files for tests, rendered with PyAV, and the naive decoding that readers are held against."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.stream import VideoStream
from torch import Tensor

HEIGHT, WIDTH = 48, 64


def moving_pictures(num_frames: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Pictures (frames, rows, columns, 3), no two alike, with a red top left corner and a green top right one."""
    random = np.random.default_rng(0)
    texture = random.integers(0, 255, (height, width + 4 * num_frames, 3), dtype=np.uint8)
    pictures = np.stack([texture[:, 4 * t : 4 * t + width] for t in range(num_frames)])
    pictures[:, : height // 4, : width // 4] = (255, 0, 0)
    pictures[:, : height // 4, -width // 4 :] = (0, 255, 0)
    return pictures


def write_video(
    path: Path,
    num_frames: int,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    fps: int = 10,
    times: Sequence[int] | None = None,  # milliseconds; evenly spaced by fps unless given
    pix_fmt: str = "yuv420p",
    height: int = HEIGHT,
    width: int = WIDTH,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(moving_pictures(num_frames, height, width)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_picture(path: Path, picture: np.ndarray) -> None:
    is_png = path.suffix == ".png"
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png" if is_png else "mjpeg", rate=1)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "rgb24" if is_png else "yuvj444p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def x264(gop: int, bframes: int, **params: str | int) -> dict[str, str]:
    """Encoder options that place keyframes every `gop` frames and nowhere else."""
    joined = ":".join(
        f"{k.replace('_', '-')}={v}" for k, v in {"keyint": gop, "scenecut": 0, **params}.items()
    )
    return {"preset": "ultrafast", "bf": str(bframes), "x264-params": f"{joined}:bframes={bframes}"}


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Overwrites the display matrix (a, b, c, d) of an MP4: stored (x, y) is shown at (ax + cy, bx + dy)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    a, b, c, d = (v << 16 for v in matrix)
    data[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def hide_first_frames(path: Path, num_hidden: int, ticks_per_frame: int) -> Path:
    """Moves the start of an MP4's edit list, so that players decode its first frames without showing them."""
    data = bytearray(path.read_bytes())
    start = data.index(b"elst") + 16
    (media_time,) = struct.unpack(">i", data[start : start + 4])
    data[start : start + 4] = struct.pack(">i", media_time + num_hidden * ticks_per_frame)
    path.write_bytes(data)
    return path


def decode_all(path: Path) -> Tensor:
    """All frames (frames, 3, rows, columns) in the order in which plain decoding gives them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        arrays = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
