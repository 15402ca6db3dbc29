"""VideoMamba on a GPU from 8 to 64 frames, against attention: clips per second and peak memory.

VideoMamba-Ti and -M, and transformers of Ti's width (benchmarks/video_transformers.py): joint attention over all
tokens with torch's fused kernel, the same with its matrix of probabilities in memory (what the paper's "6 times
faster with 40 times less memory at 64 frames" compares with), and attention divided in time and space. Clips of
224², random weights, bf16 autocast, all models with the same batch at each length; forward without gradients, as
in the paper, and a training step (forward, loss, backward) of all but the unfused one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.video_transformers import DividedAttention, JointAttention
from tubelet.models import build_model, variant

# Clips at each number of frames: about as many frames in all.
BATCHES = {8: 64, 16: 32, 32: 16, 64: 8}
MODELS = ("VideoMamba-Ti", "VideoMamba-M", "joint fused", "joint unfused", "divided")
PAPER = 6  # times the throughput of unfused joint attention at 64 frames
AGREES = 2e-2  # of the largest logit, between the GPU in float32 and the CPU

Figures = dict[str, dict[str, float]]


def fresh(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name.startswith("VideoMamba"):
        return build_model(variant("videomamba_tiny" if name.endswith("Ti") else "videomamba_middle"))
    return DividedAttention() if name == "divided" else JointAttention(fused=name == "joint fused")


def videomamba_checks() -> dict[str, bool]:
    """Whether a model computes on the GPU what it computes on the CPU, and what float32 does in bf16."""
    model, clip = fresh("VideoMamba-Ti").eval(), torch.randn(1, 3, 8, 224, 224)
    with torch.inference_mode():
        expected = model(clip)
        model, clip = model.cuda(), clip.cuda()
        found = model(clip)
        with torch.autocast("cuda", torch.bfloat16):
            half = model(clip)
    largest = float(expected.abs().max())
    return {
        "VideoMamba-Ti as on the CPU": float((found.cpu() - expected).abs().max()) < AGREES * largest,
        "VideoMamba-Ti in bf16 near float32": float((half.float().cpu() - expected).abs().max())
        < 0.1 * largest,
    }


def videomamba_times(*, quick: bool) -> tuple[dict[str, Figures], dict[str, dict[str, float]]]:
    """Clips per second and peak GiB of every model at every length, and their throughput beside Ti's."""
    figures: dict[str, Figures] = {}
    ratios: dict[str, dict[str, float]] = {}
    for frames, batch in list(BATCHES.items())[:1] if quick else BATCHES.items():
        clip = torch.randn(batch, 3, frames, 224, 224, device="cuda")
        for step in ("forward", "train"):
            names = [name for name in MODELS if step == "forward" or name != "joint unfused"]
            works = {name: work(fresh(name).cuda(), clip, step) for name in names}
            taken = measure.take_turns(works, rounds=3, warmups=1, seconds=measure.gpu_seconds)
            seconds = measure.medians(taken)
            key = f"{step} {frames} frames, batch {batch}"
            figures[key] = {
                name: {"clips/s": round(batch / seconds[name], 1), "peak GiB": peak_gib(works[name])}
                for name in names
            }
            ratios[key] = {
                f"{name} / VideoMamba-Ti": measure.ratio(taken[name], taken["VideoMamba-Ti"])
                for name in names
                if not name.startswith("VideoMamba")
            }
            del works
            torch.cuda.empty_cache()
    return figures, ratios


def work(model: nn.Module, clip: Tensor, step: str) -> Callable[[], object]:
    target = torch.zeros(len(clip), dtype=torch.long, device="cuda")

    def forward() -> Tensor:
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16):
            return model(clip)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(clip)
        nn.functional.cross_entropy(logits.float(), target).backward()

    return forward if step == "forward" else train


def peak_gib(run: Callable[[], object]) -> float:
    """The most that one call holds beyond what was there before it."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return round((torch.cuda.max_memory_allocated() - before) / 2**30, 3)


def show_videomambas(figures: dict[str, Figures], ratios: dict[str, dict[str, float]]) -> None:
    rows = []
    for key, models in figures.items():
        for name, figure in models.items():
            times = ratios[key].get(f"{name} / VideoMamba-Ti", "-")
            rows.append([f"{key}: {name}", figure["clips/s"], figure["peak GiB"], times])
    measure.table(["bf16 autocast", "clips/s", "peak GiB", "its time / Ti's"], rows)
    last = next((key for key in ratios if key.startswith("forward 64")), None)
    if last is not None:
        unfused, fused = (
            ratios[last][f"{name} / VideoMamba-Ti"] for name in ("joint unfused", "joint fused")
        )
        verdict = "met" if unfused >= PAPER else "missed"
        print(f"64 frames: {unfused} times unfused joint attention (asked {PAPER}: {verdict})")
        print(f"           {fused} times fused joint attention\n")
