"""Pixels that are in memory already, read as a video."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.reading.limits import Limits, empty_frames
from tubelet.errors import VideoError


class ArrayReader:
    """Frames of an array of shape (frames, rows, columns, 3) or (frames, 3, rows, columns)."""

    def __init__(self, pixels: np.ndarray | Tensor, fps: float, limits: Limits):
        self._pixels = channels_first(pixels)
        self._limits = limits
        self.fps = fps
        self.seconds = np.arange(len(self._pixels)) / fps

    def frame_size(self) -> tuple[int, int]:
        _, _, height, width = self._pixels.shape
        return height, width

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        pixels = empty_frames("<array>", len(indices), *self.frame_size(), self._limits)
        for place, index in enumerate(indices):
            pixels[place] = self._pixels[index]
        return pixels

    def close(self) -> None:
        """The array belongs to the caller."""


def channels_first(pixels: np.ndarray | Tensor) -> UInt8[np.ndarray, "frames 3 rows columns"]:
    """The frames of an array without a copy; raises unless it holds RGB in bytes."""
    shape, kind = tuple(pixels.shape), str(pixels.dtype).removeprefix("torch.")
    if kind != "uint8":
        raise VideoError(f"<array>: its numbers are {kind}; frames are uint8 from 0 to 255")
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or 0 in shape:
        raise VideoError(
            f"<array>: its shape is {shape}; frames are (frames, rows, columns, 3) or (frames, 3, rows, columns)"
        )
    if isinstance(pixels, Tensor):
        if pixels.device.type != "cpu":
            raise VideoError(f"<array>: it lies on {pixels.device}; videos are read on the CPU")
        pixels = pixels.numpy()
    return pixels if shape[1] == 3 and shape[3] != 3 else pixels.transpose(0, 3, 1, 2)
