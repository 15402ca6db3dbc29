"""Frames into H.264 files."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.video import Frames
from tubelet.errors import ConfigError

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
# Ticks per second of files whose frames have times of their own; the common rates are whole numbers of ticks.
CLOCK = 90_000


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How x264 is to work.

    `crf` is its constant rate factor (0 lossless, 18 visually clean, 51 worst), `keyframe_every` the longest
    distance between keyframes, counted in frames, `preset` how long it looks for a smaller file. `fast_decode`
    leaves out what takes readers long (arithmetic coding, deblocking, B-frames that others build on).
    """

    crf: int = 23
    keyframe_every: int = 12
    preset: str = "medium"
    fast_decode: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"crf is {self.crf}; x264 knows 0 (lossless) to 51 (worst)")
        if self.keyframe_every < 1:
            raise ConfigError(f"keyframe_every is {self.keyframe_every}; it must be at least 1")
        if self.preset not in PRESETS:
            raise ConfigError(f"preset {self.preset!r} does not exist; choose from {', '.join(PRESETS)}")

    @property
    def options(self) -> dict[str, str]:
        """As x264 is told. One thread: files are spread over processes."""
        common = {"crf": str(self.crf), "preset": self.preset, "g": str(self.keyframe_every), "threads": "1"}
        if not self.fast_decode:
            return common
        return {**common, "tune": "fastdecode", "x264-params": "b-pyramid=none"}


def write_mp4(
    path: Path, pixels: UInt8[Tensor, "frames 3 rows columns"], *, fps: int, crf: int = 18, gop: int = 12
) -> None:
    """Writes an H.264 mp4 whole or not at all, `fps` frames a second.

    One encoder thread and fixed parameters: the same pixels give the same file with the same build of x264.
    Rows and columns must be even (4:2:0 colour).
    """
    # Macroblock-tree rate control reads uninitialised memory for pictures a few macroblocks wide: at 64
    # pixels, one file in four came out different from run to run (x264 inside PyAV 18.1, x86). It is for
    # long videos anyway.
    encoding = Encoding(crf=crf, keyframe_every=gop, preset="veryfast", fast_decode=False)
    options = encoding.options | {"x264-params": "mbtree=0"}
    pictures = (_Picture(image, number, 1) for number, image in enumerate(_images(pixels)))
    _write(path, pictures, Fraction(1, fps), options)


def write_timed_mp4(path: Path, chunks: Iterable[Frames], *, encoding: Encoding) -> None:
    """Writes the frames of all chunks, each with its own time, to an H.264 mp4, whole or not at all.

    The first frame is shown at 0 seconds, the others as long after it as their times say, to 1/90000 of a
    second. Rows and columns must be even, and alike in all chunks.
    """
    _write(path, _timed_pictures(chunks), Fraction(1, CLOCK), encoding.options)


@dataclass(frozen=True)
class _Picture:
    """One image and when it is shown for how long, in ticks."""

    image: np.ndarray  # (rows, columns, 3)
    time: int
    duration: int


def _timed_pictures(chunks: Iterable[Frames]) -> Iterator[_Picture]:
    waiting: tuple[np.ndarray, int] | None = None
    start, duration = 0.0, 0
    for frames in chunks:
        for seconds, image in zip(frames.seconds.tolist(), _images(frames.pixels), strict=True):
            if waiting is None:
                start, waiting = seconds, (image, 0)
                continue
            previous, time = waiting
            # Times closer than a tick must stay apart.
            duration = max(round((seconds - start) * CLOCK) - time, 1)
            yield _Picture(previous, time, duration)
            waiting = image, time + duration
    if waiting is not None:
        # Nothing says how long the last one is shown; as long as the one before.
        yield _Picture(*waiting, duration or CLOCK // 25)


def _images(pixels: UInt8[Tensor, "frames 3 rows columns"]) -> Iterator[np.ndarray]:
    return iter(pixels.permute(0, 2, 3, 1).contiguous().numpy())


def _write(path: Path, pictures: Iterable[_Picture], tick: Fraction, options: Mapping[str, str]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(temporary), "w", format="mp4") as container:
            _encode(container, pictures, tick, options)
        with temporary.open("rb") as file:
            os.fsync(file)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _encode(
    container: OutputContainer, pictures: Iterable[_Picture], tick: Fraction, options: Mapping[str, str]
) -> None:
    stream: VideoStream | None = None
    for picture in pictures:
        if stream is None:
            # x264 spends bits by how long frames are shown, which it takes to be as long as the first.
            rate = min(1 / (picture.duration * tick), Fraction(1000))
            stream = container.add_stream("libx264", rate=rate)
            stream.height, stream.width = picture.image.shape[:2]
            stream.pix_fmt, stream.options = "yuv420p", dict(options)
            stream.time_base = stream.codec_context.time_base = tick
        frame = av.VideoFrame.from_ndarray(picture.image, format="rgb24")
        frame.pts, frame.duration, frame.time_base = picture.time, picture.duration, tick
        container.mux(stream.encode(frame))
    assert stream is not None, "a video of no frames"
    container.mux(stream.encode())
