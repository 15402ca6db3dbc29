"""Size of a prepared video against what it costs to sample it: `python -m benchmarks.prepare [--quick]`.

`tubelet data prepare` encodes two rendered videos of 340 x 256, 300 frames at 30 fps: a camera over a rough
texture with sensor noise, and the same made soft by halving its resolution. Keyframes are every 250, 12, 4 and 1
frames, in three qualities, for fast decoding as `prepare` does, and some as x264 does unless told otherwise.
`sparse` reads 16 frames spread over the video, `dense` every fourth frame of a window; each reading opens the
file anew. CPU time of the process, all files taking turns.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks import measure
from benchmarks.decode import process_seconds, with_tubelet
from benchmarks.moving_scene import PLANS, encode, moving_scene
from tubelet.data.encode import Encoding
from tubelet.data.preparing.prepare_video import Preparation, prepare_video
from tubelet.data.resize import resize
from tubelet.data.video import Video

USUAL = "usual, keyframe every 250, crf 23"
ENCODINGS = {
    USUAL: Encoding(keyframe_every=250, fast_decode=False),
    "usual, keyframe every 12, crf 23": Encoding(fast_decode=False),
    **{
        f"keyframe every {every}, crf {crf}": Encoding(keyframe_every=every, crf=crf)
        for every in (250, 12, 4, 1)
        for crf in (18, 23, 28)
    },
}
COLUMNS = ("kB", "dB", "preparing s", "sparse ms", "dense ms")


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Prepared videos: size, and CPU milliseconds per clip of 16 frames")
    pictures = moving_scene()[: 40 if arguments.quick else None]
    figures, ratios = {}, {}
    for scene, shown in {"rough": pictures, "soft": softened(pictures)}.items():
        figures[scene] = compare(shown, rounds=1 if arguments.quick else 9)
        usual = figures[scene][USUAL]
        ratios[scene] = {
            name: {
                "size": round(figure["kB"] / usual["kB"], 2),
                **{plan: round(usual[f"{plan} ms"] / figure[f"{plan} ms"], 2) for plan in PLANS},
            }
            for name, figure in figures[scene].items()
        }
        rows = [
            [name, *(figure[column] for column in COLUMNS), *ratios[scene][name].values()]
            for name, figure in figures[scene].items()
        ]
        measure.table([scene, *COLUMNS, "size ratio", *(f"usual/{plan}" for plan in PLANS)], rows)
    print(f"ratios to `{USUAL}`; dB: likeness to the source (PSNR)\n")
    measure.finish("prepare", figures=figures, ratios=ratios, keep=not arguments.quick)


def compare(pictures: np.ndarray, rounds: int) -> dict[str, dict[str, float]]:
    """Size, likeness and costs of every encoding of one video."""
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "source.mp4"
        encode(source, pictures, 250)
        paths: dict[str, Path] = {}
        for number, (variant, encoding) in enumerate(ENCODINGS.items()):
            paths[variant] = path = source.with_name(f"{number}.mp4")
            started = time.process_time()
            prepared = prepare_video(str(source), path, Preparation(encoding=encoding))
            figures[variant] = {
                "kB": round(prepared.bytes / 1000),
                "dB": round(likeness(source, path), 1),
                "preparing s": round(time.process_time() - started, 2),
            }
        for plan, frames in PLANS.items():
            within = [min(frame, len(pictures) - 1) for frame in frames]
            readers = {variant: with_tubelet(path, within) for variant, path in paths.items()}
            taken = measure.take_turns(readers, rounds=rounds, warmups=1, seconds=process_seconds)
            for variant, seconds in measure.medians(taken).items():
                figures[variant][f"{plan} ms"] = round(1000 * seconds, 1)
    return figures


def softened(pictures: np.ndarray) -> np.ndarray:
    """The pictures without their finer half of detail."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    rows, columns = pixels.shape[-2:]
    small = resize(pixels, rows // 2, columns // 2, antialias=True)
    return resize(small, rows, columns, antialias=True).permute(0, 2, 3, 1).contiguous().numpy()


def likeness(one: Path, other: Path) -> float:
    """Peak signal-to-noise ratio in dB, over every tenth frame."""
    with Video(one) as a, Video(other) as b:
        frames = range(0, len(a), 10)
        error = (a.frames(frames).pixels.float() - b.frames(frames).pixels.float()).square().mean()
    return float(10 * torch.log10(255**2 / error))


if __name__ == "__main__":
    main()
