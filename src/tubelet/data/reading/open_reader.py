"""Which reader opens what."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tubelet.data.reading.content import kind_of, read_head
from tubelet.data.reading.image_folder import ImageFolderReader, PictureReader
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.reader import Reader
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.shrinking import ShrunkReader
from tubelet.data.reading.sources import Source, held, is_folder
from tubelet.data.reading.torchcodec_reader import open_torchcodec
from tubelet.data.reading.webp_reader import WebPReader
from tubelet.data.video_files import PICTURE_EXTENSIONS

Decoder = Literal["auto", "pyav", "torchcodec"]
DECODERS: tuple[str, ...] = ("auto", "pyav", "torchcodec")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How a video is to be read; the names are those of `Video`."""

    reader: Decoder = "auto"
    fps: float = 30.0
    square_pixels: bool = False
    short_side: int | None = None
    keeps_index: bool = True  # for the next one who opens the same file
    limits: Limits = field(default_factory=Limits)


def open_reader(source: Source, options: ReadingOptions) -> Reader:
    """Opens a video in this process."""
    reader = _opened(source, options)
    if options.short_side is None or isinstance(reader, PyAVReader):
        return reader
    return ShrunkReader(source.name, reader, options.short_side, options.limits)


def _opened(source: Source, options: ReadingOptions) -> Reader:
    if source.path is not None and is_folder(source.path):
        return ImageFolderReader(source.path, options.fps, options.limits)
    source = held(source)
    kind = "video" if source.is_address else kind_of(read_head(source))
    if kind == "webp":
        return WebPReader(source, options.limits)
    # Names do not count, but for a JPEG: under a picture's name it is one frame, else it may be Motion JPEG.
    is_named_picture = source.path is not None and Path(source.path).suffix.lower() in PICTURE_EXTENSIONS
    if kind == "png" or (is_named_picture and kind != "apng"):
        return PictureReader(source, options.fps, options.limits)
    # torchcodec hands out whole frames; those made smaller have one definition, which is PyAV's.
    if options.reader == "torchcodec" and options.short_side is None:
        return open_torchcodec(
            source, options.limits, square_pixels=options.square_pixels, keeps_index=options.keeps_index
        )
    return PyAVReader(
        source,
        options.limits,
        square_pixels=options.square_pixels,
        short_side=options.short_side,
        keeps_index=options.keeps_index,
    )
