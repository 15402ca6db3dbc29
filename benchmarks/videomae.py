"""VideoMAE against the one of `transformers`: `python -m benchmarks.videomae [--quick]`.

Fine-tune forward and pre-train step (forward, target, loss, backward; nine tenths masked) of ViT-S and ViT-B on
16 x 224² clips, same weights, outputs compared before anything is timed. One thread, CPU time, one interleaved
run. In float32 a setting of the process decides who multiplies (see `tubelet.train.device.speed_up_cpu`), so
there are three comparisons:

  plain       neither side has it
  both oneDNN both sides have it
  as shipped  ours with it, as our command line runs, theirs without, as transformers comes

In bfloat16 the setting changes nothing: weights and clip are bfloat16 in the forward, training uses autocast.
Peak memory is that of fresh processes which import both libraries, at batch 2.
"""

import copy
import gc
import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import measure, peer
from tubelet.models.videomae import ClassifierConfig, PretrainerConfig

FORMS = ("ours", "eager", "sdpa")
SIZES = ("small", "base")
MEMORY_RUNS = (
    *((form, "fp32") for form in FORMS),
    ("ours", "fp32 oneDNN"),
    *((form, "bf16") for form in FORMS),
)
# Where both sides call the same kernels the ratio is 1 within a few hundredths either way; that is a tie.
FASTER_THAN_EAGER, NOT_SLOWER, LESS_MEMORY = 1.25, 0.97, 0.85

Work = Callable[[], Tensor]


def main() -> None:
    if "PEAK_OF" in os.environ:
        print(peak_of(*os.environ["PEAK_OF"].split(",")))
        return
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("VideoMAE against transformers, CPU seconds of one thread")
    sizes, image_size = (SIZES[:1], 112) if arguments.quick else (SIZES, 224)
    # The check of the outputs has warmed everything up once already.
    rounds, warmups = (2, 1) if arguments.quick else (7, 1)
    figures, ratios = {}, {}
    for step, variants in (("forward", forward_variants), ("pretrain", pretrain_variants)):
        for size in sizes:
            taken = measure.take_turns(variants(size, image_size), rounds=rounds, warmups=warmups)
            figures[f"{step} {size}"] = measure.medians(taken)
            ratios[f"{step} {size}"] = compare(taken)
            show(f"{step} ViT-{size[0].upper()}", figures[f"{step} {size}"], ratios[f"{step} {size}"])
            gc.collect()
    for size in sizes if not arguments.quick else ():
        peaks = measured_peaks(size, image_size)
        figures[f"peak MiB {size}"] = peaks
        ratios[f"peak memory {size}"] = compare_peaks(peaks)
        show_peaks(size, peaks, ratios[f"peak memory {size}"])
    measure.finish("videomae", figures=figures, ratios=ratios, keep=not arguments.quick)


def forward_variants(size: str, image_size: int) -> dict[str, Work]:
    """Every form of the classifier's forward pass, batch 1."""
    config = peer.our_config(f"videomae_{size}", image_size=image_size)
    models = same_models(config)
    clip, _ = peer.random_input(config, batch=1)
    variants: dict[str, Work] = {}
    for form, model in models.items():
        work = peer.forward(model, clip, ours=form == "ours")
        variants |= {f"{form} fp32": plain(work), f"{form} fp32 oneDNN": onednn(work)}
        half = copy.deepcopy(model).bfloat16()
        variants[f"{form} bf16"] = plain(peer.forward(half, clip, ours=form == "ours"))
    check(variants)
    return variants


def pretrain_variants(size: str, image_size: int) -> dict[str, Work]:
    """Every form of a pre-training step without optimiser, batch 1."""
    config = peer.our_config(f"videomae_{size}_pretrain", image_size=image_size)
    models = same_models(config)
    clip, masked = peer.random_input(config, batch=1)
    variants: dict[str, Work] = {}
    gradients = {}
    for form, model in models.items():
        ours = form == "ours"
        work = peer.pretrain_step(model, clip, masked, ours=ours, autocast=False)
        variants |= {f"{form} fp32": plain(work), f"{form} fp32 oneDNN": onednn(work)}
        variants[f"{form} bf16"] = plain(peer.pretrain_step(model, clip, masked, ours=ours, autocast=True))
        variants[f"{form} fp32"]()
        gradients[form] = peer.embed_gradient(model)
        model.zero_grad()
    for form in FORMS[1:]:
        agree("gradient", form, peer.difference(gradients["ours"], gradients[form]), 1e-3)
    check(variants)
    return variants


def same_models(config: ClassifierConfig | PretrainerConfig) -> dict[str, nn.Module]:
    """Our model and both forms of theirs, with the same weights."""
    ours = peer.our_model(config)
    theirs = {form: peer.with_our_weights(peer.their_model(config, form), ours) for form in FORMS[1:]}
    return {"ours": ours, **theirs}


def plain(work: Work) -> Work:
    return lambda: with_precision("none", work)


def onednn(work: Work) -> Work:
    return lambda: with_precision("bf16", work)


def with_precision(precision: str, work: Work) -> Tensor:
    torch.backends.mkldnn.matmul.fp32_precision = precision  # pyright: ignore[reportAttributeAccessIssue]
    return work()


