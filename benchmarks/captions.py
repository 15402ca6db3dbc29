"""What a tiny X-CLIP learns from captions, with and without its parts: `python -m benchmarks.captions [--quick]`.

Renders the caption set, trains by the recipe `xclip.train_nano` on one thread, and asks for seen and for unseen
captions. Three models take turns on the same clips, seeds and number of steps:

  X-CLIP                        as the recipe has it
  without messages and prompts  `parts=none`: frames meet in the integration alone
  mean of single frames         that without integration too; it cannot know the order of frames

Every rate is over the clips of all seeds, with its 95 % interval (Wilson) for these clips; how far seeds differ
is in the file.
"""

import os

# Before torch starts its threads: those that wait must not count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from benchmarks import measure
from tubelet.data.manifest import read_annotations
from tubelet.data.synthetic.audit import Rate
from tubelet.data.synthetic.caption_clips import CAPTIONS
from tubelet.data.synthetic.caption_files import write_captions
from tubelet.data.synthetic.caption_scores import contrast_rates, factor_rates
from tubelet.data.synthetic.captions import parse_caption
from tubelet.inference.load import LoadedModel, load
from tubelet.inference.named_classes import named_classifier
from tubelet.recipes import find_recipe
from tubelet.train.build import RunOptions
from tubelet.train.device import speed_up_cpu
from tubelet.train.evaluate import evaluate_model
from tubelet.train.run import run

MODELS = {
    "X-CLIP": (),
    "without messages and prompts": ("parts=none",),
    "mean of single frames": ("parts=none", "model.integration_depth=0"),
}
SIZES = {"train": 2880, "val": 72, "test": 432, "unseen": 432}
QUICK_SIZES = {"train": 72, "val": 72, "test": 72, "unseen": 24}
SEEDS = (0, 1, 2)

Rates = dict[str, Rate]
Found = dict[str, dict[str, list[Rates]]]  # by what is asked for, model and seed


def asked_for(loaded: LoadedModel, folder: Path) -> Rates:
    """How often the model is right about the captions of a data set folder."""
    annotations = read_annotations(folder, "test")
    classes = annotations.classes or []
    _, found = evaluate_model(
        named_classifier(loaded, classes),
        loaded.input,
        annotations.samples,
        num_classes=len(classes),
        allow_missing=False,
        num_workers=0,
    )
    captions, truths = [parse_caption(name) for name in classes], found.labels.tolist()
    answers = [captions[answer] for answer in found.scores.argmax(dim=1).tolist()]
    return {
        **factor_rates([captions[truth] for truth in truths], answers),
        **contrast_rates(found.scores.float(), truths, captions),
    }


def learned(data: Path, out: Path, settings: Sequence[str], recipe: str) -> tuple[LoadedModel, float]:
    """A model trained by a recipe, and the CPU seconds that it took."""
    begun = time.process_time()
    options = RunOptions(device="cpu", validate_every=0, cache_bytes=2**30)
    result = run(find_recipe(recipe, settings), data, out, options)
    return load(result.model), time.process_time() - begun


def pooled(rates: Sequence[Rates]) -> Rates:
    return {
        name: Rate(right=sum(rate[name].right for rate in rates), of=sum(rate[name].of for rate in rates))
        for name in rates[0]
    }


def show(found: Found) -> None:
    for what, models in found.items():
        names = list(next(iter(models.values()))[0])
        for part in (names[:5], names[5:8], names[8:]):
            rows = [[model, *(pooled(rates)[name] for name in part)] for model, rates in models.items()]
            if part:
                measure.table([f"{what} captions", *part], rows)


def plain(found: Found, seconds: Mapping[str, Sequence[float]]) -> dict[str, object]:
    """All that is worth keeping: rates over all seeds, and those of each."""
    rates = {
        what: {
            model: {
                name: {
                    **rate.to_dict(),
                    "by_seed": [round(of_seed[name].value, 4) for of_seed in of_seeds],
                }
                for name, rate in pooled(of_seeds).items()
            }
            for model, of_seeds in models.items()
        }
        for what, models in found.items()
    }
    return {
        "rates": rates,
        "cpu_seconds": {model: [round(s) for s in all_] for model, all_ in seconds.items()},
    }


def compare(
    name: str,
    recipe: str,
    models: Mapping[str, Sequence[str]],
    ask: Callable[[LoadedModel, Path], Rates],
    *,
    quick: bool,
) -> None:
    """Train every model with every seed, ask each for seen and unseen captions, show and keep what comes out."""
    found: Found = {what: {model: [] for model in models} for what in ("seen", "unseen")}
    seconds: dict[str, list[float]] = {model: [] for model in models}
    fewer = ("optim.epochs=1", "optim.warmup_epochs=0") if quick else ()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "captions")
        write_captions(CAPTIONS, data, QUICK_SIZES if quick else SIZES)
        for seed in SEEDS[:1] if quick else SEEDS:
            for number, (model, settings) in enumerate(models.items()):
                out = Path(folder, f"{number}-{seed}")
                loaded, spent = learned(data, out, [*settings, *fewer, f"seed={seed}"], recipe)
                seconds[model].append(spent)
                for what, where in (("seen", data), ("unseen", data / "unseen")):
                    rates = ask(loaded, where)
                    found[what][model].append(rates)
                    print(f"{model}, seed {seed}, {spent:.0f} CPU s, {what}:", flush=True)
                    print("  " + ", ".join(f"{n} {100 * r.value:.1f}" for n, r in rates.items()), flush=True)
    show(found)
    ratios = {
        model: {name: round(rate.value, 4) for name, rate in pooled(rates).items()}
        for model, rates in found["unseen"].items()
    }
    measure.finish(name, figures=plain(found, seconds), ratios=ratios, keep=not quick)


def main() -> None:
    quick = measure.options(__doc__).quick
    torch.set_num_threads(1)
    speed_up_cpu()
    measure.headline("A tiny X-CLIP from scratch on captions")
    compare("captions", "xclip.train_nano", MODELS, asked_for, quick=quick)


if __name__ == "__main__":
    main()
