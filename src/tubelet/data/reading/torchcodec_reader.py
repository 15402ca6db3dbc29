"""Frames through torchcodec: the only file that imports it. It needs an FFmpeg of the system."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from tubelet.data.reading.limits import Limits, empty_frames
from tubelet.data.reading.reader import Reader
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.sources import Source
from tubelet.errors import BackendError, VideoError

# Where torchcodec's frames were right on every file tried. Elsewhere (transport streams, AVI, raw streams, Ogg,
# animations) it gives wrong frames in silence or none.
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
CODECS = frozenset({"h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores"})


def open_torchcodec(
    source: Source, limits: Limits, *, square_pixels: bool = False, keeps_index: bool = True
) -> Reader:
    """A `TorchcodecReader` where its frames can be trusted, else a `PyAVReader`, whose frames are the same.

    The rules: a local file; container and codec of the lists above; time stamps that begin at 0 or later; as many
    frames as the file's own tables show, none of them hidden; a first frame that is PyAV's. torchcodec hands out
    damaged pictures without a word, so the file is also decoded once by PyAV, and read by it if anything is
    damaged; what that found is kept with the file's index.
    """
    decoder_class = import_decoder()
    checked = PyAVReader(source, limits, square_pixels=square_pixels, keeps_index=keeps_index)
    path = source.opened_path
    if path is None or not _is_trusted(checked) or not checked.is_whole():
        return checked
    reader = TorchcodecReader(path, source.name, checked, decoder_class, limits)
    if not reader.agrees():
        return checked
    checked.close()
    return reader


def import_decoder() -> Any:
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
    except (ImportError, OSError, RuntimeError) as error:  # it is there, but finds no FFmpeg
        raise BackendError(
            f'torchcodec cannot be loaded ({_first_line(error)}); pip install "tubelet[fast]" and an FFmpeg, '
            "or read with reader='pyav'"
        ) from None
    return VideoDecoder


def _is_trusted(checked: PyAVReader) -> bool:
    index = checked.index
    return (
        index.by_time
        and not index.loss
        and not index.damaged
        and not any(packet.is_hidden or packet.recovers_late for packet in index.packets)
        and float(index.seconds[0]) >= 0
        and not CONTAINERS.isdisjoint(checked.container_names)
        and checked.codec in CODECS
    )


class TorchcodecReader:
    """Decodes by torchcodec in exact mode; every frame's time is compared with the index of `checked`."""

    seconds: Float64[np.ndarray, "frames"]
    fps: float

    def __init__(self, path: str, name: str, checked: PyAVReader, decoder_class: Any, limits: Limits):
        self.name = name
        self.seconds = checked.seconds
        self.fps = checked.fps
        self._limits = limits
        self._size = checked.frame_size()
        self._first = checked.read([0])
        self._decoder: Any = None
        with suppress(RuntimeError, ValueError):  # `agrees` says so
            self._decoder = decoder_class(
                path, stream_index=checked.stream_index, seek_mode="exact", num_ffmpeg_threads=1
            )

    def agrees(self) -> bool:
        """Whether torchcodec opened the file, counts the frames that are there, and begins with the right one."""
        if self._decoder is None or len(self._decoder) != len(self.seconds):
            return False
        try:
            first = self.read([0])
        except VideoError:
            return False
        # Both use FFmpeg; different versions may round differently.
        return bool((np.abs(first.astype(np.int16) - self._first) <= 4).all())

    def frame_size(self) -> tuple[int, int]:
        return self._size

    def read(self, indices: Sequence[int]) -> UInt8[np.ndarray, "frames 3 rows columns"]:
        pixels = empty_frames(self.name, len(indices), *self._size, self._limits)
        if not indices:
            return pixels
        try:
            batch = self._decoder.get_frames_at(list(indices))
        except (RuntimeError, ValueError, IndexError) as error:
            raise VideoError(
                f"{self.name}: torchcodec cannot read it ({_first_line(error)}); read it with reader='pyav'"
            ) from None
        late = np.abs(batch.pts_seconds.numpy() - self.seconds[list(indices)]).max()
        if batch.data.shape != pixels.shape or float(late) > 1e-3:
            raise VideoError(
                f"{self.name}: torchcodec returned other frames than asked for; read it with reader='pyav'"
            )
        return batch.data.numpy()

    def close(self) -> None:
        self._decoder = None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
