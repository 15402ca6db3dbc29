"""UniFormerV2 and ViCLIP B/16 on a GPU: 8 frames of 224², against the plain writing of uniformerv2_peer.py.

Random weights, bf16 autocast for both sides, the same batch. Training steps are ours alone: of all of
UniFormerV2, of what is trained behind a frozen CLIP (clips seen anew, and features at hand), of the model for
motion on 16 frames, and of ViCLIP on whole videos and with nine tenths hidden.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure
from benchmarks import uniformerv2_peer as peer
from benchmarks.gpu_videomamba import peak_gib
from benchmarks.uniformerv2 import masked_steps
from tubelet.models.uniformerv2 import VARIANTS
from tubelet.models.viclip import VARIANTS as VICLIPS

DEVICE = "cuda"
MODEL, MOTION, VICLIP = (
    VARIANTS["uniformerv2_b16"],
    VARIANTS["uniformerv2_b16_ssv2"],
    VICLIPS["viclip_b16"],
)
BATCH, TRAINING_BATCH = 16, 8
AGREES, AGREES_IN_BF16 = 2e-2, 0.1  # of the largest value

Figures = dict[str, dict[str, float]]


def uniformerv2_checks() -> dict[str, bool]:
    """Whether UniFormerV2, also for motion, computes on the GPU what it does on the CPU; nearly so in bf16."""
    checks = {}
    for name, config in (("B/16", MODEL), ("B/16 for motion", MOTION)):
        model, clip = peer.our_model(config), peer.random_clip(config)
        with torch.inference_mode():
            expected = model(clip)
            there = model.to(DEVICE)
            found = there(clip.to(DEVICE)).cpu()
            with torch.autocast(DEVICE, torch.bfloat16):
                half = there(clip.to(DEVICE)).float().cpu()
        checks[f"UniFormerV2 {name} as on the CPU"] = peer.difference(found, expected) < AGREES
        checks[f"UniFormerV2 {name} in bf16 near float32"] = peer.difference(half, expected) < AGREES_IN_BF16
    return checks


def uniformerv2_times(*, quick: bool) -> tuple[dict[str, Figures], dict[str, dict[str, float]]]:
    """Clips per second and peak GiB, and the plain writing's time beside ours."""
    batch, training_batch = (BATCH // 4, 2) if quick else (BATCH, TRAINING_BATCH)
    ours = peer.our_model(MODEL)
    plain = {form: peer.plain_model(ours, form).to(DEVICE) for form in peer.FORMS}
    ours, clip = ours.to(DEVICE), peer.random_clip(MODEL, batch).to(DEVICE)
    works: dict[str, Callable[[], object]] = {
        "ours forward": forward(lambda: ours(clip)),
        **{form: forward(lambda model=model: model(clip)) for form, model in plain.items()},
        **training_steps(training_batch),
    }
    seconds = measure.take_turns(works, rounds=3, warmups=1, seconds=measure.gpu_seconds)
    middle = measure.medians(seconds)
    clips = {name: training_batch if "step" in name else batch for name in works}
    key = f"UniFormerV2 B/16, batch {batch}"
    figures = {
        name: {"clips/s": round(clips[name] / middle[name], 1), "peak GiB": peak_gib(work)}
        for name, work in works.items()
    }
    ratios = {f"{form} / ours": measure.ratio(seconds[form], seconds["ours forward"]) for form in peer.FORMS}
    return {key: figures}, {key: ratios}


def training_steps(batch: int) -> dict[str, Callable[[], object]]:
    """Forward, loss and backward of every kind of model."""
    frozen = replace(MODEL, encoder=replace(MODEL.encoder, frozen_backbone=True))
    models = {"all": MODEL, "frozen": frozen, "motion": MOTION}
    built = {name: peer.our_model(config).to(DEVICE).train() for name, config in models.items()}
    clips = {name: peer.random_clip(config, batch).to(DEVICE) for name, config in models.items()}
    with torch.no_grad(), torch.autocast(DEVICE, torch.bfloat16):
        found = built["frozen"].backbone_features(clips["frozen"])
    steps: dict[str, Callable[[], object]] = {
        f"step, {name}": step(model, lambda model=model, clip=clips[name]: model(clip))
        for name, model in built.items()
    }
    steps["step, frozen, features at hand"] = step(built["frozen"], lambda: built["frozen"].logits(found))
    for name, work in masked_steps(VICLIP, batch=batch, device=DEVICE).items():
        steps[f"ViCLIP step, {name}"] = in_bf16(work)
    return steps


def step(model: nn.Module, logits: Callable[[], Tensor]) -> Callable[[], object]:
    def run() -> None:
        model.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE, torch.bfloat16):
            scores = logits()
        F.cross_entropy(scores.float(), torch.zeros(len(scores), dtype=torch.long, device=DEVICE)).backward()

    return run


def in_bf16(work: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with torch.autocast(DEVICE, torch.bfloat16):
            return work()

    return run


def forward(work: Callable[[], object]) -> Callable[[], object]:
    half = in_bf16(work)

    def run() -> object:
        with torch.inference_mode():
            return half()

    return run


def show_uniformerv2(figures: dict[str, Figures], ratios: dict[str, dict[str, float]]) -> None:
    for key, works in figures.items():
        rows = [[name, figure["clips/s"], figure["peak GiB"]] for name, figure in works.items()]
        measure.table([f"{key}, bf16 autocast", "clips/s", "peak GiB"], rows)
        print(f"the plain writing's time over ours: {ratios[key]}\n")
