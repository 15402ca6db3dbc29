"""Animated WebP as a video: its pictures drawn onto their canvas, one after the other."""

from collections.abc import Sequence
from itertools import accumulate

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from jaxtyping import UInt8

from tubelet.data.reading.limits import Limits, deadline, empty_frames
from tubelet.data.reading.orientation import exif_turn, turned
from tubelet.data.reading.places import places_of
from tubelet.data.reading.sources import Source
from tubelet.data.reading.webp import MAX_FILE_BYTES, WebPFrame, parse_webp
from tubelet.errors import VideoError


class WebPReader:
    """Frames of a WebP file, still or animated.

    The canvas starts empty, as in browsers; transparent places come out in the colour stored there, which for an
    empty canvas is black. Going back starts anew at the last picture that covers all of the canvas.
    """

    def __init__(self, source: Source, limits: Limits):
        self.name = source.name
        self._limits = limits
        with source.open() as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise VideoError(f"{self.name}: a WebP file of over {MAX_FILE_BYTES} bytes is not read")
        self.webp = parse_webp(self.name, data, limits)
        ends = list(accumulate(frame.milliseconds for frame in self.webp.frames))
        # Where the file breaks off, there was to be at least one frame more.
        starts = [0, *ends] if self.webp.loss else [0, *ends[:-1]]
        self.seconds = np.array(starts) / 1000
        self.fps = 1000 * len(ends) / ends[-1]
        self._turn = exif_turn(self.webp.exif)
        self._start_before(0)

    def frame_size(self) -> tuple[int, int]:
        transposed, _, _ = self._turn
        height, width = self.webp.height, self.webp.width
        return (width, height) if transposed else (height, width)

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        until = deadline(self.name, self._limits)
        pixels = empty_frames(self.name, len(indices), *self.frame_size(), self._limits)
        for index, places in places_of(indices).items():
            if index >= len(self.webp.frames):
                raise VideoError(f"{self.name}: frame {index} cannot be read: {self.webp.loss}")
            if index < self._drawn - 1:
                self._start_before(index)
            while self._drawn <= index:
                until.check()
                self._draw(self._drawn)
            picture = turned(self._canvas[..., :3], self._turn).transpose(2, 0, 1)
            for place in places:
                pixels[place] = picture
        return pixels

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _start_before(self, index: int) -> None:
        """An empty canvas ahead of the last picture up to `index` that leaves nothing of those before it."""
        frames = self.webp.frames
        covers = [i for i in range(index + 1) if not frames[i].blends and self._covers(frames[i])]
        self._canvas = np.zeros((self.webp.height, self.webp.width, 4), np.uint8)
        self._drawn = covers[-1] if covers else 0  # pictures on the canvas, or not needed

    def _covers(self, frame: WebPFrame) -> bool:
        return (frame.width, frame.height) == (self.webp.width, self.webp.height)

    def _draw(self, index: int) -> None:
        frames = self.webp.frames
        if index and frames[index - 1].clears:  # harmless after a start in the middle
            _place(self._canvas, frames[index - 1])[...] = 0
        frame, picture = frames[index], self._decode(index)
        place = _place(self._canvas, frame)
        place[...] = _over(picture, place) if frame.blends else picture
        self._drawn = index + 1

    def _decode(self, index: int) -> UInt8[np.ndarray, "rows columns 4"]:
        frame = self.webp.frames[index]
        context = av.CodecContext.create("webp", "r")
        assert isinstance(context, VideoCodecContext)
        context.options = {"max_pixels": str(self._limits.pixels)}
        context.thread_type = "NONE"
        try:
            decoded = context.decode(av.Packet(frame.data))
            damaged = not decoded or decoded[0].is_corrupt
        except FFmpegError:
            damaged, decoded = True, []
        if damaged or (decoded[0].width, decoded[0].height) != (frame.width, frame.height):
            raise VideoError(f"{self.name}: frame {index} cannot be read: its WebP picture is damaged")
        return decoded[0].to_ndarray(format="rgba")


def _place(canvas: np.ndarray, frame: WebPFrame) -> np.ndarray:
    return canvas[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]


def _over(
    picture: UInt8[np.ndarray, "rows columns 4"], below: UInt8[np.ndarray, "rows columns 4"]
) -> UInt8[np.ndarray, "rows columns 4"]:
    """One picture laid over another; colours are not premultiplied (the specification's "alpha-blending")."""
    alpha = picture[..., 3:].astype(np.float32)
    if alpha.min() == 255:
        return picture
    left_over = below[..., 3:] * (1 - alpha / 255)
    total = alpha + left_over
    colours = (picture[..., :3] * alpha + below[..., :3] * left_over) / np.maximum(total, 1e-6)
    return np.concatenate([colours, total], axis=2).round().astype(np.uint8)
