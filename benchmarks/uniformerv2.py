"""UniFormerV2 against the same arithmetic written plainly with torch's modules: `python -m benchmarks.uniformerv2
[--quick]`.

No library has the model, so the other side is our own plain writing of it (uniformerv2_peer.py), in both layouts
that `nn.MultiheadAttention` knows. Random weights, the same on both sides; every output is compared before its
time counts. CPU time of the whole process, and wall time. Two processes take turns, one as Python starts and one
after `tubelet.train.device.speed_up_cpu`, so that there are three comparisons:

  plain         neither side has it
  both sped up  both sides have it
  as shipped    ours with it, as our command line runs, theirs without

Rows are forward passes of one clip: B/16 on 8 frames of 224², and for motion on 16. Then, ours alone and sped up,
with one thread: training steps (forward, loss, backward) of the frozen B/16 on four clips, features computed
anew, found in files, and at hand; and of ViCLIP B/16 on two videos and their texts, whole and nine tenths hidden.
"""

import os

# Before torch starts its threads: those that wait must not count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import measure
from benchmarks import uniformerv2_peer as peer
from benchmarks.workers import answer, worker
from tubelet.models.kept_features import KeptFeatures
from tubelet.models.uniformerv2 import NANO, VARIANTS, ClassifierConfig
from tubelet.models.viclip import VARIANTS as VICLIPS
from tubelet.models.viclip import ViCLIP, ViCLIPConfig
from tubelet.train.device import speed_up_cpu

PLAIN, SPED_UP = "plain", "sped up"
COMPARISONS = {  # whose setting theirs and ours have
    "plain": (PLAIN, PLAIN),
    "both sped up": (SPED_UP, SPED_UP),
    "as shipped": (PLAIN, SPED_UP),
}
FORMS = ("ours", *peer.FORMS)
SIZES = {
    "B/16": VARIANTS["uniformerv2_b16"],
    "B/16 for motion": VARIANTS["uniformerv2_b16_ssv2"],
    "nano": VARIANTS["uniformerv2_nano"],
}
FASTER = 1.2  # asked of B/16
TOLERANCE = 1e-4
MASK_RATIO = 0.9

Rounds = list[tuple[float, float, float]]  # CPU seconds, wall seconds and difference of each
KINDS = ("CPU", "wall", "difference")


def main() -> None:
    arguments = measure.options(__doc__)
    measure.headline("UniFormerV2 against its plain writing, CPU seconds")
    runs = [("B/16", 2, 5), ("B/16", 1, 3), ("B/16 for motion", 2, 3)]
    if arguments.quick:
        runs = [("nano", 1, 1)]
    figures: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    for size, threads, rounds in runs:
        title = f"{size}, {threads} thread{'s' * (threads > 1)}"
        taken = seconds_in_turns(size, threads, rounds)
        figures[title] = {kind: medians(taken, kind) for kind in KINDS[:2]}
        figures[title]["difference"] = {name: max(column(all_, KINDS[2])) for name, all_ in taken.items()}
        ratios[title] = {kind: compare(taken, kind) for kind in KINDS[:2]}
        show(title, figures[title]["CPU"], ratios[title])
    for title, works in steps(quick=arguments.quick).items():
        taken = measure.take_turns(works, rounds=1 if arguments.quick else 3, warmups=1)
        figures[title] = measure.medians(taken)
        first, *others = taken
        ratios[title] = {name: measure.ratio(taken[first], taken[name]) for name in others}
        rows = [[name, f"{s:.3f}", ratios[title].get(name, "")] for name, s in figures[title].items()]
        measure.table([title, "s", "times as fast"], rows)
    measure.finish("uniformerv2", figures=figures, ratios=ratios, keep=not arguments.quick)


def seconds_in_turns(size: str, threads: int, rounds: int) -> dict[str, Rounds]:
    """Seconds of all forms in both settings, "SETTING: FORM", every round going through all of them."""
    taken: dict[str, Rounds] = {}
    with worker(serve, size, threads, PLAIN) as plain, worker(serve, size, threads, SPED_UP) as sped_up:
        for i in range(rounds + 1):
            for name in FORMS:
                for setting, end in ((PLAIN, plain), (SPED_UP, sped_up)):
                    end.send(name)
                    found = end.recv()
                    if not found[2] <= TOLERANCE:
                        raise SystemExit(f"{name!r} differs by {found[2]:.2g} of the largest value")
                    if i:  # the first round warms up
                        taken.setdefault(f"{setting}: {name}", []).append(found)
    return taken


