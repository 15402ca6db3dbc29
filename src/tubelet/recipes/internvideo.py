"""InternVideo's multimodal branch: contrast and captions, then questions; and small recipes.

All but the nanos start from CLIP, or from an InternVideo: `--init` is a converted file. Of the published
pre-training few settings are on record: 400,000 steps of 14,336 videos and 86,016 pictures, and a plain sum of
both losses. `pretrain` has these proportions for one machine; its other settings are ours. Of the tuning for
questions, epochs, batch and rates are on record.
"""

from collections.abc import Mapping
from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.data.transforms import CLIP_MEAN, CLIP_STD
from tubelet.recipes.base import AnsweringRecipe, AugmentRecipe, CaptioningRecipe, OptimRecipe, Recipe, chosen
from tubelet.recipes.viclip import nano_augment, nano_input, nano_optim

PRETRAINED = {"b16": "internvideo_mm_b16_caption", "l14": "internvideo_mm_l14_caption"}
ANSWERERS = {"b16": "internvideo_qa_b16", "l14": "internvideo_qa_l14"}
# Videos and pictures per step, 1 : 6 as published.
WITH_PICTURES: Mapping[str, int | None] = {"yes": 192, "no": None}


def pretrain(size: str = "b16", pictures: str = "no") -> Recipe:
    """Contrast and captions of 32 videos per step and, with `pictures=yes`, of 192 pictures; not published."""
    return Recipe(
        task="captioning",
        model=chosen("size", size, PRETRAINED),
        captioning=CaptioningRecipe(),
        image_batch_size=chosen("pictures", pictures, WITH_PICTURES),
        input=_input(),
        augment=AugmentRecipe(flip=0.0, scale=(0.5, 1.0)),
        optim=OptimRecipe(
            lr=8e-5,
            batch_size=32,
            epochs=5,
            warmup_epochs=0.5,
            min_lr=8e-7,
            betas=(0.9, 0.98),
            weight_decay=0.2,
        ),
    )


def answer(size: str = "b16") -> Recipe:
    """Questions about videos, as published: 20 epochs of 512, the head learns ten times as fast as the rest."""
    return Recipe(
        task="answering",
        model=chosen("size", size, ANSWERERS),
        answering=AnsweringRecipe(),
        input=_input(),
        augment=AugmentRecipe(flip=0.0, scale=(0.5, 1.0)),
        optim=OptimRecipe(
            lr=5e-6,  # 1e-5 for the whole batch
            min_lr=5e-8,
            batch_size=512,
            epochs=20,
            warmup_epochs=1,
            new_lr_scale=10.0,
        ),
    )


def pretrain_nano() -> Recipe:
    """A tiny InternVideo for videos of 32 pixels, from scratch: what captions teach it in minutes."""
    return Recipe(
        task="captioning",
        model="internvideo_mm_nano",
        captioning=CaptioningRecipe(),
        input=nano_input(),
        augment=nano_augment(),
        optim=nano_optim(epochs=10),
    )


def answer_nano() -> Recipe:
    """Questions for the same, from scratch or after it."""
    recipe = pretrain_nano()
    return replace(
        recipe,
        task="answering",
        model="internvideo_qa_nano",
        captioning=None,
        answering=AnsweringRecipe(),
        optim=nano_optim(epochs=12),
    )


def _input() -> InputSpec:
    return InputSpec(
        num_frames=8,
        sampling="end_to_end",
        short_side=256,
        num_clips=1,
        num_crops=1,
        mean=CLIP_MEAN,
        std=CLIP_STD,
    )
