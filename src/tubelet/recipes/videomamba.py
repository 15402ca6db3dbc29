"""The published VideoMamba recipes, for images and videos, and small ones.

Learning rates are per batch of 256. For video the authors scale theirs by the two views of repeated augmentation
as well, so ours are twice those of their scripts; for images theirs are per 512, so ours are half.

Where the published code does something odd, we do not, and a setting asks for it:

- `optim.layer_decay_on=embedding`: layer decay slows down the embedding alone and every block learns at the full
  rate. (Scripts that pass none get 0.75 of this kind by default; recipes here have none then.)
- `optim.decay_A_log=true`: weight decay also pulls at how fast states fade.
- `alignment.teacher_statistics=student`: CLIP is fed with ImageNet's mean and deviation instead of its own.
- `model.last_feature=before_last_block`: in masked pre-training the last block and the last norm never train.
- `input.merge_windows=false`: the windows of a long video are judged one by one.
- `augment.flip=0.5`: the published 288-pixel fine-tuning on Something-Something after masked pre-training flips.

Final learning rates are our choice, unless they equal the first. VideoMambaPro was trained by the same recipes:
`model=videomambapro_tiny`.
"""

from dataclasses import replace

from tubelet.data.input_spec import InputSpec
from tubelet.data.mix import MixConfig
from tubelet.errors import ConfigError
from tubelet.recipes.base import (
    AlignmentRecipe,
    AugmentRecipe,
    DistillationRecipe,
    OptimRecipe,
    Recipe,
    chosen,
)

STRONG, WEAK = "rand-m7-n4-mstd0.5-inc1", "rand-m5-n2-mstd0.25-inc1"
MIX = MixConfig(mixup_alpha=0.8, cutmix_alpha=1.0)
# So small a model, trained for minutes, needs a long memory and a class token that sees in both directions.
NANO = ("encoder.tubelet=[2, 8, 8]", "encoder.cls_position=middle", "encoder.mixer.delta_init=mamba")
LVU_CLASSES = {"relation": 4, "speak": 5, "scene": 6, "director": 10, "genre": 4, "writer": 10, "year": 9}
LVU_NUMBERS = ("like_ratio", "view_count")


def image(size: str = "tiny") -> Recipe:
    """Images of 224 pixels on ImageNet-1k, 300 epochs; middle and base also learn from a trained small model.

    That teacher (`--teacher`) is the small model after this recipe, of the same authors or your own. Not
    published, or not known to us, and as DeiT has them: mixing, smoothing, erasing, the crop of tests, and the
    warm-up of tiny and small. Left out: tiny's AutoAugment policy, small's sampler that repeats pictures.
    """
    weight_decay = _by_size(size, tiny=0.1, small=0.05, middle=0.05, base=0.05)
    drop_path = _by_size(size, tiny=0.0, small=0.15, middle=0.5, base=0.5)
    recipe = Recipe(
        task="classification",
        model=f"videomamba_{size}_image",
        overrides=_overrides(1000, drop_path),
        input=InputSpec(
            num_frames=1, sampling="uniform", short_side=256, num_clips=1, num_crops=1, antialias=True
        ),
        augment=AugmentRecipe(randaugment=None if size == "tiny" else "rand-m9-mstd0.5-inc1", erasing=0.25),
        mix=MIX,
        smoothing=0.1,
        optim=OptimRecipe(
            lr=2.5e-4,
            batch_size=4096,
            epochs=300,
            weight_decay=weight_decay,
            max_grad_norm=None if size == "small" else 5.0,
        ),
    )
    if size in ("tiny", "small"):
        return recipe
    return replace(
        recipe,
        task="distillation",
        distillation=DistillationRecipe(),
        # The published last rate of 5e-6 is not scaled with the batch.
        optim=replace(recipe.optim, batch_size=2048, warmup_epochs=20, min_lr=6.25e-7),
    )


def image_448(size: str = "tiny") -> Recipe:
    """Images of 448 pixels, 30 epochs, from the model of 224 (`--init`), without a teacher.

    Batches are the published ones per GPU, on 8 GPUs by our guess. The rate is constant.
    """
    recipe = image(size)
    return replace(
        recipe,
        task="classification",
        distillation=None,
        input=replace(recipe.input, image_size=448, short_side=512),
        optim=replace(
            recipe.optim,
            lr=2.5e-6,
            min_lr=2.5e-6,
            batch_size=_by_size(size, tiny=2048, small=512, middle=256),
            epochs=30,
            warmup_epochs=5,
            weight_decay=1e-8,
        ),
    )


def image_576(size: str = "tiny") -> Recipe:
    """Images of 576 pixels, 10 epochs, from the model of 448 (`--init`)."""
    recipe = image_448(size)
    return replace(
        recipe,
        input=replace(recipe.input, image_size=576, short_side=658),
        optim=replace(
            recipe.optim,
            batch_size=_by_size(size, tiny=1024, small=512, middle=256),
            epochs=10,
            warmup_epochs=2,
        ),
    )


