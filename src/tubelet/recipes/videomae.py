"""The published VideoMAE recipes (`scripts/` of the authors; learning rates per batch of 256), and small ones.

Each function returns a value; a variant says only what differs.
"""

from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.data.mix import MixConfig
from tubelet.recipes.base import AugmentRecipe, OptimRecipe, Recipe, chosen


def pretrain_k400(size: str = "base") -> Recipe:
    """Masked pre-training on Kinetics-400 for 1600 epochs (ViT-B was also published at 800)."""
    batch = _by_size(size, small=1024, base=2048, large=512, huge=1024)
    return Recipe(
        task="masked",
        model=f"videomae_{size}_pretrain",
        mask_ratio=0.9,
        augment=AugmentRecipe(flip=0.0),
        optim=OptimRecipe(
            lr=1.5e-4, batch_size=batch, epochs=1600, warmup_epochs=40, min_lr=1e-5, betas=(0.9, 0.95)
        ),
    )


def pretrain_ssv2(size: str = "base") -> Recipe:
    """Masked pre-training on Something-Something V2 for 2400 epochs; frames lie closer together."""
    recipe = pretrain_k400(size)
    _by_size(size, small=0, base=0)
    return replace(
        recipe,
        input=replace(recipe.input, stride=2),
        optim=replace(recipe.optim, batch_size=2048, epochs=2400),
    )


def pretrain_ucf101() -> Recipe:
    """Masked pre-training on the 9.5 thousand videos of UCF101; a lower ratio, more epochs."""
    recipe = pretrain_k400("base")
    return replace(recipe, mask_ratio=0.75, optim=replace(recipe.optim, lr=3e-4, batch_size=192, epochs=3200))


def finetune_k400(size: str = "base") -> Recipe:
    """Fine-tuning on Kinetics-400 after 1600 epochs of pre-training; tested with 5 clips × 3 crops."""
    return Recipe(
        task="classification",
        model=f"videomae_{size}",
        overrides=(
            "num_classes=400",
            f"encoder.drop_path={_by_size(size, small=0.1, base=0.1, large=0.1, huge=0.2)}",
            f"dropout={_by_size(size, small=0.0, base=0.0, large=0.0, huge=0.5)}",
        ),
        input=InputSpec(stride=4, num_clips=5, num_crops=3),
        augment=AugmentRecipe(randaugment="rand-m7-n4-mstd0.5-inc1", erasing=0.25, views=2),
        mix=MixConfig(mixup_alpha=0.8, cutmix_alpha=1.0),
        smoothing=0.1,
        optim=OptimRecipe(
            lr=_by_size(size, small=5e-4, base=5e-4, large=2e-3, huge=1e-3),
            batch_size=_by_size(size, small=384, base=384, large=128, huge=512),
            epochs=_by_size(size, small=150, base=75, large=35, huge=50),
            min_lr=_by_size(size, small=1e-6, base=1e-6, large=1e-6, huge=1e-5),
            layer_decay=0.75,
        ),
    )


def finetune_k400_800() -> Recipe:
    """Fine-tuning ViT-B on Kinetics-400 after 800 epochs of pre-training; one view per video."""
    recipe = finetune_k400("base")
    return replace(
        recipe,
        augment=replace(recipe.augment, views=1),
        optim=replace(recipe.optim, lr=1e-3, batch_size=512, epochs=100),
    )


def finetune_ssv2(size: str = "base") -> Recipe:
    """Fine-tuning on Something-Something V2 after 2400 epochs of pre-training; 2 clips × 3 crops."""
    recipe = finetune_k400(size)
    lr, epochs, layer_decay = _by_size(size, small=(1e-3, 40, 0.7), base=(5e-4, 30, 0.75))
    return replace(
        recipe,
        overrides=("num_classes=174", *recipe.overrides[1:]),
        input=replace(recipe.input, sampling="segments", num_clips=2),
        # Left and right are part of the label in Something-Something, so clips are never flipped.
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(recipe.optim, lr=lr, epochs=epochs, layer_decay=layer_decay),
    )


