"""Clips of 16 frames decoded per second of CPU time: `python -m benchmarks.decode [--quick]`.

`Video` against PyAV decoding from the start, decord and OpenCV where they are installed, each opening the file
anew. The videos are rendered here: H.264 of 340 x 256, 300 frames at 30 fps, a key frame every 12 or 250, and
clips of the synthetic data set. `sparse` spreads the 16 frames over the video, `dense` takes every fourth from
frame 100 on. CPU time of the whole process, because some decoders start threads, with all of them interleaved.
"""

import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.video.stream import VideoStream

from benchmarks import measure
from tubelet.data.encode import write_mp4
from tubelet.data.synth import SynthConfig, render_clip
from tubelet.data.video import Video

ROWS, COLUMNS, LENGTH = 256, 340, 300
PLANS = {"sparse": [9 + 18 * i for i in range(16)], "dense": [100 + 4 * i for i in range(16)]}


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Decoding, CPU milliseconds of the process per clip of 16 frames")
    figures, ratios, rows = {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, plan) in cases(Path(folder)).items():
            decoders = {key: made(path, plan) for key, made in DECODERS.items() if made is not None}
            differences = {
                key: largest_difference(decoders["PyAV"](), work()) for key, work in decoders.items()
            }
            taken = measure.take_turns(
                decoders, rounds=3 if arguments.quick else 15, warmups=1, seconds=process_seconds
            )
            figures[name] = {"seconds": measure.medians(taken), "largest difference of a pixel": differences}
            figures[name]["clips/s"] = {key: round(1 / s, 1) for key, s in figures[name]["seconds"].items()}
            ratios[name] = {
                key: measure.ratio(taken[key], taken["tubelet"]) for key in taken if key != "tubelet"
            }
            times = [f"{1000 * figures[name]['seconds'][key]:.1f}" for key in taken]
            rows.append([name, *times, figures[name]["clips/s"]["tubelet"], *ratios[name].values()])
    others = [key for key in DECODERS if key != "tubelet" and DECODERS[key] is not None]
    columns = [f"{key} ms" for key in ("tubelet", *others)]
    measure.table(["file, plan", *columns, "clips/s", *(f"{key}/tubelet" for key in others)], rows)
    worst = max(max(figure["largest difference of a pixel"].values()) for figure in figures.values())
    print(f"pixels differ from PyAV's by at most {worst} grey levels\n")
    measure.finish("decode", figures=figures, ratios=ratios, keep=not arguments.quick)


def cases(folder: Path) -> dict[str, tuple[Path, list[int]]]:
    """Every video with every plan that suits it."""
    pictures = moving_scene()
    found = {}
    for gop in (12, 250):
        path = folder / f"gop{gop}.mp4"
        encode(path, pictures, gop)
        found |= {f"340x256 GOP {gop}, {plan}": (path, frames) for plan, frames in PLANS.items()}
    config = SynthConfig()
    path = folder / "synth.mp4"
    write_mp4(path, render_clip(config, "train", 0).pixels, fps=config.fps, crf=config.crf, gop=config.gop)
    return {**found, "64x64 synthetic, all 16": (path, list(range(16)))}


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


Decoded = Callable[[], np.ndarray]  # (frames, rows, columns, 3)


def with_tubelet(path: Path, frames: list[int]) -> Decoded:
    def work() -> np.ndarray:
        with Video(path) as video:
            return video.frames(frames).pixels.permute(0, 2, 3, 1).numpy()

    return work


def with_pyav(path: Path, frames: list[int]) -> Decoded:
    """Decodes from the start and converts what was asked for."""
    wanted, last = set(frames), max(frames)

    def work() -> np.ndarray:
        pictures = []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for i, frame in enumerate(container.decode(stream)):
                if i in wanted:
                    pictures.append(frame.to_ndarray(format="rgb24"))
                if i == last:
                    break
        return np.stack(pictures)

    return work


def with_decord(path: Path, frames: list[int]) -> Decoded:
    decord: Any = importlib.import_module("decord")
    return lambda: decord.VideoReader(str(path), num_threads=1).get_batch(frames).asnumpy()


def with_opencv(path: Path, frames: list[int]) -> Decoded:
    cv2: Any = importlib.import_module("cv2")
    cv2.setNumThreads(1)
    wanted = set(frames)

    def work() -> np.ndarray:
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        pictures = []
        for i in range(max(frames) + 1):
            if not capture.grab():
                raise RuntimeError(f"OpenCV finds no frame {i} in {path}")
            if i in wanted:
                pictures.append(capture.retrieve()[1][..., ::-1])
        capture.release()
        return np.stack(pictures)

    return work


def installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


DECODERS: dict[str, Callable[[Path, list[int]], Decoded] | None] = {
    "tubelet": with_tubelet,
    "PyAV": with_pyav,
    "decord": with_decord if installed("decord") else None,
    "OpenCV": with_opencv if installed("cv2") else None,
}


def process_seconds(work: Callable[[], object]) -> float:
    """CPU time of all threads of this process during one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def largest_difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(np.int16) - other.astype(np.int16)).max())


if __name__ == "__main__":
    main()
