"""The published UniFormerV2 recipes, and small ones.

Models start from CLIP (`--init` is a converted CLIP file), from K710, the merged Kinetics, or from Kinetics-400
after that. Sizes are b16, l14, l14_336 and l14_336_frozen, which trains the global blocks alone. Published rates
do not scale with the batch; ours are per 256 videos, so that the published batches arrive at them.

What of the published training is other than here:

- From K710 the head is kept where its classes are told (`weights.label_maps.with_classes` maps it); the published
  configs do so for Kinetics-600 and -700, and for Kinetics-400 start a new one, for five epochs of tiny steps.
- Positions and class tokens are never decayed here; theirs decays positions.
- The warm-up starts from zero, and theirs from 1e-6.
- The views of a video of Something-Something are merged as probabilities, not as scores.
"""

from collections.abc import Mapping
from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.recipes.base import AugmentRecipe, OptimRecipe, Recipe, chosen

FROZEN = "l14_336_frozen"
# Published rates are of whole batches, which are so large (videos on a node, and nodes); and the epochs.
K710 = {
    "b16": (1e-5, 256, 55),
    "l14": (1e-5, 128 * 4, 40),
    "l14_336": (5e-6, 64 * 4, 40),
    FROZEN: (8e-4, 128 * 4, 50),
}
FROM_CLIP = {"b16": (1e-5, 256, 55), FROZEN: (8e-4, 256 * 2, 50)}
FROM_K710: Mapping[str, Mapping[int, tuple[float, int]]] = {
    "b16": {8: (2e-6, 256)},
    "l14": {8: (1.5e-6, 128 * 2), 16: (1.5e-6, 64 * 4), 32: (1.5e-6, 32 * 4)},
    "l14_336": {32: (1.5e-6, 32 * 4), 64: (1.5e-6, 16 * 8)},
    FROZEN: {8: (5e-5, 256 * 2), 32: (5e-5, 128 * 2)},
}
MIT = {"b16": (2e-5, 256 * 2, 24), "l14": (1e-5, 128 * 4, 18), "l14_336": (1e-5, 128 * 4, 18)}
MOTION: Mapping[str, Mapping[int, tuple[float, int]]] = {
    "b16": {16: (4e-5, 128), 32: (4e-5, 64 * 2)},
    "l14": {16: (2e-5, 64 * 2), 32: (2e-5, 32 * 4)},
}
UNTRIMMED = {16: (5e-6, 32 * 2), 32: (5e-6, 16 * 4)}


def k710(size: str = "b16") -> Recipe:
    """CLIP becomes UniFormerV2 on K710, the merged Kinetics: what models for each of them start from."""
    return _from_clip(size, 710, chosen("size", size, K710))


def finetune_k400(size: str = "b16", frames: int | str = "", init: str = "k710") -> Recipe:
    """Kinetics-400 from K710 in five epochs, with 8 to 64 frames, or at once with init=clip (b16 and frozen)."""
    return _one_kinetics(400, size, frames, init)


def finetune_k600(size: str = "b16", frames: int | str = "", init: str = "k710") -> Recipe:
    """The same for Kinetics-600."""
    return _one_kinetics(600, size, frames, init)


def finetune_k700(size: str = "b16", frames: int | str = "", init: str = "k710") -> Recipe:
    """The same for Kinetics-700."""
    return _one_kinetics(700, size, frames, init)


def finetune_mit(size: str = "b16") -> Recipe:
    """Moments in Time from the model of Kinetics-400 after K710, 8 frames."""
    lr, batch_size, epochs = chosen("size", size, MIT)
    return _kinetics(size, 8, 339, _optim(lr, batch_size, epochs))


def finetune_ssv1(size: str = "b16", frames: int | str = "16") -> Recipe:
    """Something-Something V1 from CLIP, 16 or 32 frames, never flipped; 1 clip × 3 crops."""
    counts = {str(count): count for count in chosen("size", size, MOTION)}
    num_frames = chosen("frames", str(frames), counts)
    lr, batch_size = MOTION[size][num_frames]
    recipe = _kinetics(size, num_frames, 174, _optim(lr, batch_size, 22))
    return replace(
        recipe,
        model=f"uniformerv2_{size}_ssv2",
        input=replace(recipe.input, num_clips=1),
        # Left and right are part of the label.
        augment=replace(recipe.augment, flip=0.0, views=2),
    )


