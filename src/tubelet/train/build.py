"""Recipes turned into the things that run: model config, data sets, task, schedule."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tubelet.config import override
from tubelet.data.augment import parse_randaugment
from tubelet.data.colour_jitter import ColourJitter
from tubelet.data.datasets import FrameCache, VideoDataset, check_files
from tubelet.data.loader import Order, TrainingOrder
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits
from tubelet.data.transforms import FinetuneTransform, MultiscaleTransform, PretrainTransform
from tubelet.errors import ConfigError, DataError
from tubelet.models import variant, videomae, videomamba, videomamba_pretrain
from tubelet.models.cross_model import CrossModelConfig
from tubelet.models.internvideo import InternVideoConfig
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.xclip import XCLIPConfig
from tubelet.recipes.base import Recipe
from tubelet.train.loop import LoopSettings
from tubelet.train.schedule import CosineSchedule


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What differs from machine to machine.

    None of it changes what a run computes, up to rounding, but for one thing: mixup and cutmix find their
    partners within a forward pass, drop path and dropout draw in it, batch norms take their statistics from it,
    and captions are contrasted in it, so with them `micro_batch_size` is remembered and has to stay the same. So
    are the videos that `skip` leaves in.

    Parameters
    ----------
    device
        auto, cpu, cuda, cuda:1, mps.
    num_workers
        Processes that read videos; 0 reads in the main one.
    micro_batch_size
        Videos per forward pass. Less needs less memory; unless given, as many as leave about what eight views of
        16 × 224² pixels leave in ViT-S; all of a step where videos and captions are contrasted.
    bf16
        Compute in bfloat16 where that is safe.
    recompute
        Compute activations twice instead of keeping them; less memory, a third more time.
    cache_bytes
        Memory for decoded videos, for small data sets.
    keep_features
        Folder that keeps what a frozen backbone makes of clips; those that recur (`augment.draws`) are seen once.
    save_every
        Optimizer steps between two saved states.
    validate_every
        Epochs between two looks at the validation videos; 0 never looks.
    skip
        A list of videos to leave out, as `tubelet data check --quarantine` writes it.
    allow_missing
        Report test figures although some videos could not be read.
    max_bad_share
        Share of videos that may be unreadable before training gives up.
    """

    device: str = "auto"
    num_workers: int = 0
    micro_batch_size: int | None = None
    bf16: bool = False
    recompute: bool = False
    cache_bytes: int = 0
    keep_features: Path | None = None
    save_every: int = 500
    validate_every: int = 1
    skip: Path | None = None
    allow_missing: bool = False
    max_bad_share: float = 0.05

    def __post_init__(self) -> None:
        counts = {
            "save_every": 1,
            "validate_every": 0,
            "num_workers": 0,
            "cache_bytes": 0,
            "micro_batch_size": 1,
        }
        for name, least in counts.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; it must be at least {least}")
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(f"max_bad_share is {self.max_bad_share}; it must be from 0 to 1")


def fit_to_classes(recipe: Recipe, splits: Splits) -> Recipe:
    """The recipe for as many classes as the data names; labels beyond the recipe's classes are an error.

    A regression gets its one output.
    """
    if recipe.task == "regression":
        for sample in (*splits.train, *splits.val, *splits.test):
            if sample.value is None:
                raise DataError(f"{sample.path} has no value, and a regression needs one for every video")
        return replace(recipe, overrides=(*recipe.overrides, *class_settings(recipe, 1)))
    if not recipe.classifies:
        return recipe
    if reads_texts(variant(recipe.model)):
        check_named(splits, recipe.model)
        check_numbers(splits, len(splits.classes), "the data names")
        return recipe
    if splits.classes:
        settings = class_settings(recipe, len(splits.classes))
        recipe = replace(recipe, overrides=(*recipe.overrides, *settings))
    check_numbers(splits, model_config(recipe).num_classes, "the model has")
    return recipe


def class_settings(recipe: Recipe, num_classes: int) -> tuple[str, ...]:
    """The overrides that give a recipe's model so many classes."""
    parts = ("masked.", "multimodal.") if isinstance(variant(recipe.model), CrossModelConfig) else ("",)
    return tuple(f"{part}num_classes={num_classes}" for part in parts)


def check_named(splits: Splits, model: str) -> None:
    """Raise where classes have no names, which are all that a model of videos and texts knows of them."""
    if not splits.classes:
        raise DataError(
            f"{model} learns the names of classes, and these have numbers only; put a classes.txt with one name "
            "per line beside the lists"
        )


