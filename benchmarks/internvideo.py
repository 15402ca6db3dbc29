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

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import measure
from benchmarks.captions import Rates, asked_for, compare
from tubelet.data.manifest import read_annotations
from tubelet.data.synthetic.audit import Rate
from tubelet.data.synthetic.caption_clips import CAPTIONS
from tubelet.data.synthetic.caption_scores import factor_rates
from tubelet.data.synthetic.captions import Caption, parse_caption
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


def found_and_told(loaded: LoadedModel, folder: Path) -> Rates:
    """How often the model chooses the right caption, and how often it tells it."""
    return {**asked_for(loaded, folder), **told_captions(loaded, folder)}


def main() -> None:
    quick = measure.options(__doc__).quick
    torch.set_num_threads(1)
    speed_up_cpu()
    measure.headline("A tiny InternVideo from scratch on captions")
    compare("internvideo", "internvideo.pretrain_nano", MODELS, found_and_told, quick=quick)


if __name__ == "__main__":
    main()