def check(variants: dict[str, Work]) -> None:
    """All forms compute the same before they are timed."""
    outputs = {name: work() for name, work in variants.items()}
    for name, output in outputs.items():
        tolerance = 0.05 if name.endswith("bf16") else 1e-4
        agree("output", name, peer.difference(output, outputs["eager fp32"]), tolerance)


def agree(what: str, form: str, difference: float, tolerance: float) -> None:
    if not difference <= tolerance:
        raise SystemExit(
            f"{what} of {form!r} differs by {difference:.2g} of its largest value; it must not be timed"
        )


def compare(taken: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Their time over ours, in each comparison, for each of their forms."""
    pairs = {
        "fp32 plain": ("fp32", "fp32"),
        "fp32 both oneDNN": ("fp32 oneDNN", "fp32 oneDNN"),
        "fp32 as shipped": ("fp32", "fp32 oneDNN"),
        "bf16": ("bf16", "bf16"),
    }
    return {
        name: {f: measure.ratio(taken[f"{f} {theirs}"], taken[f"ours {ours}"]) for f in FORMS[1:]}
        for name, (theirs, ours) in pairs.items()
    }


def show(title: str, seconds: dict[str, float], ratios: dict[str, dict[str, float]]) -> None:
    rows = []
    for name, ratio in ratios.items():
        theirs = {"fp32 plain": "fp32", "fp32 as shipped": "fp32", "fp32 both oneDNN": "fp32 oneDNN"}.get(
            name, "bf16"
        )
        ours = "fp32 oneDNN" if name in ("fp32 as shipped", "fp32 both oneDNN") else theirs
        times = [
            f"{seconds[f'ours {ours}']:.3f}",
            *(f"{seconds[f'{form} {theirs}']:.3f}" for form in FORMS[1:]),
        ]
        met = ratio["eager"] >= FASTER_THAN_EAGER and min(ratio.values()) >= NOT_SLOWER
        rows.append([name, *times, ratio["eager"], ratio["sdpa"], "met" if met else "missed"])
    measure.table([title, "ours s", "eager s", "sdpa s", "eager/ours", "sdpa/ours", "targets"], rows)


def measured_peaks(size: str, image_size: int) -> dict[str, float]:
    """Peak MiB of two pre-training steps of every form, each in its own process, and of the bare imports."""
    peaks = {"imports": float(peak_in_child("nothing", "fp32", size, image_size))}
    for form, dtype in MEMORY_RUNS:
        peaks[f"{form} {dtype}"] = float(peak_in_child(form, dtype, size, image_size))
    return peaks


def peak_in_child(form: str, dtype: str, size: str, image_size: int) -> str:
    os.environ["PEAK_OF"] = f"{form},{dtype},{size},{image_size}"
    try:
        return measure.child_output("benchmarks.videomae")
    finally:
        del os.environ["PEAK_OF"]


def peak_of(form: str, dtype: str, size: str, image_size: str) -> float:
    """In the child: build one model, take two steps at batch 2, and say how much memory that took."""
    torch.set_num_threads(1)
    if form != "nothing":
        config = peer.our_config(f"videomae_{size}_pretrain", image_size=int(image_size))
        clip, masked = peer.random_input(config, batch=2)
        model = peer.our_model(config) if form == "ours" else peer.their_model(config, form)
        work = peer.pretrain_step(model, clip, masked, ours=form == "ours", autocast=dtype == "bf16")
        for _ in range(2):
            with_precision("bf16" if dtype == "fp32 oneDNN" else "none", work)
    return round(measure.peak_mib(), 1)


def compare_peaks(peaks: dict[str, float]) -> dict[str, dict[str, float]]:
    """Our peak over theirs."""
    pairs = {
        "fp32 plain": ("fp32", "fp32"),
        "fp32 as shipped": ("fp32 oneDNN", "fp32"),
        "bf16": ("bf16", "bf16"),
    }
    return {
        name: {form: round(peaks[f"ours {ours}"] / peaks[f"{form} {theirs}"], 2) for form in FORMS[1:]}
        for name, (ours, theirs) in pairs.items()
    }


def show_peaks(size: str, peaks: dict[str, float], ratios: dict[str, dict[str, float]]) -> None:
    print(f"imports alone hold {peaks['imports']:.0f} MiB")
    rows = []
    for name, ratio in ratios.items():
        ours = "fp32 oneDNN" if name == "fp32 as shipped" else name.split()[0]
        row = [
            f"{peaks[f'ours {ours}']:.0f}",
            *(f"{peaks[f'{form} {name.split()[0]}']:.0f}" for form in FORMS[1:]),
        ]
        met = "met" if ratio["eager"] <= LESS_MEMORY else "missed"
        rows.append([name, *row, ratio["eager"], ratio["sdpa"], met])
    columns = ["ours MiB", "eager MiB", "sdpa MiB", "ours/eager", "ours/sdpa", "target"]
    measure.table([f"peak memory, pre-train ViT-{size[0].upper()}", *columns], rows)


if __name__ == "__main__":
    main()
