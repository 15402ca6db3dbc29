"""The published X-CLIP recipes, the same for CLIP without its additions, and small ones.

All but `train_nano` start from CLIP: `--init` is a converted CLIP file. What X-CLIP adds learns ten times as fast
as CLIP's weights, texts are frozen, and names of classes are read as they are. `model.tune_text=true` trains the
texts too, which the authors found best and costs memory; `wording.spoken=true` reads "ApplyLipstick" as words.

Where the published code does something odd, we do not, and a setting asks for it:

- `input.random_clips=true`: the clips of a test are drawn at random, as in training.
- `augment.jitter_per_frame=true`: each frame of a clip gets other colours.

Its drop path would draw per position in a frame; ours draws per video. All published models were trained without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.data.mix import MixConfig
from tubelet.recipes.base import AugmentRecipe, OptimRecipe, Recipe, chosen

MODELS = {"b32": "xclip_b32", "b16": "xclip_b16", "l14": "xclip_l14", "l14_336": "xclip_l14_336"}
# Frames of the published models on Kinetics-400, and of them on Kinetics-600.
K400_FRAMES: Mapping[str, Sequence[int]] = {"b32": (8, 16), "b16": (8, 16), "l14": (8,), "l14_336": (16,)}
K600_FRAMES: Mapping[str, Sequence[int]] = {"b16": (8, 16), "l14": (8,)}


def finetune_k400(size: str = "b16", frames: int | str = "") -> Recipe:
    """CLIP becomes X-CLIP on Kinetics-400; `frames` of 8 or 16, the fewest published ones unless given."""
    return _finetune(size, frames, K400_FRAMES)


def finetune_k600(size: str = "b16", frames: int | str = "") -> Recipe:
    """CLIP becomes X-CLIP on Kinetics-600, by the recipe of Kinetics-400."""
    return _finetune(size, frames, K600_FRAMES)


def zero_shot() -> Recipe:
    """B/16 with 32 frames on Kinetics-400, to be asked for classes that it has never seen; ten epochs."""
    recipe = _kinetics("b16", 32)
    return replace(recipe, optim=replace(recipe.optim, epochs=10))


def few_shot_hmdb51() -> Recipe:
    """B/16 with 32 frames on 2, 4, 8 or 16 videos per class of HMDB51 or, by the same settings, UCF101."""
    recipe = _kinetics("b16", 32)
    # The published 2e-6 is for 64 videos per step.
    return replace(recipe, optim=replace(recipe.optim, epochs=50, batch_size=64, lr=8e-6, min_lr=8e-8))


def few_shot_ucf101() -> Recipe:
    """The same for UCF101."""
    return few_shot_hmdb51()


def mean_pooled_k400(size: str = "b16", frames: int | str = "") -> Recipe:
    """CLIP on every frame and the mean, both towers tuned (ViFi-CLIP's idea), by X-CLIP's settings.

    The comparison that X-CLIP's additions have to win. The settings of ViFi-CLIP's own paper are not known to us.
    """
    recipe = _finetune(size, frames, {name: K400_FRAMES[name] for name in ("b32", "b16", "l14")})
    return replace(recipe, model=f"clip_{size}_mean", overrides=("tune_text=true",))


def finetune(size: str = "b16") -> Recipe:
    """Fine-tuning CLIP or an X-CLIP (`--init`) on videos of your own, sized for one machine; not published.

    Clips are not flipped, because a stranger's labels may know left from right: `augment.flip=0.5` flips them.
    """
    recipe = _kinetics(size, 16 if size == "l14_336" else 8)
    return replace(
        recipe,
        input=replace(
            recipe.input, num_clips=1, num_crops=1, short_side=recipe.input.image_size * 256 // 224
        ),
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(recipe.optim, batch_size=16, lr=1.28e-4, min_lr=1.28e-6, epochs=20, warmup_epochs=2),
    )


def few_shot(size: str = "b16") -> Recipe:
    """Fine-tuning on a few videos per class of your own; not a published recipe. `tubelet few-shot` uses it."""
    recipe = finetune(size)
    optim = replace(recipe.optim, batch_size=8, lr=6.4e-5, min_lr=6.4e-7, epochs=30, warmup_epochs=3)
    return replace(recipe, optim=optim)


def train_nano(parts: str = "all") -> Recipe:
    """A tiny X-CLIP for videos of 32 pixels, both towers from scratch: what captions teach it in minutes.

    With `parts=none` neither frames nor texts look at the video's other frames before their embeddings are
    integrated: no messages, no prompts.
    """
    without = chosen("parts", parts, {"all": (), "none": ("cross_frame=false", "prompt_depth=0")})
    return Recipe(
        task="classification",
        model="xclip_nano",
        overrides=without,
        input=InputSpec(
            num_frames=8, sampling="middles", image_size=32, num_clips=1, num_crops=1, rounding="xclip"
        ),
        # Whole frames: left and right, large and small are words of the captions.
        augment=AugmentRecipe(flip=0.0, scale=(1.0, 1.0), ratio=(1.0, 1.0)),
        optim=OptimRecipe(
            lr=8e-3,
            batch_size=32,
            epochs=14,
            warmup_epochs=1,
            min_lr=1e-5,
            betas=(0.9, 0.98),
            max_grad_norm=1.0,
        ),
    )


def _finetune(size: str, frames: int | str, published: Mapping[str, Sequence[int]]) -> Recipe:
    counts = {str(count): count for count in chosen("size", size, published)}
    return _kinetics(size, chosen("frames", str(frames or next(iter(counts))), counts))


def _kinetics(size: str, num_frames: int) -> Recipe:
    image_size = 336 if size == "l14_336" else 224
    return Recipe(
        task="classification",
        model=chosen("size", size, MODELS),
        input=InputSpec(
            num_frames=num_frames,
            sampling="middles",
            image_size=image_size,
            num_clips=4,
            num_crops=3,
            rounding="xclip",
        ),
        augment=AugmentRecipe(flip=0.5, crop="multiscale", jitter=0.8, grayscale=0.2),
        mix=MixConfig(mixup_alpha=0.8, cutmix_alpha=1.0),
        smoothing=0.1,
        optim=OptimRecipe(
            lr=8e-6,
            batch_size=256,
            epochs=30,
            warmup_epochs=5,
            min_lr=8e-8,
            betas=(0.9, 0.98),
            weight_decay=1e-3,
            new_lr_scale=10.0,
            cosine_from_start=True,
            min_lr_scales=False,
            warmup_ends_on_peak=False,
        ),
    )