def check_numbers(splits: Splits, num_classes: int, whose: str) -> None:
    """Raise where a video has no label, or one beyond the classes there are."""
    for sample in (*splits.train, *splits.val, *splits.test):
        if sample.label is None:
            raise DataError(f"{sample.path} has no label; `tubelet pretrain` learns without labels")
        if not 0 <= sample.label < num_classes:
            way_out = "set model.num_classes" if whose == "the model has" else "correct the list"
            raise DataError(
                f"{sample.path} has label {sample.label}, but {whose} {num_classes} classes "
                f"(0 to {num_classes - 1}); {way_out}"
            )


def check_videos(splits: Splits, *, allow_missing: bool, max_bad_share: float) -> None:
    """Raise where files are missing that a run would trip over, hours later for those of the test."""
    lists = {"train": splits.train, "test": splits.test}
    for name, samples in lists.items():
        missing = check_files(samples)
        fatal = len(missing) > max_bad_share * len(samples) if name == "train" else not allow_missing
        if missing and fatal:
            raise DataError(
                f"{len(missing)} of {len(samples)} {name} videos are not there: {missing[0].reason}"
            )


def model_config(recipe: Recipe) -> Any:
    """The model's config: the variant, for the clips that the recipe feeds, with the recipe's overrides."""
    spec, size = recipe.input, variant(recipe.model)
    time, place = fed_parts(size)
    sizes = (f"{time}num_frames={spec.num_frames}", f"{place}image_size={spec.image_size}")
    try:
        config = override(size, (*sizes, *recipe.overrides))
    except ConfigError as error:
        raise ConfigError(f"model {recipe.model}: {error}") from None
    check_model(recipe, config)
    encoder = getattr(config, "encoder", config)
    if (encoder.num_frames, encoder.image_size) != (spec.num_frames, spec.image_size):
        raise ConfigError(
            f"the model is for {encoder.num_frames} frames of {encoder.image_size} pixels, but the recipe feeds "
            f"{spec.num_frames} of {spec.image_size}; set input.num_frames and input.image_size instead"
        )
    return config


def fed_parts(config: Any) -> tuple[str, str]:
    """Where a config says how many frames, and of how many pixels, its model sees."""
    if isinstance(config, XCLIPConfig | ViCLIPConfig):
        return "", "image."
    if isinstance(config, CrossModelConfig):
        return "masked.encoder.", "masked.encoder."
    part = "video." if isinstance(config, InternVideoConfig | AnswererConfig) else "encoder."
    return part, part


def reads_texts(config: Any) -> bool:
    """Whether a model knows classes by their names."""
    return isinstance(config, XCLIPConfig | ViCLIPConfig | InternVideoConfig)


def check_model(recipe: Recipe, config: Any) -> None:
    """Raise where a model cannot do what the recipe's task asks of it."""
    kinds: dict[str, tuple[type, str]] = {
        "masked": (videomae.PretrainerConfig, "a VideoMAE pre-trainer such as videomae_small_pretrain"),
        "alignment": (
            videomamba_pretrain.PretrainerConfig,
            "a VideoMamba pre-trainer such as videomamba_middle_pretrain",
        ),
        "distillation": (videomamba.ClassifierConfig, "a VideoMamba such as videomamba_middle"),
        "contrast": (ViCLIPConfig, "a ViCLIP such as viclip_b16"),
        "captioning": (InternVideoConfig, "an InternVideo such as internvideo_mm_b16_caption"),
        "answering": (AnswererConfig, "a model for questions such as internvideo_qa_b16"),
    }
    if reads_texts(config) and recipe.optim.layer_decay < 1:
        raise ConfigError(
            f"optim.layer_decay is {recipe.optim.layer_decay}, but the layers of {recipe.model}'s towers do not "
            "follow one another; set it to 1 (optim.new_lr_scale speeds up what is added to CLIP)"
        )
    if recipe.task in kinds:
        kind, wanted = kinds[recipe.task]
        fits = isinstance(config, kind)
    else:
        fits = hasattr(config, "num_classes") or (recipe.task == "classification" and reads_texts(config))
        wanted = "a classifier such as videomamba_tiny"
    if not fits:
        raise ConfigError(f"task={recipe.task} needs {wanted}; {recipe.model} is none")
    words = recipe.captioning
    if words is not None and config.caption is None and (words.caption or words.hidden):
        raise ConfigError(
            f"{recipe.model} has no decoder to tell captions with; take internvideo_mm_b16_caption, or set "
            "captioning.caption=0 captioning.hidden=0"
        )


