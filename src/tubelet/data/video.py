"""A video on disk, and the frames that come out of it."""

import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from tubelet.data.image_folder import ImageFolderReader, PictureReader
from tubelet.data.readers import PyAVReader, Reader
from tubelet.data.torchcodec_reader import TorchcodecReader
from tubelet.data.video_files import PICTURE_EXTENSIONS
from tubelet.errors import ConfigError, VideoError

READERS = {"auto": PyAVReader, "pyav": PyAVReader, "torchcodec": TorchcodecReader}


@dataclass(frozen=True)
class Frames:
    """Pixels together with the times at which they are shown; the two never travel apart."""

    pixels: UInt8[Tensor, "frames 3 rows columns"]
    seconds: Float64[Tensor, "frames"]

    def __len__(self) -> int:
        return len(self.pixels)


class Video:
    """A video file, or a folder of .jpg/.png pictures taken as its frames; a single picture is one frame.

    Making one touches nothing. The first use opens the file, `close` (or leaving a `with`) lets go of it and
    the next use opens it again. It may be sent to a data loader's worker, which opens the file for itself.
    One `Video` serves one thread.

    `reader` chooses the decoder: "pyav", "torchcodec" (extra `fast`) or "auto", which is PyAV today. `fps` is
    the frame rate assumed for a folder of pictures; files know their own.

    Anything that keeps frames from being read is a `VideoError` of one line naming the file: a missing,
    empty or foreign file, no video stream, a cut or damaged stream. Pixels are never guessed or repeated.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        reader: Literal["auto", "pyav", "torchcodec"] = "auto",
        fps: float = 30.0,
    ):
        if reader not in READERS:
            raise ConfigError(f"reader {reader!r} does not exist; choose from {', '.join(READERS)}")
        if not fps > 0:
            raise ConfigError(f"fps is {fps}; a frame rate is above 0")
        self.source = str(source)
        self._reader_name = reader
        self._folder_fps = float(fps)
        self._reader: Reader | None = None
        self._pid = 0

    def _opened(self) -> Reader:
        # A forked worker must not share the parent's file position.
        if self._reader is not None and self._pid == os.getpid():
            return self._reader
        if Path(self.source).is_dir():
            reader: Reader = ImageFolderReader(self.source, self._folder_fps)
        elif Path(self.source).suffix.lower() in PICTURE_EXTENSIONS:
            reader = PictureReader(self.source, self._folder_fps)
        else:
            reader = READERS[self._reader_name](self.source)
        self._reader, self._pid = reader, os.getpid()
        return reader

    def __len__(self) -> int:
        return len(self._opened().seconds)

    @property
    def fps(self) -> float:
        """Frames per second on average."""
        return self._opened().fps

    @property
    def height(self) -> int:
        """Rows of a frame as shown, after rotation."""
        return self._opened().frame_size()[0]

    @property
    def width(self) -> int:
        """Columns of a frame as shown, after rotation."""
        return self._opened().frame_size()[1]

    @property
    def seconds(self) -> Float64[Tensor, "frames"]:
        """When each frame is shown, on the file's own clock, which need not start at 0."""
        return self._opened().seconds

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
        return Frames(pixels=reader.read(numbers), seconds=reader.seconds[numbers])

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
