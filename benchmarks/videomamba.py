"""VideoMamba on one CPU thread: `python -m benchmarks.videomamba [--quick]`.

 1. A training step (forward, loss, backward) and a forward pass of VideoMamba-Ti on one clip of 8 x 224², against
    the same model whose convolutions and scans are PyTorch's (`conv1d` and a lean loop over steps), interleaved,
    CPU time, outputs and gradients compared first. Both have what our command line sets: freed memory is kept,
    and on AMD processors oneDNN multiplies.
 2. Forward passes from 8 to 64 frames, against transformers of the same width with fused attention over all
    tokens jointly and divided in time and space (benchmarks/video_transformers.py): CPU time, the peak memory of
    fresh processes beyond model and clip, how both grow with the number of frames (the slope of a line
    through their logarithms; 1 is linear), and all of it as one plot, results/videomamba.svg.

The paper's headline compares with attention whose matrix of probabilities is in memory; that is measured on a
GPU (`python -m benchmarks.gpu`), where it was claimed.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.plot import Panel, write_plot
from benchmarks.scan_peers import lean_loop
from benchmarks.video_transformers import DividedAttention, JointAttention
from tubelet.layers import ssm
from tubelet.models import build_model, variant
from tubelet.ops.causal_conv1d import conv_definition
from tubelet.train.device import speed_up_cpu

FRAMES = (8, 16, 32, 64)
TRAIN = 8  # times faster than on the lean loop, asked for
LINEAR = (0.8, 1.2)  # slopes that pass as linear
MODELS = ("VideoMamba-Ti", "divided attention", "joint attention")


def main() -> None:
    torch.set_num_threads(1)
    if "PEAK_OF" in os.environ:
        print(peak_of(*os.environ["PEAK_OF"].split(",")))
        return
    arguments = measure.options(__doc__)
    speed_up_cpu()
    measure.headline("VideoMamba, CPU seconds of one thread")
    frames, size, rounds = ((2, 4), 64, 1) if arguments.quick else (FRAMES, 224, 5)
    taken = against_the_loop(size, frames[0], rounds)
    figures: dict[str, Any] = {"against the lean loop": measure.medians(taken)}
    ratios: dict[str, Any] = {
        step: measure.ratio(taken[f"lean loop {step}"], taken[f"ours {step}"])
        for step in ("forward", "train")
    }
    measure.table(["VideoMamba-Ti", "s"], list(figures["against the lean loop"].items()))
    met = "met" if ratios["train"] >= TRAIN else "missed"
    print(f"lean loop / ours: forward {ratios['forward']}, train {ratios['train']} (target {TRAIN}: {met})\n")
    seconds = seconds_by_frames(frames, size, 1 if arguments.quick else 3)
    memory = {name: [pass_memory(name, n, size) for n in frames] for name in MODELS}
    figures["frames"], figures["seconds"], figures["MiB"] = list(frames), seconds, memory
    ratios["slopes"] = {
        name: {"time": slope(frames, seconds[name]), "memory": slope(frames, memory[name])} for name in MODELS
    }
    show_growth(frames, seconds, memory, ratios["slopes"])
    if not arguments.quick:
        draw(frames, seconds, memory)
    measure.finish("videomamba", figures=figures, ratios=ratios, keep=not arguments.quick)


def against_the_loop(size: int, frames: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of both models' forward passes and training steps."""
    torch.manual_seed(0)
    model = build_model(variant("videomamba_tiny"))
    clip = torch.randn(1, 3, frames, size, size)
    target = torch.tensor([3])

    def forward() -> Tensor:
        with torch.no_grad():
            return model(clip)

    def train() -> Tensor:
        model.zero_grad()
        nn.functional.cross_entropy(model(clip), target).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    def looped(work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            with lean_mixers():
                return work()

        return run

    works = {"forward": forward, "train": train}
    for step, work in works.items():
        ours, theirs = work(), looped(work)()
        off = float((ours - theirs).norm() / theirs.norm())
        if not off < 1e-3:
            raise SystemExit(f"{step} differs by {off:.2g} of its size; it must not be timed")
    variants = {f"ours {step}": work for step, work in works.items()}
    variants |= {f"lean loop {step}": looped(work) for step, work in works.items()}
    return measure.take_turns(variants, rounds=rounds, warmups=0)


@contextmanager
def lean_mixers() -> Iterator[None]:
    """Mixers that convolve and scan with PyTorch alone."""
    own = ssm.bidirectional_scan, ssm.bidirectional_conv1d
    ssm.bidirectional_scan, ssm.bidirectional_conv1d = lean_bidirectional_scan, lean_conv
    try:
        yield
    finally:
        ssm.bidirectional_scan, ssm.bidirectional_conv1d = own


def lean_conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return conv_definition(x, weight, bias, silu=True, reverse=(False, True))


def lean_bidirectional_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor, **_: Any
) -> Tensor:
    ahead = lean_loop(u[0], delta[0], A[0], B[0], C[0], D[0], z, bias[0])
    flipped = [x.flip(1) for x in (u[1], delta[1], B[1], C[1], z)]
    back = lean_loop(flipped[0], flipped[1], A[1], flipped[2], flipped[3], D[1], flipped[4], bias[1])
    return ahead + back.flip(1)


