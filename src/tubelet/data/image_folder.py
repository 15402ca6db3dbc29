"""Pictures read as videos: a folder of them, one per frame, or a single one, which is a video of one frame."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from av.container import InputContainer
from av.error import FFmpegError
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.opening import check_decodable, check_regular_file, open_container
from tubelet.data.readers import upright
from tubelet.data.video_files import PICTURE_EXTENSIONS, pictures_in
from tubelet.errors import VideoError

DEMUXERS = {b"\xff\xd8\xff": "jpeg_pipe", b"\x89PNG": "png_pipe"}


class ImageFolderReader:
    """Frames are the .jpg and .png files of a folder, numbers in their names counted as numbers."""

    def __init__(self, path: str, fps: float):
        try:
            names = [
                p for p in Path(path).iterdir() if p.suffix.lower() in PICTURE_EXTENSIONS and p.name[0] != "."
            ]
        except OSError as error:
            raise VideoError(f"{path}: the folder cannot be read ({error.strerror})") from None
        if not names:
            inside = next((p.parent for p in pictures_in(path)), None)
            way_out = f"; its subfolders do ({inside}): give those, a video each" if inside else ""
            raise VideoError(f"{path}: the folder holds no .jpg or .png pictures{way_out}")
        self.path = path
        self.files = sorted(names, key=lambda p: natural_order(p.name))
        self.fps = fps
        self.seconds = torch.arange(len(self.files), dtype=torch.float64) / fps
        self._size: tuple[int, int] | None = None

    def frame_size(self) -> tuple[int, int]:
        if self._size is None:
            _, height, width = read_picture(str(self.files[0])).shape
            self._size = (height, width)
        return self._size

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        rows, columns = self.frame_size()
        pixels = torch.empty(len(indices), 3, rows, columns, dtype=torch.uint8)
        pictures = {i: read_picture(str(self.files[i])) for i in set(indices)}
        for place, index in enumerate(indices):
            _, height, width = pictures[index].shape
            if (height, width) != (rows, columns):
                raise VideoError(
                    f"{self.files[index]}: is {height} x {width}, the folder's first frame {rows} x {columns}"
                )
            pixels[place] = pictures[index]
        return pixels

    def close(self) -> None:
        """Nothing stays open between reads."""


class PictureReader:
    """One JPEG or PNG file as a video of one frame, shown at 0 seconds."""

    def __init__(self, path: str, fps: float):
        check_regular_file(path)
        self.path = path
        self.fps = fps
        self.seconds = torch.zeros(1, dtype=torch.float64)
        self._picture: UInt8[Tensor, "3 rows columns"] | None = None

    def picture(self) -> UInt8[Tensor, "3 rows columns"]:
        """The pixels, decoded once."""
        if self._picture is None:
            self._picture = read_picture(self.path)
        return self._picture

    def frame_size(self) -> tuple[int, int]:
        _, height, width = self.picture().shape
        return height, width

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        return self.picture().expand(len(indices), -1, -1, -1).clone()

    def close(self) -> None:
        """Nothing stays open between reads."""


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sort key by which `img_9.jpg` comes before `img_10.jpg`.

    >>> sorted(["img_10.jpg", "img_9.jpg"], key=natural_order)
    ['img_9.jpg', 'img_10.jpg']
    """
    parts = re.split("([0-9]+)", name)
    return [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)] + [(0, name)]


def read_picture(path: str) -> UInt8[Tensor, "3 rows columns"]:
    """RGB pixels of one JPEG or PNG file, turned as its orientation tag says."""
    with open_picture(path) as container:
        try:
            frame = next(container.decode(video=0))
        except (FFmpegError, StopIteration) as error:
            reason = getattr(error, "strerror", None) or "it holds no picture"
            raise VideoError(f"{path}: the picture cannot be decoded ({reason})") from None
        if frame.is_corrupt:
            raise VideoError(f"{path}: the picture is damaged")
        return torch.from_numpy(upright(frame.to_ndarray(format="rgb24"), frame)).permute(2, 0, 1)


def open_picture(path: str) -> InputContainer:
    check_regular_file(path)
    with Path(path).open("rb") as file:
        head = file.read(4)
    demuxer = next((name for magic, name in DEMUXERS.items() if head.startswith(magic)), None)
    if demuxer is None:
        raise VideoError(f"{path}: neither a JPEG nor a PNG picture")
    container = open_container(path, formats=demuxer, demuxer=demuxer)
    check_decodable(path, container.streams.video[0])
    return container
