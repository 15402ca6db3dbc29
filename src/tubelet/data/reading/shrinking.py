"""Frames made smaller while they are read, so that large ones never lie in memory."""

from collections.abc import Sequence

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8

from tubelet.data.geometry import short_side_size
from tubelet.data.reading.limits import Limits, deadline, empty_frames
from tubelet.data.reading.places import places_of
from tubelet.data.reading.reader import Reader

# Averages over all that becomes one pixel; the flags make the numbers those of every processor.
AVERAGING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def shrunk_size(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """(height, width) with a shorter side of at most `short_side` pixels, of the same shape.

    >>> shrunk_size((1080, 1920), 256), shrunk_size((240, 320), 256)
    ((256, 455), (240, 320))
    """
    height, width = size
    return (
        size if short_side is None or min(size) <= short_side else short_side_size(height, width, short_side)
    )


class ShrunkReader:
    """Frames of another reader, made smaller one by one. PyAV's does it in the step that makes RGB of them."""

    def __init__(self, name: str, reader: Reader, short_side: int, limits: Limits):
        self._name = name
        self._reader = reader
        self._short_side = short_side
        self._limits = limits
        self._reformatter = VideoReformatter()
        self.seconds, self.fps = reader.seconds, reader.fps

    def frame_size(self) -> tuple[int, int]:
        return shrunk_size(self._reader.frame_size(), self._short_side)

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        until = deadline(self._name, self._limits)
        height, width = self.frame_size()
        frames = empty_frames(self._name, len(indices), height, width, self._limits)
        for index, places in places_of(indices).items():
            until.check()
            whole = np.ascontiguousarray(self._reader.read([index])[0].transpose(1, 2, 0))
            picture = self._reformatter.reformat(
                av.VideoFrame.from_ndarray(whole, format="rgb24"),
                width=width,
                height=height,
                interpolation=AVERAGING,
                threads=1,
            )
            frames[places] = picture.to_ndarray().transpose(2, 0, 1)
        return frames

    def close(self) -> None:
        self._reader.close()
