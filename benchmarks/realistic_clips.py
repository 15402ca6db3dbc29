"""Videos that cost a decoder what videos of the web do: `encoded` renders one and codes it with x264.

Rough textures (amplitude falling as 1/f), a camera that pans, discs that move before it, a cut to another scene,
and sensor noise. Coded with the preset `medium`, crf 23 and its three B-frames, as most web videos are.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

NOISE, TEXTURE = 2.0, 30.0  # grey levels, standard deviations


def encoded(path: Path, *, rows: int, columns: int, length: int, gop: int, crf: int = 23) -> Path:
    """Writes `length` pictures of a fixed scene to `path`, 30 a second, a keyframe every `gop` at the latest."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        options = {"preset": "medium", "crf": str(crf), "g": str(gop), "threads": "1"}
        stream = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = rows, columns, "yuv420p"
        for picture in pictures(rows, columns, length):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return part.rename(path)


def pictures(rows: int, columns: int, length: int) -> Iterator[np.ndarray]:
    """Pictures (rows, columns, 3), uint8, of two scenes with a cut at 5/8 of the time."""
    random = np.random.default_rng(0)
    scenes = [texture(random, 3 * rows // 2, 3 * columns // 2) for _ in range(2)]
    discs = [(random.uniform(0, 1, 4), random.integers(0, 255, 3)) for _ in range(4)]
    y, x = np.mgrid[:rows, :columns]
    noise = random.normal(0, NOISE, (2 * rows, 2 * columns, 3)).astype(np.float32)
    for t in range(length):
        scene = scenes[int(t >= 5 * length // 8)]
        phase = 2 * np.pi * t / 300
        top, left = (int(s / 4 * (1 + np.sin(w * phase))) for s, w in ((rows, 1.3), (columns, 0.9)))
        picture = scene[top : top + rows, left : left + columns].copy()
        for (a, b, c, d), colour in discs:
            centre = rows * (0.5 + 0.4 * np.sin((1 + 2 * a) * phase + 6 * b))
            across = columns * (0.5 + 0.4 * np.cos((1 + 2 * c) * phase + 6 * d))
            picture[(y - centre) ** 2 + (x - across) ** 2 < (rows / 9) ** 2] = colour
        shift = random.integers(
            0, (rows, columns)
        )  # fresh noise of every pixel would cost more than the coding
        picture += noise[shift[0] : shift[0] + rows, shift[1] : shift[1] + columns]
        yield picture.clip(0, 255).astype(np.uint8)


def texture(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """A picture (rows, columns, 3) of float32 whose amplitudes fall as 1/f."""
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None] * rows, np.fft.fftfreq(columns)[None] * columns)
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(random.standard_normal((3, rows, columns))) / frequency
    grey = np.fft.ifft2(spectrum).real
    return (128 + TEXTURE * grey / grey.std()).transpose(1, 2, 0).astype(np.float32)
