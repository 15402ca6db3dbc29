"""All code that runs on a GPU, checked and timed in a few minutes: `python -m benchmarks.gpu [--quick]`.

 1. Tests marked `gpu`.
 2. Transforms and `to_model` on the GPU against the CPU, within one grey level.
 3. VideoMAE on the GPU against the CPU and against `transformers` with the same weights.
 4. Forward and pre-training step of ViT-S and ViT-B, float32 and bfloat16, against `transformers` with sdpa:
    seconds between two synchronisations, interleaved, and peak memory.
 5. Selective scan and causal convolution against their definitions in float64; the scan's time against a plain
    chunked version in PyTorch and against the floors of bytes and exponentials (see benchmarks/gpu_scans.py).
 6. VideoMamba-Ti and -M from 8 to 64 frames against joint (fused and not) and divided attention
    (see benchmarks/gpu_videomamba.py).
 7. X-CLIP B/16 against `transformers`, with prompts for 400 texts, and a training step (see gpu_xclip.py).
 8. UniFormerV2 B/16 against its plain writing, and training steps of it and of ViCLIP (see gpu_uniformerv2.py).

Ends with status 1 when a check fails, and at once where torch sees no CUDA device.
"""

import copy
import re
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import measure, peer
from benchmarks.gpu_scans import scan_checks, scan_times, show_scans
from benchmarks.gpu_uniformerv2 import show_uniformerv2, uniformerv2_checks, uniformerv2_times
from benchmarks.gpu_videomamba import show_videomambas, videomamba_checks, videomamba_times
from benchmarks.gpu_xclip import show_xclip, xclip_checks, xclip_times
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import (
    IMAGENET_STD,
    EvalTransform,
    FinetuneTransform,
    MultiscaleTransform,
    PretrainTransform,
    to_model,
)
from tubelet.models.videomae import ClassifierConfig, PretrainerConfig

SIZES = ("small", "base")
FORWARD_BATCH, PRETRAIN_BATCH = 16, 32
GREY_LEVEL = 1.0
CHAINED = 1e-4  # share of values

Work = Callable[[], Tensor]


def main() -> None:
    arguments = measure.options(__doc__)
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks.gpu needs a GPU: torch sees no CUDA device here; nothing was checked")
    measure.headline("tubelet on a GPU")
    checks = {
        "tests marked gpu": marked_tests(),
        **transform_checks(),
        **scan_checks(),
        **videomamba_checks(),
        **xclip_checks(),
        **uniformerv2_checks(),
    }
    figures, ratios = {}, {}
    for size in SIZES[:1] if arguments.quick else SIZES:
        for step, prepare in (("forward", forward_works), ("pretrain", pretrain_works)):
            works, found = prepare(size)
            checks |= {f"{step} {size}: {what}": passed for what, passed in found.items()}
            figures[f"{step} {size}"], ratios[f"{step} {size}"] = timed(works, quick=arguments.quick)
            del works
            torch.cuda.empty_cache()
    show(figures, ratios)
    scans, scan_ratios = scan_times(quick=arguments.quick)
    show_scans(scans, scan_ratios)
    mambas, mamba_ratios = videomamba_times(quick=arguments.quick)
    show_videomambas(mambas, mamba_ratios)
    xclips, xclip_ratios = xclip_times(quick=arguments.quick)
    show_xclip(xclips, xclip_ratios)
    uniformers, uniformer_ratios = uniformerv2_times(quick=arguments.quick)
    show_uniformerv2(uniformers, uniformer_ratios)
    figures = figures | scans | mambas | xclips | uniformers
    ratios = ratios | scan_ratios | mamba_ratios | xclip_ratios | uniformer_ratios
    measure.table(["check", "passed"], [[what, "yes" if passed else "NO"] for what, passed in checks.items()])
    name = "gpu-" + re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower())
    figures["checks"] = checks
    measure.finish(name, figures=figures, ratios=ratios, keep=not arguments.quick)
    if not all(checks.values()):
        raise SystemExit(1)


