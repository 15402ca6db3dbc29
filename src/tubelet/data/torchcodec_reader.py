"""Frames through torchcodec: the only file that imports it. It needs an FFmpeg of the system."""

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.frame_index import build_index
from tubelet.data.opening import open_video
from tubelet.errors import BackendError, VideoError


class TorchcodecReader:
    """The same frames as `PyAVReader`, decoded by torchcodec in exact mode.

    torchcodec hands out wrong frames for some files (transport streams, negative times), so every frame's
    time is compared with the index.
    """

    def __init__(self, path: str):
        try:
            from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportMissingImports]
        except (ImportError, OSError, RuntimeError) as error:  # it is there, but finds no FFmpeg
            reason = str(error).strip().splitlines()[0]
            raise BackendError(
                f'torchcodec cannot be loaded ({reason}); pip install "tubelet[fast]" and an FFmpeg, '
                "or read with reader='pyav'"
            ) from None
        self.path = path
        container, stream = open_video(path)
        with container:
            index = build_index(path, container, stream)
        self.seconds = index.seconds
        self.fps = index.fps
        try:
            self._decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1)
        except (RuntimeError, ValueError) as error:
            raise VideoError(f"{path}: torchcodec cannot open it ({_first_line(error)})") from None
        if len(self._decoder) != len(self.seconds):
            raise VideoError(
                f"{path}: torchcodec counts {len(self._decoder)} frames, the file has {len(self.seconds)}; "
                "read it with reader='pyav'"
            )

    def frame_size(self) -> tuple[int, int]:
        _, _, height, width = self.read([0]).shape
        return height, width

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "frames 3 rows columns"]:
        if not indices:
            return torch.empty(0, 3, *self.frame_size(), dtype=torch.uint8)
        try:
            batch = self._decoder.get_frames_at(list(indices))
        except (RuntimeError, ValueError, IndexError) as error:
            raise VideoError(f"{self.path}: torchcodec cannot read it ({_first_line(error)})") from None
        expected = self.seconds[list(indices)]
        late = (batch.pts_seconds.to(torch.float64) - expected).abs().max()
        if float(late) > 0.5 / self.fps:
            raise VideoError(
                f"{self.path}: torchcodec returned frames of other times than asked for; "
                "read it with reader='pyav'"
            )
        return batch.data.contiguous()

    def close(self) -> None:
        del self._decoder


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