def finetune_k400(size: str = "tiny", frames: str = "8", init: str = "imagenet") -> Recipe:
    """Kinetics-400 from an image model, or middle with init=mask after masked pre-training; 4 clips × 3 crops.

    One frame of each of 8, 16, 32 or 64 segments of the whole video. Longer models were published as trained
    from shorter ones' recipes, with half the learning rate for middle.
    """
    num_frames = chosen("frames", frames, {"8": 8, "16": 16, "32": 32, "64": 64})
    start = _start(size, init)
    epochs, weight_decay, drop_path = chosen(
        "size",
        start,
        {
            "tiny": (70, 0.1, 0.1),
            "small": (50, 0.05, 0.35),
            "middle": (50, 0.05, 0.8),
            "mask": (45, 0.05, 0.4),
        },
    )
    slow = start == "mask" or (start == "middle" and num_frames > 8)
    return Recipe(
        task="classification",
        model=f"videomamba_{size}",
        overrides=_overrides(400, drop_path),
        input=InputSpec(num_frames=num_frames, sampling="uniform", num_clips=4, num_crops=3),
        augment=AugmentRecipe(randaugment=WEAK if size == "tiny" else STRONG, erasing=0.25, views=2),
        mix=MIX,
        smoothing=0.1,
        optim=OptimRecipe(
            lr=2e-4 if slow else 4e-4,
            batch_size=512,
            epochs=epochs,
            weight_decay=weight_decay,
            layer_decay=0.8 if start == "mask" else 1.0,
        ),
    )


def finetune_k400_384(size: str = "tiny", init: str = "imagenet") -> Recipe:
    """Kinetics-400 at 64 frames of 384 pixels, a few epochs from the model of 224 (`--init`)."""
    recipe = finetune_k400(size, "64", init)
    return replace(
        recipe,
        input=replace(recipe.input, image_size=384),
        optim=replace(
            recipe.optim, lr=1e-5, min_lr=1e-5, epochs=10 if size == "tiny" else 6, weight_decay=1e-8
        ),
    )


def finetune_ssv2(size: str = "tiny", frames: str = "8", init: str = "imagenet") -> Recipe:
    """Something-Something V2, never flipped; 2 clips × 3 crops, as the scripts test.

    The model zoo prints 4 clips; published code fills the other two with one repeated frame.
    """
    recipe = finetune_k400(size, chosen("frames", frames, {"8": "8", "16": "16"}), init)
    start = _start(size, init)
    return replace(
        recipe,
        overrides=("num_classes=174", *recipe.overrides[1:]),
        input=replace(recipe.input, sampling="segments", num_clips=2),
        # Left and right are part of the label in Something-Something.
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(
            recipe.optim, lr=2e-4 if start == "mask" else 8e-4, epochs=35 if start == "tiny" else 30
        ),
    )


def finetune_ssv2_288(size: str = "tiny", init: str = "imagenet") -> Recipe:
    """Something-Something V2 at 16 frames of 288 pixels, 10 epochs from the model of 224 (`--init`)."""
    recipe = finetune_ssv2(size, "16", init)
    return replace(
        recipe,
        input=replace(recipe.input, image_size=288),
        optim=replace(recipe.optim, lr=1e-5, min_lr=1e-5, epochs=10, warmup_epochs=2, weight_decay=1e-8),
    )


def finetune_breakfast(size: str = "tiny", frames: str = "32", init: str = "imagenet") -> Recipe:
    """Breakfast, 10 dishes in videos of minutes, from a Kinetics model of 32 or 64 frames; 4 clips × 3 crops.

    With init=mask that Kinetics model came from masked pre-training; its learning rate and layer decay are not
    known to us and taken to be those of the others.
    """
    recipe = finetune_k400(size, chosen("frames", frames, {"32": "32", "64": "64"}), init)
    start = _start(size, init)
    drop_path = _by_size(start, tiny=0.1, small=0.4, middle=0.8, mask=0.4)
    return replace(
        recipe,
        overrides=_overrides(10, drop_path),
        optim=replace(
            recipe.optim,
            lr=4e-4,
            layer_decay=0.8 if size == "middle" else 1.0,
        ),
    )


def finetune_coin(size: str = "tiny", frames: str = "32", init: str = "imagenet") -> Recipe:
    """COIN, 180 tasks in instructional videos, from a Kinetics model of 32 or 64 frames; 10 clips × 3 crops."""
    recipe = finetune_breakfast(size, frames, init)
    start = _start(size, init)
    return replace(
        recipe,
        overrides=("num_classes=180", *recipe.overrides[1:]),
        input=replace(recipe.input, num_clips=4 if (start, frames) == ("mask", "64") else 10),
        optim=replace(recipe.optim, epochs=_by_size(start, tiny=40, small=35, middle=30, mask=30)),
    )


