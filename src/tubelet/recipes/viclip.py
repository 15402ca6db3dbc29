"""The published recipe of ViCLIP, the tuning that follows, and small ones.

All but the nanos start from CLIP: `--init` is a converted CLIP file. Texts are frozen, as published;
`model.tune_text=true` trains them. Of the published recipe the optimizer, the batch, the epochs and the mask are
on record; how clips are cropped is not, and ours are of most of a frame, never flipped, because captions tell
left from right.
"""

from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.recipes.base import AugmentRecipe, OptimRecipe, Recipe, chosen

MODELS = {"b16": "viclip_b16", "l14": "viclip_l14"}


def pretrain(size: str = "l14") -> Recipe:
    """Nine tenths of the patches are hidden; 512 videos with captions per step, ten epochs."""
    return Recipe(
        task="contrast",
        model=chosen("size", size, MODELS),
        input=InputSpec(num_frames=8, sampling="starts", num_clips=1, num_crops=1, stretch=True),
        augment=AugmentRecipe(flip=0.0, scale=(0.5, 1.0)),
        mask_ratio=0.9,
        optim=OptimRecipe(
            lr=1e-4,  # 2e-4 for the whole batch
            min_lr=5e-7,
            batch_size=512,
            epochs=10,
            warmup_epochs=0.5,
            betas=(0.9, 0.98),
            weight_decay=0.2,
        ),
    )


def unmask(size: str = "l14") -> Recipe:
    """The tuning on whole videos that follows: that there is one is published, its settings are ours."""
    recipe = pretrain(size)
    optim = replace(recipe.optim, lr=2e-6, min_lr=2e-8, epochs=1, warmup_epochs=0.1)
    return replace(recipe, mask_ratio=0.0, optim=optim)


def pretrain_nano() -> Recipe:
    """A tiny ViCLIP for videos of 32 pixels, both towers from scratch, half of the patches hidden."""
    return Recipe(
        task="contrast",
        model="viclip_nano",
        input=nano_input(),
        augment=nano_augment(),
        mask_ratio=0.5,
        optim=nano_optim(epochs=12),
    )


def unmask_nano() -> Recipe:
    """The same on whole videos, to go on with after it."""
    recipe = pretrain_nano()
    optim = replace(recipe.optim, lr=2e-3, epochs=2, warmup_epochs=0.5)
    return replace(recipe, mask_ratio=0.0, optim=optim)


def nano_input() -> InputSpec:
    """All eight frames of a rendered clip."""
    return InputSpec(num_frames=8, sampling="middles", image_size=32, num_clips=1, num_crops=1)


def nano_augment() -> AugmentRecipe:
    """None: left and right, large and small are words of the captions."""
    return AugmentRecipe(flip=0.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))


def nano_optim(epochs: int, lr: float = 8e-3) -> OptimRecipe:
    """From scratch; an `lr` for 256 clips, of which a step has 32."""
    return OptimRecipe(
        lr=lr,
        batch_size=32,
        epochs=epochs,
        warmup_epochs=1,
        min_lr=1e-5,
        betas=(0.9, 0.98),
        max_grad_norm=1.0,
    )
