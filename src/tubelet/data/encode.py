"""Frames into H.264 files."""

import os
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from jaxtyping import UInt8
from torch import Tensor


def write_mp4(
    path: Path, pixels: UInt8[Tensor, "frames 3 rows columns"], *, fps: int, crf: int = 18, gop: int = 12
) -> None:
    """Writes an H.264 mp4 whole or not at all.

    `crf` is x264's constant rate factor (0 lossless, 18 visually clean, 51 worst), `gop` the longest
    distance between key frames. One encoder thread and fixed parameters: the same pixels give the same file
    with the same build of x264. Rows and columns must be even (4:2:0 colour).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with av.open(str(temporary), "w", format="mp4") as container:
            _encode(container, pixels, fps=fps, crf=crf, gop=gop)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _encode(
    container: OutputContainer,
    pixels: UInt8[Tensor, "frames 3 rows columns"],
    *,
    fps: int,
    crf: int,
    gop: int,
) -> None:
    stream = container.add_stream("libx264", rate=fps)
    stream.height, stream.width = pixels.shape[-2:]
    stream.pix_fmt = "yuv420p"
    stream.time_base = Fraction(1, fps)
    # Macroblock-tree rate control reads uninitialised memory for pictures a few macroblocks wide: at 64
    # pixels, one file in four came out different from run to run (x264 inside PyAV 18.1, x86). It is for
    # long videos anyway.
    stream.options = {
        "crf": str(crf),
        "preset": "veryfast",
        "g": str(gop),
        "threads": "1",
        "x264-params": "mbtree=0",
    }
    for number, image in enumerate(pixels.permute(0, 2, 3, 1).contiguous().numpy()):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
