"""Clips of 16 frames decoded per second of CPU time: `python -m benchmarks.decode [--quick]`.

`Video` against PyAV decoding from the start, decord, torchcodec and OpenCV where they can be loaded, each opening
the file anew. `tubelet` has read the file before and finds its index in memory; `first touch` has not;
`short side 224` is `tubelet` with frames made smaller as they are decoded. The videos
are rendered here (`realistic_clips`) and stay in the system's folder for temporary files: H.264 of 340 x 256, 300
frames at 30 fps, a key frame every 250, 12 or 1; 1920 x 1080, 600 frames; and a clip of the synthetic data set.
`sparse` spreads the 16 frames over the video, `dense` takes every fourth from a third of it on. CPU time of the
whole process, because some decoders start threads, with all of them interleaved.

torchcodec needs an FFmpeg of the system; without one: LD_LIBRARY_PATH=FOLDER_OF_ITS_LIBRARIES python -m ...
"""

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from benchmarks import measure
from benchmarks.realistic_clips import encoded
from tubelet.data.encode import write_mp4
from tubelet.data.reading.index_cache import forget
from tubelet.data.synthetic.synth import SynthConfig, render_clip
from tubelet.data.video import Video

SMALLER = "short side 224"
PLANS = {
    "sparse": lambda length: [(2 * i + 1) * length // 32 for i in range(16)],
    "dense": lambda length: [length // 3 + 4 * i for i in range(16)],
}
SMALL = {"rows": 256, "columns": 340, "length": 300}
CLIPS = {
    "340x256 GOP 250": {**SMALL, "gop": 250},
    "340x256 GOP 12": {**SMALL, "gop": 12},
    "340x256 GOP 1": {**SMALL, "gop": 1, "crf": 28},
    "1080p GOP 250": {"rows": 1080, "columns": 1920, "length": 600, "gop": 250},
}


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Decoding, CPU milliseconds of the process per clip of 16 frames")
    figures, ratios, rows = {}, {}, []
    folder = Path(tempfile.gettempdir()) / "tubelet-benchmark-clips"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TUBELET_INDEX_CACHE"] = cache
        for name, (path, plan) in cases(folder, small=arguments.quick).items():
            decoders = {key: made(path, plan) for key, made in DECODERS.items() if made is not None}
            differences = {
                key: largest_difference(decoders["PyAV"](), work())
                for key, work in decoders.items()
                if key != SMALLER
            }
            decoders[SMALLER]()
            taken = measure.take_turns(
                decoders,
                rounds=3 if arguments.quick or name.startswith("1080p") else 9,
                warmups=0 if name.startswith("1080p") else 1,  # each has read it once to be compared
                seconds=process_seconds,
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


def cases(folder: Path, *, small: bool) -> dict[str, tuple[Path, list[int]]]:
    """Every video with every plan that suits it."""
    found = {}
    for name, sizes in CLIPS.items():
        if small and sizes["rows"] > 256:
            continue
        path = folder / f"{name.replace(' ', '-')}.mp4"
        if not path.exists():
            encoded(path, **sizes)
        found |= {f"{name}, {plan}": (path, frames(sizes["length"])) for plan, frames in PLANS.items()}
    config = SynthConfig()
    path = folder / "synth.mp4"
    write_mp4(path, render_clip(config, "train", 0).pixels, fps=config.fps, crf=config.crf, gop=config.gop)
    return {**found, "64x64 synthetic, all 16": (path, list(range(16)))}


Decoded = Callable[[], np.ndarray]  # (frames, rows, columns, 3)


def with_tubelet(path: Path, frames: list[int]) -> Decoded:
    def work() -> np.ndarray:
        with Video(path) as video:
            return video.frames(frames).pixels.permute(0, 2, 3, 1).numpy()

    return work


def with_tubelet_smaller(path: Path, frames: list[int]) -> Decoded:
    """Frames made smaller in the step that makes RGB of them."""

    def work() -> np.ndarray:
        with Video(path, short_side=224) as video:
            return video.frames(frames).pixels.permute(0, 2, 3, 1).numpy()

    return work


def with_tubelet_first(path: Path, frames: list[int]) -> Decoded:
    """As if the file had never been read: without what is kept of its index."""

    def work() -> np.ndarray:
        forget()
        shutil.rmtree(os.environ["TUBELET_INDEX_CACHE"], ignore_errors=True)  # small files leave nothing
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


def with_torchcodec(path: Path, frames: list[int]) -> Decoded:
    decoders: Any = importlib.import_module("torchcodec.decoders")
    return lambda: (
        decoders.VideoDecoder(str(path), num_ffmpeg_threads=1, dimension_order="NHWC")
        .get_frames_at(frames)
        .data.numpy()
    )


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
    except (ImportError, OSError, RuntimeError):  # torchcodec without an FFmpeg
        return False
    return True


DECODERS: dict[str, Callable[[Path, list[int]], Decoded] | None] = {
    "tubelet": with_tubelet,
    "first touch": with_tubelet_first,
    SMALLER: with_tubelet_smaller,
    "PyAV": with_pyav,
    "decord": with_decord if installed("decord") else None,
    "torchcodec": with_torchcodec if installed("torchcodec.decoders") else None,
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
