"""Pictures read as videos: a folder of them, one per frame, or a single one, which is a video of one frame."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from jaxtyping import UInt8

from tubelet.data.reading.content import kind_of, read_head
from tubelet.data.reading.limits import Limits, check_count, check_pixels, deadline, empty_frames
from tubelet.data.reading.opening import check_decodable, failure, open_container
from tubelet.data.reading.orientation import upright
from tubelet.data.reading.places import places_of
from tubelet.data.reading.sources import Source, printable
from tubelet.data.video_files import PICTURE_EXTENSIONS, pictures_in
from tubelet.errors import VideoError

DEMUXERS = {"jpeg": "jpeg_pipe", "png": "png_pipe", "apng": "png_pipe", "webp": "webp_pipe"}


class ImageFolderReader:
    """Frames are the .jpg and .png files of a folder, numbers in their names counted as numbers."""

    def __init__(self, path: str, fps: float, limits: Limits):
        self.name = printable(path)
        self._limits = limits
        names = []
        try:
            for file in Path(path).iterdir():
                if file.suffix.lower() in PICTURE_EXTENSIONS and file.name[0] != ".":
                    names.append(file)
                    check_count(self.name, len(names), limits)
        except OSError as error:
            raise VideoError(f"{self.name}: the folder cannot be read ({error.strerror})") from None
        if not names:
            inside = next((p.parent for p in pictures_in(path)), None)
            way_out = f"; its subfolders do ({inside}): give those, a video each" if inside else ""
            raise VideoError(f"{self.name}: the folder holds no .jpg or .png pictures{way_out}")
        self.files = sorted(names, key=lambda p: natural_order(p.name))
        self.fps = fps
        self.seconds = np.arange(len(self.files)) / fps
        self._size: tuple[int, int] | None = None

    def frame_size(self) -> tuple[int, int]:
        if self._size is None:
            _, height, width = self._picture(0).shape
            self._size = (height, width)
        return self._size

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        until = deadline(self.name, self._limits)
        rows, columns = self.frame_size()
        pixels = empty_frames(self.name, len(indices), rows, columns, self._limits)
        for index, places in places_of(indices).items():
            until.check()
            picture = self._picture(index)
            _, height, width = picture.shape
            if (height, width) != (rows, columns):
                name = printable(str(self.files[index]))
                raise VideoError(
                    f"{name}: is {height} x {width}, the folder's first frame {rows} x {columns}"
                )
            for place in places:
                pixels[place] = picture
        return pixels

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _picture(self, index: int) -> UInt8[np.ndarray, "3 rows columns"]:
        path = str(self.files[index])
        return read_picture(Source(printable(path), path), self._limits)


class PictureReader:
    """One JPEG or PNG file as a video of one frame, shown at 0 seconds."""

    def __init__(self, source: Source, fps: float, limits: Limits):
        self.source = source
        self.fps = fps
        self._limits = limits
        self.seconds = np.zeros(1)
        self._picture: UInt8[np.ndarray, "3 rows columns"] | None = None

    def picture(self) -> UInt8[np.ndarray, "3 rows columns"]:
        """The pixels, decoded once."""
        if self._picture is None:
            self._picture = read_picture(self.source, self._limits)
        return self._picture

    def frame_size(self) -> tuple[int, int]:
        _, height, width = self.picture().shape
        return height, width

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        pixels = empty_frames(self.source.name, len(indices), *self.frame_size(), self._limits)
        pixels[...] = self.picture()
        return pixels

    def close(self) -> None:
        """Nothing stays open between reads."""


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key by which `img_9.jpg` comes before `img_10.jpg`.

    >>> sorted(["img_10.jpg", "img_9.jpg"], key=natural_order)
    ['img_9.jpg', 'img_10.jpg']
    """
    parts = re.split("([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)] + [(0, name)]


def read_picture(source: Source, limits: Limits) -> UInt8[np.ndarray, "3 rows columns"]:
    """RGB pixels of one JPEG, PNG or still WebP file, turned as its orientation tag says."""
    name = source.name
    with open_picture(source, limits) as container:
        try:
            frame = next(container.decode(video=0))
        except (FFmpegError, StopIteration) as error:
            reason = failure(error) if isinstance(error, FFmpegError) else "it holds no picture"
            raise VideoError(f"{name}: the picture cannot be decoded ({reason})") from None
        if frame.is_corrupt:
            raise VideoError(f"{name}: the picture is damaged")
        check_pixels(name, frame.width, frame.height, limits)
        return upright(frame.to_ndarray(format="rgb24"), frame).transpose(2, 0, 1)


def open_picture(source: Source, limits: Limits) -> InputContainer:
    demuxer = DEMUXERS.get(kind_of(read_head(source)))
    if demuxer is None:
        raise VideoError(f"{source.name}: neither a JPEG nor a PNG picture")
    container = open_container(source, limits, formats=demuxer, demuxer=demuxer)
    check_decodable(source.name, container.streams.video[0], limits)
    return container
