"""Recipes of cross-model attention, after InternVideo (Wang et al. 2022), and small ones.

A run starts from two trained classifiers that `tubelet join` has put into one folder (`--init`). The sizes of
both models are that folder's, and frames and pixels have to be. No code was published: rates, weight decay,
dropout and the moving average are those that the paper tells, augmentation is UniFormerV2's, and how frames are
sampled is our choice: over the whole video, UniFormerV2 seeing every second one.
"""

from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.recipes import uniformerv2
from tubelet.recipes.base import AugmentRecipe, OptimRecipe, Recipe


def k400() -> Recipe:
    """Kinetics-400 in five epochs, from VideoMAE-H and UniFormerV2-L/14 (or what else is joined)."""
    recipe, statistics = uniformerv2.finetune_k400("l14"), InputSpec()
    return replace(
        recipe,
        model="cross_model_huge_l14",
        overrides=dropout(0.9),
        input=replace(recipe.input, num_frames=16, mean=statistics.mean, std=statistics.std),
        # 5e-5 for the published batch of 64.
        optim=replace(recipe.optim, lr=2e-4, min_lr=4e-6, batch_size=64, weight_decay=1e-3, ema=0.9999),
    )


def finetune() -> Recipe:
    """Videos of your own, sized for one machine; not published.

    Clips are not flipped, because a stranger's labels may know left from right: `augment.flip=0.5` flips them.
    """
    recipe = k400()
    return replace(
        recipe,
        overrides=dropout(0.5),
        input=replace(recipe.input, num_clips=1, num_crops=1),
        augment=replace(recipe.augment, flip=0.0),
        # So small a data set has too few steps for an average over thousands.
        optim=replace(recipe.optim, batch_size=16, epochs=20, warmup_epochs=2, ema=None),
    )


def train_nano() -> Recipe:
    """Two tiny models for videos of 32 pixels, in a minute or two."""
    return Recipe(
        task="classification",
        model="cross_model_nano",
        overrides=dropout(0.0),
        input=InputSpec(num_frames=8, sampling="uniform", image_size=32, num_clips=1, num_crops=1),
        augment=AugmentRecipe(flip=0.0, scale=(0.8, 1.0)),
        optim=OptimRecipe(
            lr=8e-3, batch_size=64, epochs=30, warmup_epochs=3, weight_decay=1e-3, max_grad_norm=1.0
        ),
    )


def dropout(share: float) -> tuple[str, ...]:
    """Overrides: so much dropout before either classifier."""
    return f"masked.dropout={share}", f"multimodal.head_dropout={share}"