def training_set(recipe: Recipe, samples: list[Sample], cache: FrameCache | None) -> VideoDataset:
    """The videos to learn from, as the recipe samples and augments them."""
    spec, augment = recipe.input, recipe.augment
    if recipe.pretrains and not recipe.matches:
        plan = spec.pretraining_plan()
        transform = PretrainTransform(
            image_size=spec.image_size,
            scales=augment.multiscale,
            flip=augment.flip,
            num_views=augment.views,
        )
    elif augment.crop == "multiscale":
        plan = spec.training_plan()
        transform = MultiscaleTransform(
            image_size=spec.image_size,
            scales=augment.multiscale,
            flip=augment.flip,
            jitter=ColourJitter(probability=augment.jitter, per_frame=augment.jitter_per_frame),
            grayscale=augment.grayscale,
            num_views=augment.views,
            antialias=spec.antialias,
        )
    else:
        plan = spec.training_plan()
        transform = FinetuneTransform(
            image_size=spec.image_size,
            randaugment=parse_randaugment(augment.randaugment) if augment.randaugment else None,
            scale=augment.scale,
            ratio=augment.ratio,
            flip=augment.flip,
            num_views=augment.views,
            antialias=spec.antialias,
        )
    return VideoDataset(
        samples=samples,
        plan=plan,
        transform=transform,
        seed=recipe.seed,
        fps=spec.fps,
        decode_short_side=spec.decode_short_side,
        draws=augment.draws,
        cache=cache,
    )


def training_order(recipe: Recipe, num_samples: int, micro_batch_size: int | None) -> TrainingOrder:
    """Which videos meet in which batch, and in which forward pass."""
    size = micro_batch_size or default_micro_batch_size(recipe)
    if recipe.mix is not None and size < 2 <= recipe.optim.batch_size:
        raise ConfigError(
            f"clips are mixed with others of the same forward pass, but micro_batch_size is {size}; give at "
            "least 2, or set mix=none"
        )
    if recipe.contrasts:
        check_rivals("videos", size)
    return TrainingOrder(
        num_samples=num_samples,
        batch_size=recipe.optim.batch_size,
        micro_batch_size=size,
        seed=recipe.seed,
    )


def check_rivals(what: str, size: int) -> None:
    """Raise where a forward pass would have one pair of `what` and captions: it is right whatever it says."""
    if size < 2:
        raise ConfigError(
            f"{what} and captions are contrasted with others of the same forward pass, but there is {size}; set "
            "optim.batch_size, image_batch_size and --micro-batch-size so that there are at least 2"
        )


def default_micro_batch_size(recipe: Recipe) -> int:
    """Videos per forward pass that a modest machine can hold: a divisor of the batch size, at least 2.

    Where videos and captions are contrasted in it, the whole batch, whatever the machine: less would be easier.

    The measure is what eight views of 16 frames of 224² pixels leave in ViT-S for a backward pass, about 4 GB:
    so many numbers per token, width and block.
    """
    config, batch_size = model_config(recipe), recipe.optim.batch_size
    if recipe.matches:
        return batch_size
    by_frame = hasattr(config, "image")
    tower = config.image if by_frame else config.encoder
    frames = config.num_frames if by_frame else 1
    clips = recipe.augment.views * frames
    room = 8 * 1568 * 384 * 12 / (clips * math.prod(tower.grid) * tower.dim * tower.depth)
    divisors = [size for size in range(1, batch_size + 1) if batch_size % size == 0]
    largest = max(size for size in divisors if size <= max(room, 2))
    # A prime batch size leaves no choice where clips are mixed with one another.
    return batch_size if largest == 1 and recipe.mix is not None else largest


def loop_settings(recipe: Recipe, order: Order, options: RunOptions, device: torch.device) -> LoopSettings:
    """How the loop steps: schedules over all steps, with the learning rate scaled to the batch."""
    optim, per_epoch = recipe.optim, order.steps_per_epoch
    num_steps = optim.epochs * per_epoch
    scale = optim.batch_size / 256
    end = optim.weight_decay if optim.weight_decay_end is None else optim.weight_decay_end
    lr = CosineSchedule(
        peak=optim.lr * scale,
        final=optim.min_lr * scale,
        num_steps=num_steps,
        warmup_steps=round(optim.warmup_epochs * per_epoch),
        cosine_from_start=optim.cosine_from_start,
        final_scales=optim.min_lr_scales,
        ramp_ends_on_peak=optim.warmup_ends_on_peak,
    )
    return LoopSettings(
        num_steps=num_steps,
        lr=lr,
        weight_decay=CosineSchedule(peak=optim.weight_decay, final=end, num_steps=num_steps),
        seed=recipe.seed,
        device=device,
        accumulate=order.accumulate,
        max_grad_norm=optim.max_grad_norm,
        bf16=options.bf16,
        save_every=options.save_every,
        validate_every=options.validate_every * per_epoch,
        max_bad_share=options.max_bad_share,
    )
