"""Pictures in RGB from decoded frames: all of one video in one size, and upright."""

from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from tubelet.data.reading.limits import Limits, check_pixels
from tubelet.data.reading.orientation import orientation, square_size, turned
from tubelet.data.reading.shrinking import AVERAGING, shrunk_size


class ToRGB:
    """What makes a stream's frames pictures.

    A stream may change its size midway; all its pictures come in the size that it opens with.
    """

    def __init__(
        self, name: str, stream: VideoStream, limits: Limits, *, square_pixels: bool, short_side: int | None
    ):
        stored = stream.codec_context.height, stream.codec_context.width
        if square_pixels:
            stored = square_size(stored, stream.sample_aspect_ratio)
            check_pixels(name, stored[1], stored[0], limits)
        self._size = shrunk_size(stored, short_side)
        self._interpolation = None if self._size == stored else AVERAGING
        # One for all, and one thread: `frame.to_ndarray` starts threads anew for every frame.
        self._reformatter = VideoReformatter()

    def size_shown(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(height, width) of the pictures; only a decoded frame knows how they are to be turned."""
        transposed, _, _ = orientation(frame)
        height, width = self._size
        return (width, height) if transposed else (height, width)

    def picture(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "3 rows columns"]:
        """One frame; its memory is FFmpeg's."""
        height, width = self._size
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=self._interpolation, threads=1
        )
        # Not `to_ndarray`, which copies; whoever takes the picture puts it where it belongs.
        plane: Any = rgb.planes[0]
        array = np.ndarray((height, width, 3), np.uint8, plane, strides=(plane.line_size, 3, 1))
        turn = orientation(frame)
        if any(turn):
            array = turned(array, turn)
        return array.transpose(2, 0, 1)
