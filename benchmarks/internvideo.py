"""What a tiny InternVideo learns from contrast and captions: `python -m benchmarks.internvideo [--quick]`.

Renders the caption set, trains by the recipe `internvideo.pretrain_nano` on one thread, then asks which of the
seen and of the unseen captions fits a clip, and lets the decoder tell one, always the likeliest next word. Two
models take turns on the same clips, seeds and number of steps:

  with relations          as the recipe has it
  tokens of single frames as in the published sizes: what the decoder sees of a frame knows no other

Every rate is over the clips of all seeds, with its 95 % interval (Wilson) for these clips.
"""

import os

# Before torch starts its threads: those that wait must not count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.captions import QUICK_SIZES, SEEDS, SIZES, Found, Rates, asked_for, learned, plain, pooled
from tubelet.data.audit import Rate
from tubelet.data.caption_clips import CAPTIONS
from tubelet.data.caption_files import write_captions
from tubelet.data.caption_scores import factor_rates
from tubelet.data.captions import Caption, parse_caption
from tubelet.data.manifest import read_annotations
from tubelet.data.transforms import to_model
from tubelet.errors import ConfigError
from tubelet.inference.captioning import captioner, told, written
from tubelet.inference.load import LoadedModel
from tubelet.train.device import speed_up_cpu
from tubelet.train.evaluate import test_batches

MODELS = {"with relations": (), "tokens of single frames": ("model.video.local_relations=0",)}


def told_captions(loaded: LoadedModel, folder: Path) -> Rates:
    """How often the decoder's own captions of the clips of a folder are right, as a whole and by factor.

    What is no caption of the set at all is wrong in everything; `new` are captions of it that training never had.
    """
    model, annotations = captioner(loaded), read_annotations(folder, "test")
    classes = annotations.classes or []
    truths: list[Caption] = []
    answers: list[str] = []
    with torch.inference_mode():
        for batch in test_batches(loaded.input, annotations.samples, 0, None, None):
            assert batch.labels is not None
            seen = model.seen(to_model(batch.pixels, loaded.input.mean, loaded.input.std))
            answers.extend(written(loaded, row) for row in told(model, seen))
            truths.extend(parse_caption(classes[label]) for label in batch.labels.tolist())
    return caption_rates(truths, answers)


def caption_rates(truths: Sequence[Caption], answers: Sequence[str]) -> Rates:
    """Rates of texts as answers; those that are no captions are wrong."""
    pairs = [(truth, found) for truth, text in zip(truths, answers, strict=True) if (found := parsed(text))]
    rates = factor_rates([truth for truth, _ in pairs], [found for _, found in pairs])
    total = len(truths)
    whole = {
        f"told {name}": rate if name == "order" else Rate(right=rate.right, of=total)
        for name, rate in rates.items()
    }
    known = {caption.text for caption in CAPTIONS.split.seen}
    return {
        **whole,
        "well-formed": Rate(right=len(pairs), of=total),
        "new": Rate(right=sum(found.text not in known for _, found in pairs), of=total),
    }


def parsed(text: str) -> Caption | None:
    """The caption that a text is, if it is one."""
    try:
        return parse_caption(text)
    except ConfigError:
        return None


def show(found: Found) -> None:
    for what, models in found.items():
        names = list(next(iter(models.values()))[0])
        for part in (names[:5], names[5:8], names[8:]):
            rows = [[model, *(pooled(rates)[name] for name in part)] for model, rates in models.items()]
            measure.table([f"{what} captions", *part], rows)


def main() -> None:
    quick = measure.options(__doc__).quick
    torch.set_num_threads(1)
    speed_up_cpu()
    measure.headline("A tiny InternVideo from scratch on captions")
    found: Found = {what: {model: [] for model in MODELS} for what in ("seen", "unseen")}
    seconds: dict[str, list[float]] = {model: [] for model in MODELS}
    fewer = ("optim.epochs=1", "optim.warmup_epochs=0") if quick else ()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "captions")
        write_captions(CAPTIONS, data, QUICK_SIZES if quick else SIZES)
        for seed in SEEDS[:1] if quick else SEEDS:
            for number, (model, settings) in enumerate(MODELS.items()):
                chosen, out = [*settings, *fewer, f"seed={seed}"], Path(folder, f"{number}-{seed}")
                loaded, spent = learned(data, out, chosen, "internvideo.pretrain_nano")
                seconds[model].append(spent)
                for what, where in (("seen", data), ("unseen", data / "unseen")):
                    rates = {**asked_for(loaded, where), **told_captions(loaded, where)}
                    found[what][model].append(rates)
                    print(f"{model}, seed {seed}, {spent:.0f} CPU s, {what}:", flush=True)
                    print("  " + ", ".join(f"{n} {100 * r.value:.1f}" for n, r in rates.items()), flush=True)
    show(found)
    ratios = {
        model: {name: round(rate.value, 4) for name, rate in pooled(rates).items()}
        for model, rates in found["unseen"].items()
    }
    measure.finish("internvideo", figures=plain(found, seconds), ratios=ratios, keep=not quick)


if __name__ == "__main__":
    main()