def finetune_ssv2(size: str = "b16", frames: int | str = "16") -> Recipe:
    """The same for Something-Something V2."""
    return finetune_ssv1(size, frames)


def finetune_anet(frames: int | str = "16") -> Recipe:
    """ActivityNet, whole videos, from K710's and Kinetics-400's L/14 with as many frames; 10 clips × 3 crops."""
    num_frames = chosen("frames", str(frames), {str(count): count for count in UNTRIMMED})
    lr, batch_size = UNTRIMMED[num_frames]
    recipe = _kinetics("l14", num_frames, 200, _optim(lr, batch_size, 20))
    return replace(
        recipe,
        overrides=(*recipe.overrides, "encoder.drop_path=0.2", "encoder.global_drop_path=0.4"),
        input=replace(recipe.input, num_clips=10),
    )


def finetune_hacs(frames: int | str = "16") -> Recipe:
    """The same for HACS."""
    return finetune_anet(frames)


def finetune(size: str = "b16") -> Recipe:
    """Fine-tuning CLIP or a UniFormerV2 (`--init`) on videos of your own, sized for one machine; not published.

    Clips are not flipped, because a stranger's labels may know left from right: `augment.flip=0.5` flips them.
    """
    lr = 8e-4 if size.endswith("_frozen") else 1e-5
    names = ("b16", "l14", "l14_336")
    sizes = {name: name for name in (*names, *(f"{name}_frozen" for name in names))}
    recipe = _kinetics(chosen("size", size, sizes), 8, 400, _optim(lr, 256, 20, warmup_epochs=2))
    return replace(
        recipe,
        overrides=(),
        input=replace(recipe.input, num_clips=1, num_crops=1),
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(recipe.optim, batch_size=16),
    )


def train_nano() -> Recipe:
    """A tiny UniFormerV2 for videos of 32 pixels, from scratch in minutes."""
    return Recipe(
        task="classification",
        model="uniformerv2_nano",
        input=InputSpec(num_frames=8, sampling="uniform", image_size=32, num_clips=1, num_crops=1),
        augment=AugmentRecipe(flip=0.0, scale=(0.8, 1.0)),
        optim=OptimRecipe(lr=4e-3, batch_size=64, epochs=30, warmup_epochs=3, max_grad_norm=1.0),
    )


def _one_kinetics(num_classes: int, size: str, frames: int | str, init: str) -> Recipe:
    if chosen("init", init, {"k710": False, "clip": True}):
        chosen("frames", str(frames or 8), {"8": 8})
        return _from_clip(size, num_classes, chosen("size", size, FROM_CLIP))
    counts = {str(count): count for count in chosen("size", size, FROM_K710)}
    num_frames = chosen("frames", str(frames or next(iter(counts))), counts)
    lr, batch_size = FROM_K710[size][num_frames]
    return _kinetics(size, num_frames, num_classes, _optim(lr, batch_size, 5, warmup_epochs=1))


def _from_clip(size: str, num_classes: int, published: tuple[float, int, int]) -> Recipe:
    # What is new is all that learns in a frozen model, and needs no warm-up.
    return _kinetics(size, 8, num_classes, _optim(*published, warmup_epochs=0 if size == FROZEN else 5))


def _kinetics(size: str, num_frames: int, num_classes: int, optim: OptimRecipe) -> Recipe:
    frozen = size == FROZEN
    return Recipe(
        task="classification",
        model=f"uniformerv2_{size}",
        overrides=(f"num_classes={num_classes}",),
        input=InputSpec(
            num_frames=num_frames,
            sampling="uniform",
            image_size=336 if "336" in size else 224,
            num_clips=3 if frozen else 4,
            num_crops=1 if frozen else 3,
            mean=(0.45, 0.45, 0.45),
            std=(0.225, 0.225, 0.225),
            rounding="uniformerv2",
        ),
        augment=AugmentRecipe(randaugment="rand-m7-n4-mstd0.5-inc1"),
        optim=optim,
    )


def _optim(lr: float, batch_size: int, epochs: int, warmup_epochs: int = 5) -> OptimRecipe:
    """`lr` is that of the whole batch, and the last one is 1e-6 whatever the batch."""
    per_256 = 256 / batch_size
    return OptimRecipe(
        lr=lr * per_256,
        min_lr=1e-6 * per_256,
        batch_size=batch_size,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        max_grad_norm=20.0,
    )
