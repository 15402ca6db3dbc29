"""X-CLIP B/16 on a GPU: 8 frames of 224², 400 texts already embedded, against `transformers` with sdpa.

Random weights, bf16 autocast for both, the same batch. The forward pass with prompts moves every text for every
video. A training step is ours alone: transformers has no loss over classes.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import measure
from benchmarks.gpu_videomamba import peak_gib
from benchmarks.xclip_peer import our_model, their_model, with_our_weights
from tubelet.models.xclip import B16, XCLIP

BATCH, TRAINING_BATCH, NUM_TEXTS = 16, 8, 400
AGREES, AGREES_IN_BF16 = 2e-2, 0.1  # of the largest value

Figures = dict[str, dict[str, float]]


def xclip_checks() -> dict[str, bool]:
    """Whether X-CLIP computes on the GPU what it computes on the CPU, and nearly so in bf16."""
    model, clip = our_model(B16), torch.randn(1, 3, 8, 224, 224)
    texts = torch.randn(NUM_TEXTS, B16.embed_dim)
    with torch.inference_mode():
        expected = model(clip, texts)
        there = model.cuda()
        found = there(clip.cuda(), texts.cuda())
        with torch.autocast("cuda", torch.bfloat16):
            half = there(clip.cuda(), texts.cuda())
    largest = float(expected.abs().max())
    return {
        "X-CLIP B/16 as on the CPU": float((found.cpu() - expected).abs().max()) < AGREES * largest,
        "X-CLIP B/16 in bf16 near float32": float((half.float().cpu() - expected).abs().max())
        < AGREES_IN_BF16 * largest,
    }


def xclip_times(*, quick: bool) -> tuple[dict[str, Figures], dict[str, dict[str, float]]]:
    """Clips per second and peak GiB, and transformers' time beside ours."""
    ours = our_model(B16).cuda()
    theirs = with_our_weights(their_model(B16, "sdpa"), our_model(B16)).cuda()
    clip = torch.randn(BATCH // (4 if quick else 1), 3, 8, 224, 224, device="cuda")
    frames = clip.transpose(1, 2).contiguous()
    texts = torch.randn(NUM_TEXTS, B16.embed_dim, device="cuda")
    learner = copy.deepcopy(ours)
    works: dict[str, Callable[[], object]] = {
        "ours video": lambda: ours.features(clip),
        "sdpa video": lambda: theirs.get_video_features(pixel_values=frames).pooler_output,
        "ours, prompts for 400 texts": lambda: ours(clip, texts),
    }
    works = {name: forward(work) for name, work in works.items()}
    works["ours training step"] = training_step(learner, clip[:TRAINING_BATCH], texts)
    taken = measure.take_turns(works, rounds=3, warmups=1, seconds=measure.gpu_seconds)
    seconds = measure.medians(taken)
    batches = {name: min(TRAINING_BATCH, len(clip)) if "training" in name else len(clip) for name in works}
    key = f"X-CLIP B/16, batch {len(clip)}"
    figures = {
        name: {"clips/s": round(batches[name] / seconds[name], 1), "peak GiB": peak_gib(work)}
        for name, work in works.items()
    }
    return {key: figures}, {key: {"sdpa / ours": measure.ratio(taken["sdpa video"], taken["ours video"])}}


def forward(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            return work()

    return run


def training_step(model: XCLIP, clip: Tensor, texts: Tensor) -> Callable[[], None]:
    """Forward and backward over all texts, which are frozen as published."""
    target = torch.zeros(len(clip), dtype=torch.long, device="cuda")

    def run() -> None:
        model.train().zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(clip, texts)
        F.cross_entropy(logits.float(), target).backward()

    return run


def show_xclip(figures: dict[str, Figures], ratios: dict[str, dict[str, float]]) -> None:
    for key, works in figures.items():
        rows = [[name, figure["clips/s"], figure["peak GiB"]] for name, figure in works.items()]
        measure.table([f"{key}, bf16 autocast", "clips/s", "peak GiB"], rows)
        print(f"transformers' time over ours, video alone: {ratios[key]['sdpa / ours']}\n")
