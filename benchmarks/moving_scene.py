"""The scene that benchmarks of preparing and loading encode: a camera over a rough texture, and sensor noise."""

from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

ROWS, COLUMNS, LENGTH = 256, 340, 300
# The frames of a clip: spread evenly, or every fourth.
PLANS = {"sparse": [9 + 18 * i for i in range(16)], "dense": [100 + 4 * i for i in range(16)]}


def moving_scene() -> np.ndarray:
    """Pictures (frames, rows, columns, 3): a camera over a rough texture, a moving square, sensor noise."""
    random = np.random.default_rng(0)
    rows, columns = 2 * ROWS, 2 * COLUMNS
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(random.standard_normal((3, rows, columns))) / frequency
    texture = np.fft.ifft2(spectrum).real
    texture = 128 + 40 * texture / texture.std()
    pictures = np.empty((LENGTH, ROWS, COLUMNS, 3), np.uint8)
    for t in range(LENGTH):
        top, left = int(60 + 50 * np.sin(t / 40)), int(100 + 90 * np.sin(t / 65))
        picture = texture[:, top : top + ROWS, left : left + COLUMNS].transpose(1, 2, 0).copy()
        picture[80 + t // 4 : 120 + t // 4, t % 300 : t % 300 + 40] = (220, 60, 40)
        picture += random.normal(0, 3, picture.shape)
        pictures[t] = picture.clip(0, 255)
    return pictures


def encode(path: Path, pictures: np.ndarray, gop: int) -> None:
    """As videos on the web are: x264's `medium` preset with its three B-frames."""
    with av.open(str(path), "w") as container:
        options = {"preset": "medium", "crf": "23", "g": str(gop), "threads": "1"}
        stream = container.add_stream("libx264", rate=30, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = *pictures.shape[1:3], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