def finetune_ssv2_800() -> Recipe:
    """Fine-tuning ViT-B on Something-Something V2 after 800 epochs of pre-training; one view per video."""
    recipe = finetune_ssv2("base")
    return replace(
        recipe,
        augment=replace(recipe.augment, views=1),
        optim=replace(recipe.optim, batch_size=512, epochs=50),
    )


def finetune_ucf101() -> Recipe:
    """Fine-tuning ViT-B on UCF101, split 1, after 3200 epochs of pre-training on it."""
    recipe = finetune_k400("base")
    return replace(
        recipe,
        overrides=("num_classes=101", "encoder.drop_path=0.2", "dropout=0.5"),
        optim=replace(recipe.optim, batch_size=128, epochs=100, min_lr=1e-5, layer_decay=0.7),
    )


def k710() -> Recipe:
    """InternVideo's ViT-H on K710, the merged Kinetics, after its masked pre-training; 7 clips × 3 crops.

    Its batch and last rate are not on record; they are VideoMAE's for Kinetics-400.
    """
    recipe = finetune_k400("huge")
    return replace(
        recipe,
        overrides=("num_classes=710", *recipe.overrides[1:]),
        input=replace(recipe.input, num_clips=7),
        optim=replace(recipe.optim, epochs=40, layer_decay=0.8),
    )


def finetune_after_k710(classes: int | str = "400") -> Recipe:
    """Kinetics-400, -600 or -700 from that model, its head kept by the names of the classes: three epochs."""
    recipe = k710()
    number = chosen("classes", str(classes), {str(number): number for number in (400, 600, 700)})
    return replace(
        recipe,
        overrides=(f"num_classes={number}", *recipe.overrides[1:]),
        optim=replace(recipe.optim, lr=2e-6, min_lr=1e-6, epochs=3, warmup_epochs=1),
    )


def pretrain(size: str = "small") -> Recipe:
    """Masked pre-training on videos of your own, sized for one machine; not a published recipe."""
    recipe = pretrain_k400(size)
    return replace(recipe, optim=replace(recipe.optim, batch_size=64, epochs=200, warmup_epochs=10))


def finetune(size: str = "small") -> Recipe:
    """Fine-tuning on videos of your own, sized for one machine; not a published recipe.

    Clips are not flipped, because a stranger's labels may know left from right: `augment.flip=0.5` flips them.
    """
    recipe = finetune_k400(size)
    return replace(
        recipe,
        input=replace(recipe.input, num_clips=2, num_crops=3),
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(recipe.optim, lr=1e-3, batch_size=32, epochs=50),
    )


def pretrain_tiny() -> Recipe:
    """A tiny VideoMAE for videos of 32 pixels, pre-trained in about a minute on two cores: the quickstart's."""
    return Recipe(
        task="masked",
        model="videomae_tiny_pretrain",
        # Patches of a smooth background have hardly any contrast; normalized, they would be noise to predict.
        overrides=("normalize_target=false",),
        mask_ratio=0.75,
        input=InputSpec(num_frames=8, stride=1, image_size=32, short_side=36, num_clips=1, num_crops=1),
        augment=AugmentRecipe(flip=0.0),
        optim=OptimRecipe(lr=5e-3, batch_size=64, epochs=30, warmup_epochs=3, min_lr=1e-5, betas=(0.9, 0.95)),
    )


def finetune_tiny() -> Recipe:
    """The tiny VideoMAE as a classifier of motions, after pre-training or from scratch."""
    return Recipe(
        task="classification",
        model="videomae_tiny",
        overrides=("head_init_scale=1.0",),
        input=InputSpec(num_frames=8, stride=1, image_size=32, short_side=36, num_clips=2, num_crops=3),
        augment=AugmentRecipe(flip=0.0, scale=(0.7, 1.0)),
        smoothing=0.1,
        optim=OptimRecipe(lr=8e-3, batch_size=64, epochs=24, warmup_epochs=3, min_lr=1e-5, max_grad_norm=1.0),
    )


def _by_size(size: str, **values):
    """The value for a size, or a ConfigError that lists the sizes that were published."""
    return chosen("size", size, values)