def finetune_lvu(label: str = "relation", windows: str = "false") -> Recipe:
    """Long-form Video Understanding, tiny, 32 frames: a class of `label`, or the number it names; see docs.

    `label` is relation, speak, scene, director, genre, writer or year, or like_ratio or view_count, which are
    regressions. `windows=true` cuts videos into 60 s that open every 16 s. No model was published, and the views
    of a test are not known to us; they are those of Kinetics. Regressions standardise values themselves.
    """
    recipe = finetune_k400("tiny", "32")
    seconds, hop = chosen("windows", windows, {"false": (None, None), "true": (60.0, 16.0)})
    recipe = replace(
        recipe,
        overrides=_overrides(chosen("label", label, {**LVU_CLASSES, **dict.fromkeys(LVU_NUMBERS, 1)}), 0.15),
        input=replace(recipe.input, window_seconds=seconds, window_hop=hop),
        optim=replace(recipe.optim, lr=8e-4),
    )
    if label in LVU_CLASSES:
        return recipe
    return replace(recipe, task="regression", mix=None, smoothing=0.0)


def pretrain_k400(size: str = "middle") -> Recipe:
    """Masked alignment with CLIP ViT-B/16 (`--teacher`) on Kinetics-400, 800 epochs, 80 % hidden.

    The scripts say 801 epochs. Only middle was published. How frames are sampled and the final learning rate are
    not known to us: clips span the whole video, as in fine-tuning.
    """
    return Recipe(
        task="alignment",
        model=f"videomamba_{size}_pretrain",
        overrides=("encoder.drop_path=0.4",),
        mask_ratio=0.8,
        alignment=AlignmentRecipe(mask_type="attention"),
        input=InputSpec(num_frames=8, sampling="uniform", num_clips=1, num_crops=1),
        augment=AugmentRecipe(flip=0.5),
        # One view per video, so that nothing but the batch scales the learning rate.
        optim=OptimRecipe(
            lr=1.5e-4, batch_size=2048, epochs=800, warmup_epochs=40, min_lr=1e-5, betas=(0.9, 0.95)
        ),
    )


def pretrain_ssv2(size: str = "middle") -> Recipe:
    """The same on Something-Something V2, with its sampling; 800 epochs (the model zoo says 200).

    Clips are flipped, as published: no label is looked at that could tell left from right.
    """
    recipe = pretrain_k400(size)
    return replace(recipe, input=replace(recipe.input, sampling="segments"))


def finetune(size: str = "tiny") -> Recipe:
    """Fine-tuning on videos of your own, sized for one machine; not a published recipe.

    Clips are not flipped, because a stranger's labels may know left from right: `augment.flip=0.5` flips them.
    """
    recipe = finetune_k400(size)
    return replace(
        recipe,
        input=replace(recipe.input, num_clips=2),
        augment=replace(recipe.augment, flip=0.0),
        optim=replace(recipe.optim, lr=1e-3, batch_size=32, epochs=50, max_grad_norm=5.0),
    )


def train(size: str = "tiny") -> Recipe:
    """Training from scratch on videos of your own, sized for one machine; not a published recipe."""
    recipe = finetune(size)
    return replace(recipe, optim=replace(recipe.optim, lr=2e-3, epochs=200, warmup_epochs=20))


def train_nano() -> Recipe:
    """A tiny VideoMamba as a classifier of motions in videos of 32 pixels: the quickstart's."""
    return Recipe(
        task="classification",
        model="videomamba_nano",
        overrides=NANO,
        input=InputSpec(num_frames=8, stride=1, image_size=32, short_side=36, num_clips=2, num_crops=3),
        augment=AugmentRecipe(flip=0.0, scale=(0.7, 1.0)),
        smoothing=0.1,
        optim=OptimRecipe(lr=1e-2, batch_size=64, epochs=24, warmup_epochs=3, min_lr=1e-5, max_grad_norm=1.0),
    )


def teacher_nano() -> Recipe:
    """The smaller model that the quickstart's learns from: half as wide, trained longer as it learns slower."""
    recipe = train_nano()
    return replace(recipe, overrides=(*NANO, "encoder.dim=48"), optim=replace(recipe.optim, epochs=32))


def distill_nano() -> Recipe:
    """The tiny VideoMamba trained as long, but learning also from `teacher_nano`'s model (`--teacher`)."""
    return replace(train_nano(), task="distillation", distillation=DistillationRecipe())


def pretrain_nano() -> Recipe:
    """Masked alignment of the tiny VideoMamba with a CLIP image tower of your own with patches of 8 pixels."""
    recipe = train_nano()
    return replace(
        recipe,
        task="alignment",
        model="videomamba_nano_pretrain",
        mask_ratio=0.75,
        alignment=AlignmentRecipe(),
        input=replace(recipe.input, num_clips=1, num_crops=1),
        smoothing=0.0,
    )


def _overrides(num_classes: int, drop_path: float) -> tuple[str, ...]:
    return f"num_classes={num_classes}", f"encoder.drop_path={drop_path}"


def _start(size: str, init: str) -> str:
    """The column of the published tables: a size from an image model, or middle from masked pre-training."""
    _by_size(size, tiny=0, small=0, middle=0)
    start = chosen("init", init, {"imagenet": size, "mask": "mask"})
    if start == "mask" and size != "middle":
        raise ConfigError(f"init=mask has a recipe for size=middle only; size={size} was asked for")
    return start


def _by_size(size: str, **values):
    return chosen("size", size, values)
