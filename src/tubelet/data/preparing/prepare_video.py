"""One video encoded anew for training: small frames, keyframes close together, its sound dropped or copied."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jaxtyping import Float64
from torch import Tensor

from tubelet.data.encode import CLOCK, Encoding, write_timed_mp4
from tubelet.data.preparing.check import stamp
from tubelet.data.preparing.examine import chunk_length, examine, open_in_child
from tubelet.data.preparing.sound import LEFT_OUT, copy_sound
from tubelet.data.resize import resize
from tubelet.data.video import Frames, Video
from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What becomes of every video.

    Frames are shrunk so that their shorter side has `short_side` pixels, never enlarged; sides are made even.
    Turned and mirrored videos are stored upright. Every frame is kept, with its time after the first one.
    `square_pixels` stretches frames whose pixels are not square, whose shape is not stored otherwise. `audio`
    that is kept is copied as it is, where an mp4 can hold it.
    """

    short_side: int = 256
    square_pixels: bool = False
    audio: Literal["keep", "drop"] = "drop"
    encoding: Encoding = field(default_factory=Encoding)

    def __post_init__(self) -> None:
        if self.audio not in ("keep", "drop"):
            raise ConfigError(f"audio is {self.audio!r}; it can be 'keep' or 'drop'")
        if self.short_side < 16 or self.short_side % 2:
            raise ConfigError(f"short_side is {self.short_side}; it must be an even number from 16 up")


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A finished video; `stamp` tells whether its source has changed since, `sound` what became of its sound."""

    source: str
    stamp: list[int] | None
    frames: int
    seconds: float
    width: int
    height: int
    source_bytes: int
    bytes: int
    sound: str = ""


def prepare_video(
    source: str,
    target: Path,
    preparation: Preparation,
    *,
    num_frames: int | None = None,
    beat: Callable[[], None] = lambda: None,
) -> Prepared:
    """Encodes a video anew (of a folder of pictures the first `num_frames`), and reads it back from end to end.

    A VideoError where the source cannot be read to its end, or the new file is not what was meant; `target` is
    then as it was before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    mark = stamp(source)
    # Short: the file's own name may be as long as names can be. A process writes one video at a time.
    temporary, with_sound = (target.with_name(f".{os.getpid()}{kind}.tmp") for kind in ("", ".sound"))
    sound = ""
    try:
        with open_in_child(source, square_pixels=preparation.square_pixels) as video:
            length = len(video) if num_frames is None else min(num_frames, len(video))
            seconds = video.seconds[:length]
            height, width = prepared_size(video.height, video.width, preparation.short_side)
            frames = _shrunk(video, length, height, width, preparation.short_side, beat)
            write_timed_mp4(temporary, frames, encoding=preparation.encoding)
        if preparation.audio == "keep":
            sound = copy_sound(temporary, source, float(seconds[0]), with_sound, beat)
        if sound and not sound.startswith(LEFT_OUT):
            with_sound.replace(temporary)
        _verify(temporary, seconds - seconds[0], height, width, preparation.encoding, beat)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
        with_sound.unlink(missing_ok=True)
    return Prepared(
        source=source,
        stamp=mark,
        frames=length,
        seconds=float(seconds[-1] - seconds[0]),
        width=width,
        height=height,
        source_bytes=0 if mark is None else mark[0],
        bytes=target.stat().st_size,
        sound=sound,
    )


def prepared_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width of a prepared video.

    >>> prepared_size(1080, 1920, 256)
    (256, 456)
    >>> prepared_size(95, 127, 256)
    (94, 126)
    """
    short = min(height, width)
    if short < 2:
        raise VideoError(f"frames of {width} x {height} are too small for H.264, which wants 2 x 2 pixels")
    if short <= short_side:
        return height - height % 2, width - width % 2
    even = [2 * round(side * short_side / short / 2) for side in (height, width)]
    return even[0], even[1]


def _shrunk(
    video: Video, length: int, height: int, width: int, short_side: int, beat: Callable[[], None]
) -> Iterator[Frames]:
    """The frames in their new size, some at a time."""
    step = chunk_length(video)
    for start in range(0, length, step):
        beat()
        frames = video.frames(range(start, min(start + step, length)))
        pixels = frames.pixels
        if min(pixels.shape[-2:]) <= short_side:
            pixels = pixels[..., :height, :width]  # without the last row or column of an odd number
        yield Frames(resize(pixels, height, width, antialias=True), frames.seconds)


def _verify(
    path: Path,
    seconds: Float64[Tensor, "frames"],
    height: int,
    width: int,
    encoding: Encoding,
    beat: Callable[[], None],
) -> None:
    found = examine(str(path), full=True, beat=beat)
    meant = {"frames": len(seconds), "readable": len(seconds), "height": height, "width": width}
    wrong = [
        f"{name} {getattr(found, name)} instead of {n}"
        for name, n in meant.items()
        if getattr(found, name) != n
    ]
    if found.longest_gap is None or found.longest_gap > encoding.keyframe_every:
        wrong.append(f"keyframes {found.longest_gap} frames apart instead of {encoding.keyframe_every}")
    if not (found.error or wrong):
        with open_in_child(str(path)) as video:
            # Frames closer than a tick of the clock had to be moved apart.
            close = len(seconds) > 1 and float(seconds.diff().min()) < 1 / CLOCK
            off = float((video.seconds - seconds).abs().max())
        if off > 1 / CLOCK and not close:
            wrong.append(f"times off by {off:g} s")
    if found.error or wrong:
        raise VideoError(f"the encoded video is wrong: {found.error or ', '.join(wrong)}")
