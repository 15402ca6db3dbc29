"""Clips a second from mp4 to a ready uint8 batch, against decoding: `python -m benchmarks.loader [--quick]`.

Videos are those of `benchmarks.decode`: 340 x 256, 300 frames, of which 16 are asked for, spread over the video
or four apart; H.264 as on the web with a keyframe every 250 or 12 frames, and made anew by `data prepare`. The
loader draws frames, decodes, crops and resizes to 224 x 224 (one crop as in masked pre-training, two of the
same frames, or RandAugment as in fine-tuning) and batches 8 videos; `decoding` reads the same frames and nothing
else. CPU time, in turns. With a worker, time is what its process and the one that receives its batches used, and
memory the most that the worker held in the first third of its batches and in all of them.
"""

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import measure
from benchmarks.moving_scene import encode, moving_scene
from tubelet.data.batch import ClipBatch
from tubelet.data.datasets import Transform, VideoDataset
from tubelet.data.encode import Encoding
from tubelet.data.input_spec import InputSpec
from tubelet.data.loader import TrainingOrder, training_loader
from tubelet.data.preparing.prepare_video import Preparation, prepare_video
from tubelet.data.randomness import view_generator
from tubelet.data.sample import Sample
from tubelet.data.transforms import FinetuneTransform, PretrainTransform
from tubelet.data.video import Video

BATCH = 8
PLANS = {
    "sparse": InputSpec(sampling="uniform").training_plan(),
    "dense": InputSpec().training_plan(),
}
CROP = PretrainTransform(image_size=224)
TRANSFORMS: dict[str, Transform] = {
    "one crop": CROP,
    "two crops": PretrainTransform(image_size=224, num_views=2),
    "RandAugment": FinetuneTransform(image_size=224),
}


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Loading, CPU milliseconds per clip, and the share of the decoding rate that is reached")
    figures, ratios, rows = {}, {}, []
    with tempfile.TemporaryDirectory() as name:
        files = videos(Path(name), 100 if arguments.quick else None)
        for file, path in files.items():
            for plan in PLANS:
                key = f"{file}, {plan}"
                figures[key] = compare(path, plan, rounds=2 if arguments.quick else 7)
                ratios[key] = figures[key].pop("ratios")
                milliseconds = figures[key]["milliseconds per clip"]
                rows.append(
                    [key, *milliseconds.values(), figures[key]["clips/s per core"], *ratios[key].values()]
                )
        columns = [f"{name} ms" for name in ("decoding", *TRANSFORMS)]
        shares = [f"decoding/{name}" for name in TRANSFORMS]
        measure.table(["file, frames", *columns, "clips/s per core", *shares], rows)
        apart = with_a_worker(files["GOP 12"], rounds=1 if arguments.quick else 12)
    figures["GOP 12, sparse, with a worker"] = apart
    print(f"GOP 12, sparse, one crop, with a worker, CPU milliseconds per clip and memory: {apart}\n")
    measure.finish("loader", figures=figures, ratios=ratios, keep=not arguments.quick)


def videos(folder: Path, length: int | None) -> dict[str, Path]:
    """The same pictures in several files."""
    pictures = moving_scene()[:length]
    found = {}
    for gop in (250, 12):
        found[f"GOP {gop}"] = folder / f"{gop}.mp4"
        encode(found[f"GOP {gop}"], pictures, gop)
    source = found["GOP 250"]
    for every in (1, 12):
        target = found[f"prepared, GOP {every}"] = folder / f"prepared{every}.mp4"
        prepare_video(str(source), target, Preparation(encoding=Encoding(keyframe_every=every)))
    return found


def dataset(path: Path, plan: str, transform: Transform) -> VideoDataset:
    """The same video many times, each time with other random frames and crops."""
    samples = [Sample(path=str(path), label=i % 5, id=str(i)) for i in range(64 * BATCH)]
    return VideoDataset(samples=samples, plan=PLANS[plan], transform=transform)


def batches(videos: VideoDataset, num_workers: int) -> Iterator[ClipBatch]:
    order = TrainingOrder(num_samples=len(videos), batch_size=BATCH, micro_batch_size=BATCH, seed=0)
    return training_loader(videos, order, start_step=0, num_steps=64, num_workers=num_workers, pin=False)


def compare(path: Path, plan: str, rounds: int) -> dict[str, Any]:
    """CPU time per clip of decoding alone and of loading with each transform, on the same frames."""
    works: dict[str, Callable[[], object]] = {"decoding": decoding(path, plan)}
    for name, transform in TRANSFORMS.items():
        loader = batches(dataset(path, plan, transform), num_workers=0)
        works[name] = lambda loader=loader: next(loader)
    taken = measure.take_turns(works, rounds=rounds, warmups=1)
    views = {name: getattr(TRANSFORMS.get(name, CROP), "num_views", 1) for name in works}
    per_clip = {name: [s / BATCH / views[name] for s in seconds] for name, seconds in taken.items()}
    return {
        "milliseconds per clip": {name: round(1000 * s, 1) for name, s in measure.medians(per_clip).items()},
        "clips/s per core": round(1 / statistics.median(per_clip["one crop"]), 1),
        "ratios": {name: measure.ratio(per_clip["decoding"], per_clip[name]) for name in TRANSFORMS},
    }


def decoding(path: Path, plan: str) -> Callable[[], object]:
    """Reads the frames that the loader's batches draw, in the same order."""
    order = TrainingOrder(num_samples=64 * BATCH, batch_size=BATCH, micro_batch_size=BATCH, seed=0)
    keys = order.micro_batches(0, 64)

    def work() -> None:
        for epoch, index in next(keys):
            with Video(path) as video:
                frames = PLANS[plan](len(video), view_generator(0, epoch, index))
                video.frames(frames.unique())

    return work


def with_a_worker(path: Path, rounds: int) -> dict[str, float]:
    """CPU time per clip where a worker fetches ahead: of the worker, and of the process that receives.

    What the worker holds at most must not grow with the number of batches.
    """
    loader = batches(dataset(path, "sparse", CROP), num_workers=1)
    next(loader)
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    before = (process_seconds(worker.pid), time.process_time())
    peaks = []
    for _ in range(3):
        for _ in range(4 * rounds // 3):
            next(loader)
        peaks.append(round(measure.peak_mib(worker.pid)))
    num_clips = 3 * (4 * rounds // 3) * BATCH
    spent = (process_seconds(worker.pid) - before[0], time.process_time() - before[1])
    milliseconds = {
        name: round(1000 * seconds / num_clips, 1)
        for name, seconds in zip(("worker", "receiver"), spent, strict=True)
    }
    return {**milliseconds, "peak MiB, first third": peaks[0], "peak MiB": peaks[-1]}


def process_seconds(pid: int) -> float:
    """CPU time of a process so far. Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