def marked_tests() -> bool:
    """Whether the tests that need a GPU pass."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--tb=line", "tests"]
    return subprocess.run(command, check=False).returncode == 0


def transform_checks(device: str = "cuda") -> dict[str, bool]:
    """Whether each transform gives the same bytes on both devices, within one grey level.

    Of operations in a chain, one may enlarge a level of difference that another has left; of those a few values
    may differ more.
    """
    chained = ("fine-tune transform", "multi-scale transform")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (16, 256, 340, 3), generator=generator, dtype=torch.uint8).permute(
        0, 3, 1, 2
    )
    transforms = {
        "pre-train transform": PretrainTransform(image_size=224, flip=0.5),
        "fine-tune transform": FinetuneTransform(image_size=224),
        "fine-tune transform without RandAugment": FinetuneTransform(image_size=224, randaugment=None),
        "multi-scale transform": MultiscaleTransform(image_size=224),
        "evaluation transform": EvalTransform(image_size=224, num_crops=3),
        "evaluation transform with antialias": EvalTransform(image_size=224, num_crops=3, antialias=True),
    }
    checks = {}
    for name, transform in transforms.items():
        here, there = (transform(x, counter_generator(name)) for x in (pixels, pixels.to(device)))
        beyond = float(((here.float() - there.cpu().float()).abs() > GREY_LEVEL).float().mean())
        checks[name] = beyond <= (CHAINED if name in chained else 0.0)
    clip = pixels.transpose(0, 1)[None]
    difference = (to_model(clip) - to_model(clip.to(device)).cpu()).abs().max()
    checks["to_model"] = float(difference) <= GREY_LEVEL / (255 * max(IMAGENET_STD))
    return checks


def forward_works(size: str) -> tuple[dict[str, Work], dict[str, bool]]:
    """Ours and theirs in both precisions, and whether they agree."""
    config, ours, theirs = both_models(f"videomae_{size}")
    clip, _ = peer.random_input(config, FORWARD_BATCH)
    on_cpu = peer.forward(ours, clip[:1], ours=True)()
    clip = clip.cuda()
    works: dict[str, Work] = {}
    for dtype in (torch.float32, torch.bfloat16):
        for form, model in (("ours", ours), ("sdpa", theirs)):
            moved = copy.deepcopy(model).to("cuda", dtype)
            works[f"{form} {short(dtype)}"] = peer.forward(moved, clip, ours=form == "ours")
    outputs = {name: work() for name, work in works.items()}
    return works, agreements(outputs) | {
        "float32 as on the CPU": peer.difference(outputs["ours fp32"][:1].cpu(), on_cpu) < 1e-3
    }


def pretrain_works(size: str) -> tuple[dict[str, Work], dict[str, bool]]:
    """Ours and theirs in float32 and under autocast, and whether losses and gradients agree."""
    config, ours, theirs = both_models(f"videomae_{size}_pretrain")
    clip, masked = (x.cuda() for x in peer.random_input(config, PRETRAIN_BATCH))
    works: dict[str, Work] = {}
    outputs, gradients = {}, {}
    for form, model in (("ours", ours.cuda()), ("sdpa", theirs.cuda())):
        for dtype in (torch.float32, torch.bfloat16):
            name = f"{form} {short(dtype)}"
            autocast = dtype == torch.bfloat16
            works[name] = peer.pretrain_step(model, clip, masked, ours=form == "ours", autocast=autocast)
            outputs[name] = works[name]()
            gradients[name] = peer.embed_gradient(model).clone()
        model.zero_grad(set_to_none=True)
    gradient = peer.difference(gradients["ours fp32"], gradients["sdpa fp32"])
    return works, agreements(outputs) | {"float32 gradient as theirs": gradient < 1e-2}


def both_models(name: str) -> tuple[ClassifierConfig | PretrainerConfig, nn.Module, nn.Module]:
    config = peer.our_config(name)
    ours = peer.our_model(config)
    return config, ours, peer.with_our_weights(peer.their_model(config, "sdpa"), ours)


def short(dtype: torch.dtype) -> str:
    return "fp32" if dtype == torch.float32 else "bf16"


def agreements(outputs: dict[str, Tensor]) -> dict[str, bool]:
    exact = outputs["sdpa fp32"]
    return {
        "float32 as theirs": peer.difference(outputs["ours fp32"], exact) < 1e-3,
        "bfloat16 near float32": peer.difference(outputs["ours bf16"], exact) < 0.05,
    }


def timed(works: dict[str, Work], *, quick: bool) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Median seconds and peak GiB of every form, and their time over ours in each precision."""
    taken = measure.take_turns(works, rounds=3 if quick else 15, warmups=3, seconds=measure.gpu_seconds)
    seconds = measure.medians(taken)
    figures = {name: {"seconds": seconds[name], "peak GiB": peak_gib(work)} for name, work in works.items()}
    return figures, {
        dtype: measure.ratio(taken[f"sdpa {dtype}"], taken[f"ours {dtype}"]) for dtype in ("fp32", "bf16")
    }


def peak_gib(work: Work) -> float:
    """The most memory that tensors hold during one call, weights included."""
    torch.cuda.reset_peak_memory_stats()
    work()
    return round(torch.cuda.max_memory_allocated() / 2**30, 2)


def show(figures: dict[str, dict[str, dict[str, float]]], ratios: dict[str, dict[str, float]]) -> None:
    rows = []
    for step, forms in figures.items():
        batch = FORWARD_BATCH if step.startswith("forward") else PRETRAIN_BATCH
        for dtype, ratio in ratios[step].items():
            ours, theirs = forms[f"ours {dtype}"], forms[f"sdpa {dtype}"]
            clips = f"{batch / ours['seconds']:.0f}"
            times = [f"{1000 * form['seconds']:.1f}" for form in (ours, theirs)]
            rows.append(
                [f"{step} {dtype}, batch {batch}", *times, ratio, clips, ours["peak GiB"], theirs["peak GiB"]]
            )
    columns = ["ours ms", "sdpa ms", "sdpa/ours", "clips/s", "ours GiB", "sdpa GiB"]
    measure.table(["step", *columns], rows)


if __name__ == "__main__":
    main()