def serve(end: Connection, size: str, threads: int, setting: str) -> None:
    """In the worker: the forward pass of every form on the same clip."""
    torch.set_num_threads(threads)
    if setting == SPED_UP:
        speed_up_cpu()
    ours, clip = peer.our_model(SIZES[size]), peer.random_clip(SIZES[size])
    models = {"ours": ours, **{form: peer.plain_model(ours, form) for form in peer.FORMS}}
    works = {form: peer.inference(lambda model=model: model(clip)) for form, model in models.items()}
    expected = works["ours"]()
    answer(end, works, lambda _, output: peer.difference(output, expected))


def steps(*, quick: bool) -> dict[str, dict[str, peer.Work]]:
    """Training steps of ours, in this process, which is sped up from here on."""
    torch.set_num_threads(1)
    speed_up_cpu()
    frozen, viclip = VARIANTS["uniformerv2_b16_frozen"], VICLIPS["viclip_b16"]
    if quick:
        frozen = ClassifierConfig(
            encoder=replace(NANO, local_relations=0, frozen_backbone=True), num_classes=3
        )
        viclip = VICLIPS["viclip_nano"]
    return {
        "frozen B/16, step of 4 clips": frozen_steps(frozen),
        "ViCLIP B/16, step of 2 videos": masked_steps(viclip),
    }


def frozen_steps(config: ClassifierConfig) -> dict[str, peer.Work]:
    """A step on clips, on features in files, and on features at hand."""
    model = peer.our_model(config).train()
    clip, target = peer.random_clip(config, batch=4), torch.tensor([0, 1, 2, 0])
    found, kept = model.backbone_features(clip), KeptFeatures(Path(tempfile.mkdtemp(prefix="features")))
    kept(model.encoder, clip)

    def step(features: Any) -> peer.Work:
        def run() -> Tensor:
            model.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model.logits(features()), target)
            loss.backward()
            return loss.detach()

        return run

    return {
        "computed": step(lambda: model.backbone_features(clip)),
        "from files": step(lambda: kept(model.encoder, clip)),
        "at hand": step(lambda: found),
    }


def masked_steps(config: ViCLIPConfig, *, batch: int = 2, device: str = "cpu") -> dict[str, peer.Work]:
    """A contrastive step of whole and of masked videos."""
    torch.manual_seed(0)
    model, num_tokens = ViCLIP(config).to(device).train(), math.prod(config.grid)
    clip = torch.randn(batch, 3, config.num_frames, config.image_size, config.image_size).to(device)
    words = torch.randint(1, 400, (batch, config.text.context_length)).to(device)
    masked = torch.stack([torch.randperm(num_tokens) < int(MASK_RATIO * num_tokens) for _ in clip]).to(device)

    def step(hidden: Tensor | None) -> peer.Work:
        def run() -> Tensor:
            model.zero_grad(set_to_none=True)
            logits = model(clip, model.text_features(words), hidden)
            target = torch.arange(batch, device=device)
            loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
            loss.backward()
            return loss.detach()

        return run

    return {"whole": step(None), "nine tenths hidden": step(masked)}


def medians(taken: Mapping[str, Rounds], kind: str) -> dict[str, float]:
    return measure.medians({name: column(rounds, kind) for name, rounds in taken.items()})


def column(rounds: Rounds, kind: str) -> list[float]:
    return [found[KINDS.index(kind)] for found in rounds]


def compare(taken: Mapping[str, Rounds], kind: str) -> dict[str, dict[str, float]]:
    """Their seconds over ours, by comparison and form."""
    return {
        name: {
            form: measure.ratio(
                column(taken[f"{theirs}: {form}"], kind), column(taken[f"{ours}: ours"], kind)
            )
            for form in peer.FORMS
        }
        for name, (theirs, ours) in COMPARISONS.items()
    }


def show(title: str, seconds: Mapping[str, float], ratios: Mapping[str, Any]) -> None:
    rows = []
    for name, (theirs, ours) in COMPARISONS.items():
        times = [seconds[f"{ours}: ours"], *(seconds[f"{theirs}: {form}"] for form in peer.FORMS)]
        by_form, wall = ratios["CPU"][name], ratios["wall"][name]
        met = "met" if min(by_form.values()) >= FASTER else "missed"
        rows.append([name, *(f"{s:.3f}" for s in times), *by_form.values(), min(wall.values()), met])
    times_of = [f"{form} s" for form in FORMS]
    columns = [*times_of, *(f"{form}/ours" for form in peer.FORMS), "least by wall time", str(FASTER)]
    measure.table([title, *columns], rows)


if __name__ == "__main__":
    main()
