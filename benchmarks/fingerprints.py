"""How far fingerprints of copies, and of different videos, lie apart, on rendered motion clips.

`python -m benchmarks.fingerprints` prints the table of docs/label_spaces.md. "Same scene" are the halves of one
clip, and different videos are different clips of one level of difficulty, some of which show the same motion.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.data.encode import write_mp4
from tubelet.data.merging.fingerprint import THRESHOLD, distances, fingerprint, similar_copies
from tubelet.data.synthetic.synth import LEVELS, render_clip

Clip = UInt8[Tensor, "frames 3 rows columns"]
SIZE, FPS = 96, 12


def resized(pixels: Clip, rows: int, columns: int) -> Clip:
    return F.interpolate(pixels, size=(rows, columns), mode="bilinear", antialias=True)


def shifted(pixels: Clip, gain: float, offset: float) -> Clip:
    return (pixels.float() * gain + offset).clamp(0, 255).round().to(torch.uint8)


def framed(pixels: Clip) -> Clip:
    """Black bars above and below."""
    result = pixels.clone()
    result[..., : SIZE // 8, :] = 0
    result[..., -SIZE // 8 :, :] = 0
    return result


def cropped(pixels: Clip) -> Clip:
    edge = SIZE // 10 // 2 * 2
    return pixels[..., edge:-edge, edge:-edge]


# What is done to a clip: (changed pixels, frames per second, constant rate factor).
CHANGES: dict[str, Callable[[Clip], tuple[Clip, int, int]]] = {
    "encoded again, crf 28": lambda clip: (clip, FPS, 28),
    "encoded again, crf 40": lambda clip: (clip, FPS, 40),
    "half the size": lambda clip: (resized(clip, SIZE // 2, SIZE // 2), FPS, 23),
    "other aspect ratio (4:3)": lambda clip: (resized(clip, SIZE, SIZE * 4 // 3), FPS, 23),
    "half the frame rate": lambda clip: (clip[::2], FPS // 2, 23),
    "brighter by 20, contrast 0.85": lambda clip: (shifted(clip, 0.85, 20.0), FPS, 23),
    "last tenth cut off": lambda clip: (clip[: len(clip) * 9 // 10], FPS, 23),
    "cropped by 8 % on all sides": lambda clip: (cropped(clip), FPS, 23),
    "black bars": lambda clip: (framed(clip), FPS, 23),
    "mirrored": lambda clip: (clip.flip(-1), FPS, 23),
}


def measure(folder: Path, level: str, number: int) -> dict[str, list[float]]:
    """The distances of every kind on `number` clips of a level."""
    config = replace(LEVELS[level], size=SIZE, num_frames=48, fps=FPS)
    originals, copies, halves = [], {name: [] for name in CHANGES}, []
    for index in range(number):
        pixels = render_clip(config, "train", index).pixels
        originals.append(printed(folder, pixels, FPS, 18))
        for name, change in CHANGES.items():
            copies[name].append(printed(folder, *change(pixels)))
        halves.append([printed(folder, part, FPS, 18) for part in pixels.split(24)])
    every = torch.stack(originals)
    among: Float[Tensor, "videos videos"] = distances(every, every)
    found = {
        name: distances(every, torch.stack(prints)).diagonal().tolist() for name, prints in copies.items()
    }
    first, second = (torch.stack(prints) for prints in zip(*halves, strict=True))
    found["same scene, another part"] = distances(first, second).diagonal().tolist()
    found["different videos"] = among[torch.triu(torch.ones_like(among), 1) > 0].tolist()
    return found


def printed(folder: Path, pixels: Clip, fps: int, crf: int) -> UInt8[Tensor, "512"]:
    file = folder / "clip.mp4"
    write_mp4(file, pixels.contiguous(), fps=fps, crf=crf)
    return fingerprint(str(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=40, help="clips of each level")
    parser.add_argument("--json", type=Path, help="file for the distances")
    parser.add_argument(
        "--pairs", type=int, help="instead, time the comparison of so many videos on one thread"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pairs:
        generator = torch.Generator().manual_seed(0)
        every = torch.randint(0, 256, (options.pairs, 512), generator=generator, dtype=torch.uint8)
        start = time.process_time()
        similar_copies(every)
        print(f"{options.pairs} videos: {time.process_time() - start:.1f} s of one core")
        return
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for level in LEVELS:
            for name, values in measure(Path(folder), level, options.videos).items():
                found.setdefault(name, []).extend(values)
    print(f"{'':34} {'pairs':>6} {'median':>8} {'5 %':>8} {'95 %':>8}   up to {THRESHOLD}")
    for name, values in found.items():
        low, middle, high = torch.tensor(values).quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
        share = sum(value <= THRESHOLD for value in values) / len(values)
        print(f"{name:34} {len(values):>6} {middle:>8.4f} {low:>8.4f} {high:>8.4f}   {share:.1%}")
    if options.json:
        options.json.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
