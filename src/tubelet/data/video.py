"""A video, and the frames that come out of it."""

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from tubelet.data.reading.array_reader import ArrayReader
from tubelet.data.reading.limits import UNTRUSTED, Limits
from tubelet.data.reading.open_reader import DECODERS, Decoder, ReadingOptions, open_reader
from tubelet.data.reading.opening import clear_errors
from tubelet.data.reading.reader import Reader
from tubelet.data.reading.shrinking import ShrunkReader
from tubelet.data.reading.sources import BinaryFile, Source, make_source
from tubelet.data.reading.supervised import SupervisedReader
from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True)
class Frames:
    """Pixels together with the times at which they are shown; the two never travel apart."""

    pixels: UInt8[Tensor, "frames 3 rows columns"]
    seconds: Float64[Tensor, "frames"]

    def __len__(self) -> int:
        return len(self.pixels)


class Video:
    """A video file, or a folder of .jpg/.png pictures taken as its frames; a single picture is one frame.

    `source` may also be the file's bytes, an open file of bytes, or an array of RGB frames, uint8 of shape
    (frames, rows, columns, 3) or (frames, 3, rows, columns). With `allow_network` it may be an http(s) address.

    Making one touches nothing. The first use opens the file, `close` (or leaving a `with`) lets go of it and
    the next use opens it again. It may be sent to a data loader's worker, which opens the file for itself.
    One `Video` serves one thread.

    - `reader` chooses the decoder: "pyav", "torchcodec" (extra `fast`) or "auto", which is PyAV today.
    - `fps` is the frame rate assumed for pictures and arrays; files know their own.
    - `square_pixels` stretches frames whose pixels are not square to the width at which players show them.
    - `short_side` makes larger frames smaller while they are decoded, so that the shorter of height and width has
      as many pixels: averages, as an antialiased resize gives, but taken before colours are converted.
    - `untrusted` reads in a process of its own, which may crash, hang or want all memory without harm to this
      one. Use it for files of strangers.
    - `limits` bounds what reading may cost.

    Anything that keeps frames from being read is a `VideoError` of one line naming the file: a missing,
    empty or foreign file, no video stream, a cut or damaged stream. Pixels are never guessed or repeated.
    """

    def __init__(
        self,
        source: str | Path | bytes | BinaryFile | np.ndarray | Tensor,
        *,
        reader: Decoder = "auto",
        fps: float = 30.0,
        square_pixels: bool = False,
        short_side: int | None = None,
        allow_network: bool = False,
        untrusted: bool = False,
        limits: Limits | None = None,
    ):
        if reader not in DECODERS:
            raise ConfigError(f"reader {reader!r} does not exist; choose from {', '.join(DECODERS)}")
        if not fps > 0:
            raise ConfigError(f"fps is {fps}; a frame rate is above 0")
        if short_side is not None and short_side < 1:
            raise ConfigError(f"short_side is {short_side}; frames have at least 1 pixel")
        self._media: Source | np.ndarray | Tensor = (
            source if isinstance(source, np.ndarray | Tensor) else make_source(source, allow_network)
        )
        self.source = self._media.name if isinstance(self._media, Source) else "<array>"
        self._options = ReadingOptions(
            reader=reader,
            fps=float(fps),
            square_pixels=square_pixels,
            short_side=None if short_side is None else operator.index(short_side),
            keeps_index=not untrusted,
            limits=limits or (UNTRUSTED if untrusted else Limits()),
        )
        self._is_untrusted = untrusted
        self._reader: Reader | None = None
        self._pid = 0

    def _opened(self) -> Reader:
        # A forked worker must not share the parent's file position.
        if self._reader is not None and self._pid == os.getpid():
            return self._reader
        if not isinstance(self._media, Source):
            reader: Reader = ArrayReader(self._media, self._options.fps, self._options.limits)
            if self._options.short_side is not None:
                reader = ShrunkReader(self.source, reader, self._options.short_side, self._options.limits)
        else:
            opens = SupervisedReader if self._is_untrusted else open_reader
            with clear_errors(self.source):
                reader = opens(self._media, self._options)
        self._reader, self._pid = reader, os.getpid()
        return reader

    def _size(self) -> tuple[int, int]:
        reader = self._opened()
        with clear_errors(self.source):
            return reader.frame_size()

    def __len__(self) -> int:
        return len(self._opened().seconds)

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        return self._opened().fps

    @property
    def height(self) -> int:
        """Rows of a frame as shown, after rotation."""
        return self._size()[0]

    @property
    def width(self) -> int:
        """Columns of a frame as shown, after rotation."""
        return self._size()[1]

    @property
    def seconds(self) -> Float64[Tensor, "frames"]:
        """When each frame is shown, on the file's own clock, which need not start at 0."""
        return torch.from_numpy(self._opened().seconds)

    @property
    def duration(self) -> float:
        """Seconds from the first frame's appearance to the end of the last one."""
        seconds = self.seconds
        return float(seconds[-1] - seconds[0]) + 1 / self.fps

    def frames(self, indices: Sequence[int] | Int64[Tensor, "frames"]) -> Frames:
        """The frames with the given numbers, counted from 0, in any order and as often as asked for.

        The pixels are those of decoding the video from its start, bit for bit. A number that the video does
        not have is a `VideoError`.
        """
        numbers = indices.tolist() if isinstance(indices, Tensor) else [operator.index(i) for i in indices]
        reader = self._opened()
        length = len(reader.seconds)
        for number in numbers:
            if not 0 <= number < length:
                raise VideoError(
                    f"{self.source}: frame {number} was asked for, but the video has {length} frames"
                )
        with clear_errors(self.source):
            pixels, seconds = reader.read(numbers), reader.seconds[numbers]
        return Frames(pixels=torch.from_numpy(pixels), seconds=torch.from_numpy(seconds))

    def indices_at(self, seconds: Sequence[float] | Float64[Tensor, "times"]) -> Int64[Tensor, "times"]:
        """The numbers of the frames that are on screen at these times, counted from the first frame's appearance.

        However unevenly a video's frames follow each other, equal steps of time give equal steps here. A time
        before 0 or after the end of the last frame is a `VideoError`.
        """
        times = torch.as_tensor(seconds, dtype=torch.float64)
        shown = self.seconds - self.seconds[0]
        outside = times[~((times >= 0) & (times <= self.duration))]
        if len(outside):
            raise VideoError(
                f"{self.source}: a frame at {float(outside[0]):g} s was asked for, but the video lasts "
                f"{self.duration:g} s"
            )
        # Times are sums of fractions; a microsecond keeps 0.3 s from falling before a frame at 3/10 s.
        return torch.searchsorted(shown, times + 1e-6, right=True) - 1

    def frames_at(self, seconds: Sequence[float] | Float64[Tensor, "times"]) -> Frames:
        """The frames on screen at these times, as `indices_at` finds them."""
        return self.frames(self.indices_at(seconds))

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    def __repr__(self) -> str:
        return f"Video({self.source!r})"