def fresh(name: str) -> nn.Module:
    if name == "VideoMamba-Ti":
        return build_model(variant("videomamba_tiny")).eval()
    return (DividedAttention() if name == "divided attention" else JointAttention()).eval()


def seconds_by_frames(frames: Sequence[int], size: int, rounds: int) -> dict[str, list[float]]:
    """Medians of forward passes, all models taking turns at each number of frames."""
    models = {name: fresh(name) for name in MODELS}
    found: dict[str, list[float]] = {name: [] for name in MODELS}
    for n in frames:
        clip = torch.randn(1, 3, n, size, size)

        def of(model: nn.Module, clip: Tensor = clip) -> Callable[[], object]:
            def work() -> object:
                with torch.inference_mode():
                    return model(clip)

            return work

        taken = measure.take_turns({name: of(m) for name, m in models.items()}, rounds=rounds, warmups=1)
        for name, median in measure.medians(taken).items():
            found[name].append(median)
    return found


def pass_memory(name: str, frames: int, size: int) -> float:
    """Peak MiB of a process that runs one forward pass beyond one that only has the model and the clip."""
    ran, idle = (peak_in_child(name, frames, size, what) for what in ("run", "idle"))
    return round(ran - idle, 1)


def peak_in_child(name: str, frames: int, size: int, what: str) -> float:
    os.environ["PEAK_OF"] = f"{name},{frames},{size},{what}"
    try:
        return float(measure.child_output("benchmarks.videomamba"))
    finally:
        del os.environ["PEAK_OF"]


def peak_of(name: str, frames: str, size: str, what: str) -> float:
    """In the child: build a model, run it or not, and tell the most memory the process ever held."""
    clip, model = torch.randn(1, 3, int(frames), int(size), int(size)), fresh(name)
    if what == "run":
        with torch.inference_mode():
            model(clip)
    return round(measure.peak_mib(), 1)


def slope(frames: Sequence[int], values: Sequence[float]) -> float:
    """Of the straight line through the logarithms of both (least squares)."""
    xs, ys = [math.log(n) for n in frames], [math.log(max(v, 1e-9)) for v in values]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    return round(
        sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / sum((a - x) ** 2 for a in xs), 2
    )


def show_growth(
    frames: Sequence[int],
    seconds: dict[str, list[float]],
    memory: dict[str, list[float]],
    slopes: dict[str, dict[str, float]],
) -> None:
    columns = [f"{n} frames" for n in frames]
    for title, values, what in (
        ("forward, s", seconds, "time"),
        ("memory of the pass, MiB", memory, "memory"),
    ):
        rows = [[name, *values[name], slopes[name][what]] for name in MODELS]
        measure.table([title, *columns, "slope"], rows)
    own = slopes["VideoMamba-Ti"]
    linear = all(LINEAR[0] <= value <= LINEAR[1] for value in own.values())
    print(
        f"VideoMamba-Ti grows linearly (slopes from {LINEAR[0]} to {LINEAR[1]}): {'yes' if linear else 'NO'}\n"
    )


def draw(frames: Sequence[int], seconds: dict[str, list[float]], memory: dict[str, list[float]]) -> None:
    where = measure.machine()
    versions = f"torch {where['versions']['torch']}"
    note = f"batch 1, 224², float32, one thread of {where['cpu']}, {where['date']}, {versions}"
    write_plot(
        measure.RESULTS / "videomamba.svg",
        "Forward pass of one clip: width 192",
        note,
        [
            Panel(title="CPU seconds", x=frames, x_label="frames", curves=seconds),
            Panel(title="peak memory beyond model and clip, MiB", x=frames, x_label="frames", curves=memory),
        ],
    )


if __name__ == "__main__":
    main()
