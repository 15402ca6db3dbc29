"""How much of a machine one video may use up: a file of a few kilobytes can claim gigabytes and hours."""

import time
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import UInt8

from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading a video may cost at most; going beyond is a `VideoError` that names the limit.

    `seconds` is checked between packets; only a supervised process (`Video(path, untrusted=True)`) can also be
    stopped within one, and only there `memory_bytes` is watched: by the system, over what an idle process needs.
    """

    seconds: float = 300.0  # wall time of one call, such as opening a file or reading some frames
    pixels: int = 2**24  # of one frame: 4096 x 4096, which are 50 MB of RGB
    frames: int = 2**20  # of one video: 9.7 hours at 30 frames per second
    total_bytes: int = (
        2**32
    )  # of pixels that one call hands out, and of a file object copied for a supervisor
    memory_bytes: int = 2**30  # of a supervised process

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"limits: {field.name} is {getattr(self, field.name)}; a limit is above 0")


UNTRUSTED = Limits(seconds=20.0)


@dataclass(frozen=True)
class Deadline:
    """The moment by which a call has to be done."""

    name: str  # of the video
    seconds: float
    end: float

    def check(self) -> None:
        if time.monotonic() > self.end:
            raise VideoError(f"{self.name}: reading takes longer than {self.seconds:g} s (limits: seconds)")


def deadline(name: str, limits: Limits) -> Deadline:
    """The deadline of a call that begins now."""
    return Deadline(name, limits.seconds, time.monotonic() + limits.seconds)


def check_pixels(name: str, width: int, height: int, limits: Limits) -> None:
    """Raises when a picture is larger than anything that is meant."""
    if width * height > limits.pixels:
        raise VideoError(
            f"{name}: frames of {width} x {height} are too large; at most {limits.pixels} pixels are read "
            "(limits: pixels)"
        )


def check_count(name: str, num_frames: int, limits: Limits) -> None:
    """Raises when a video has more frames than anyone means."""
    if num_frames > limits.frames:
        raise VideoError(f"{name}: has over {limits.frames} frames; more are not read (limits: frames)")


def empty_frames(
    name: str, count: int, height: int, width: int, limits: Limits
) -> UInt8[np.ndarray, "frames 3 rows columns"]:
    """Room for the frames that a call hands out, with the colours of a pixel side by side as decoders write them:
    filling it is then a plain copy, and resizing it cheaper."""
    num_bytes = 3 * count * height * width
    if num_bytes > limits.total_bytes:
        raise VideoError(
            f"{name}: {count} frames of {width} x {height} are {num_bytes} bytes, and at most "
            f"{limits.total_bytes} are handed out at once (limits: total_bytes); ask for fewer frames"
        )
    return np.empty((count, height, width, 3), np.uint8).transpose(0, 3, 1, 2)
