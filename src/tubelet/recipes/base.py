"""A recipe: everything that decides the outcome of a run, and nothing else.

Paths, devices, workers and log intervals are options of a run, not part of its recipe.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from tubelet.data.input_spec import InputSpec
from tubelet.data.mix import MixConfig
from tubelet.errors import ConfigError
from tubelet.text.prompts import Wording

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """AdamW, a warm-up and a cosine.

    `lr` and `min_lr` are for a batch of 256 and scale with the batch, as in every VideoMAE recipe. `batch_size`
    counts videos per step over all devices; views of repeated augmentation come on top and do not scale `lr`.

    `decay_A_log` and `layer_decay_on="embedding"` are what VideoMamba's published code does. `new_lr_scale` is
    how much faster X-CLIP learns what it adds to CLIP (see `train.optim`). With `cosine_from_start` the cosine
    runs under the warm-up too, and the rate jumps down to it when that ends, as in X-CLIP's published code, where
    moreover all parameters end at `min_lr`, however fast they learned (`min_lr_scales=False`), and the warm-up
    ends a step before it would reach the peak (`warmup_ends_on_peak=False`).
    """

    lr: float
    batch_size: int
    epochs: int
    warmup_epochs: int | float = 5
    min_lr: float = 1e-6
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    weight_decay_end: float | None = None  # constant where None
    layer_decay: float = 1.0
    layer_decay_on: Literal["all", "embedding"] = "all"
    decay_A_log: bool = False  # noqa: N815 - the parameter's own name
    new_lr_scale: float = 1.0
    cosine_from_start: bool = False
    min_lr_scales: bool = True
    warmup_ends_on_peak: bool = True
    max_grad_norm: float | None = None
    ema: float | None = None  # decay per step of a moving average of the weights

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"optim.{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.warmup_epochs <= self.epochs:
            raise ConfigError(
                f"optim.warmup_epochs is {self.warmup_epochs} of {self.epochs} epochs; warm up for fewer"
            )
        if not 0 < self.lr < math.inf or not 0 <= self.min_lr < math.inf:
            raise ConfigError(f"optim.lr is {self.lr} and min_lr {self.min_lr}; they must be positive")
        if not 0 < self.new_lr_scale < math.inf:
            raise ConfigError(f"optim.new_lr_scale is {self.new_lr_scale}; it must be above 0")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"optim.layer_decay is {self.layer_decay}; it must be above 0 and at most 1")
        for name in ("weight_decay", "weight_decay_end", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"optim.{name} is {value}; it must be 0 or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(f"optim.ema is {self.ema}; it must be between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class AugmentRecipe:
    """What training does to clips. `views` > 1 is repeated augmentation: so many crops of the same frames.

    A "resized" crop is of any place, `scale` and `ratio`; a "multiscale" one (X-CLIP's, and that of masked
    pre-training) lies in a corner or the centre and is one of `multiscale` shares wide and high. RandAugment
    comes with the former alone; with the latter come `jitter`, the probability of other colours, and `grayscale`,
    of none. `jitter_per_frame` changes each frame of a clip otherwise.

    `draws` is how many different clips there are of each video, frames, crop and all: epochs take them in turn.
    So they recur, and what a frozen backbone makes of them can be kept. Unless given, every epoch draws anew.
    """

    crop: Literal["resized", "multiscale"] = "resized"
    randaugment: str | None = None  # for example "rand-m7-n4-mstd0.5-inc1"
    scale: tuple[float, float] = (0.08, 1.0)  # share of the frame that a random crop covers
    ratio: tuple[float, float] = (0.75, 1.3333)  # its width / height
    flip: float = 0.5
    erasing: float = 0.0
    views: int = 1
    draws: int | None = None
    multiscale: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    jitter: float = 0.0
    jitter_per_frame: bool = False
    grayscale: float = 0.0

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ConfigError(f"augment.views is {self.views}; it must be at least 1")
        if self.draws is not None and self.draws < 1:
            raise ConfigError(f"augment.draws is {self.draws}; it must be at least 1, or none")
        for name in ("flip", "erasing", "jitter", "grayscale"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augment.{name} is {getattr(self, name)}; it is a probability from 0 to 1")
        if not self.multiscale or not all(0 < scale <= 1 for scale in self.multiscale):
            raise ConfigError(f"augment.multiscale is {self.multiscale}; it needs shares above 0 and up to 1")
        if self.crop == "multiscale" and self.randaugment is not None:
            raise ConfigError(
                "RandAugment comes with crops of any size; set augment.randaugment=none or augment.crop=resized"
            )
        if self.crop == "resized" and (self.jitter or self.grayscale):
            raise ConfigError("jitter and grayscale come with multi-scale crops; set augment.crop=multiscale")
        if self.jitter_per_frame and not self.jitter:
            raise ConfigError("jitter_per_frame is on, but jitter is 0; set augment.jitter")


@dataclass(frozen=True, kw_only=True)
class AlignmentRecipe:
    """How masked pre-training learns from a frozen CLIP image tower.

    `mask_type` chooses what is hidden (see `tasks.masking`); "attention" hides what the teacher looks at least.
    The teacher gets pixels as CLIP was trained with them; `teacher_statistics="student"` gives it the student's
    mean and deviation, as VideoMamba's published code does. With several aligned layers the teacher's are
    `teacher_interval` apart. `loss` is between unit vectors where it is "l2".
    """

    mask_type: Literal["attention", "random", "tube", "random_row", "tube_row"] = "attention"
    teacher_statistics: Literal["clip", "student"] = "clip"
    teacher_interval: float = 1.0
    loss: Literal["l2", "mse", "smooth_l1"] = "l2"

    def __post_init__(self) -> None:
        if not 0 < self.teacher_interval < math.inf:
            raise ConfigError(f"alignment.teacher_interval is {self.teacher_interval}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class DistillationRecipe:
    """How much a classifier listens to its teacher beside the labels: `weight` of 1 as published."""

    weight: float = 1.0
    loss: Literal["l2", "mse", "smooth_l1"] = "l2"

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"distillation.weight is {self.weight}; it must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class CaptioningRecipe:
    """What each part of the loss of contrast and captions counts; 0 leaves it out. The published sum is plain.

    `hidden` is of captions of which a share of words, `hidden_words`, is hidden from the decoder: ours.
    """

    contrast: float = 1.0
    caption: float = 1.0
    hidden: float = 0.0
    hidden_words: float = 0.3

    def __post_init__(self) -> None:
        parts = (self.contrast, self.caption, self.hidden)
        if not all(0 <= part < math.inf for part in parts) or not any(parts):
            raise ConfigError(
                f"captioning.contrast, caption and hidden are {parts}; each is 0 or more, and not all are 0"
            )
        if not 0 < self.hidden_words < 1:
            raise ConfigError(
                f"captioning.hidden_words is {self.hidden_words}; it is a share between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class AnsweringRecipe:
    """How many answers there are to choose from: the most frequent ones of training.

    An `answers.txt` beside the lists names them instead.
    """

    num_answers: int = 1000

    def __post_init__(self) -> None:
        if self.num_answers < 2:
            raise ConfigError(
                f"answering.num_answers is {self.num_answers}; there is nothing to choose from below 2"
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run.

    "masked" predicts hidden pixels; "alignment" is masked pre-training that predicts a CLIP image tower's
    features; "distillation" is classification that also learns from a smaller trained model; "regression"
    predicts one number per video, with the model as a classifier of one class. Tasks that have settings of their
    name need them, and alignment and distillation a teacher, whose place is an option of the run.

    "contrast" lets masked videos and their captions find each other, "captioning" also tells the captions, and
    "answering" chooses one of a list of answers to a question. The first two can learn from `image_batch_size`
    pictures per step beside the videos; contrast is within each kind, and within a forward pass.

    `model` is a name in `tubelet.models.VARIANTS`; `overrides` are assignments to its config. A model of videos
    and texts learns the names of the data's classes, as `wording` says.
    """

    task: Literal[
        "classification",
        "masked",
        "regression",
        "alignment",
        "distillation",
        "contrast",
        "captioning",
        "answering",
    ]
    model: str
    overrides: tuple[str, ...] = ()
    input: InputSpec = field(default_factory=InputSpec)
    augment: AugmentRecipe = field(default_factory=AugmentRecipe)
    optim: OptimRecipe
    mix: MixConfig | None = None
    smoothing: float = 0.0
    mask_ratio: float = 0.9
    alignment: AlignmentRecipe | None = None
    distillation: DistillationRecipe | None = None
    captioning: CaptioningRecipe | None = None
    answering: AnsweringRecipe | None = None
    image_batch_size: int | None = None
    wording: Wording = field(default_factory=Wording)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.task == "regression" and (self.mix is not None or self.smoothing):
            raise ConfigError("mix and smoothing are for classes; set mix=none smoothing=0 for a regression")
        if self.task == "answering" and self.mix is not None:
            raise ConfigError("mixed clips have no question in common; set mix=none for task=answering")
        if self.pretrains and (self.mix is not None or self.smoothing):
            raise ConfigError(
                "mix and smoothing are for training with labels; set mix=none smoothing=0 for "
                f"task={self.task}"
            )
        if self.matches and self.augment.views > 1:
            raise ConfigError(
                f"augment.views is {self.augment.views}, but several views of a video would share its caption; "
                f"set augment.views=1 for task={self.task}"
            )
        settings = {
            "alignment": "loss=l2",
            "distillation": "weight=1",
            "captioning": "caption=1",
            "answering": "num_answers=1000",
        }
        for name, way_out in settings.items():
            given = getattr(self, name) is not None
            if given and self.task != name:
                raise ConfigError(f"{name} settings are for task={name}, not {self.task}; set {name}=none")
            if self.task == name and not given:
                raise ConfigError(f"task={name} needs its settings; set for example {name}.{way_out}")
        if self.image_batch_size is not None and self.image_batch_size < 1:
            raise ConfigError(f"image_batch_size is {self.image_batch_size}; it must be at least 1, or none")
        if self.image_batch_size is not None and not self.matches:
            raise ConfigError(
                f"image_batch_size is for contrast and captioning; set image_batch_size=none for task={self.task}"
            )
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}; it must be from 0 up to 1")
        if not 0 <= self.mask_ratio < 1:
            raise ConfigError(f"mask_ratio is {self.mask_ratio}; it must be from 0 up to 1")

    @property
    def pretrains(self) -> bool:
        """Whether it learns without labels."""
        return self.matches or self.task in ("masked", "alignment")

    @property
    def matches(self) -> bool:
        """Whether it learns which captions belong to which videos."""
        return self.task in ("contrast", "captioning")

    @property
    def contrasts(self) -> bool:
        """Whether captions of other videos are wrong for a video; a loss of captions alone knows no others."""
        return self.task == "contrast" or (self.captioning is not None and self.captioning.contrast > 0)

    @property
    def classifies(self) -> bool:
        """Whether its model tells classes apart."""
        return self.task in ("classification", "distillation")

    @property
    def learns_from(self) -> str | None:
        """In words, the teacher that a run of it needs; None where it needs none."""
        return {
            "alignment": "a CLIP image tower",
            "distillation": "a smaller trained VideoMamba",
        }.get(self.task)


def chosen(name: str, value: str, values: Mapping[str, T]) -> T:
    """What a recipe has for the value of one of its parameters, or a ConfigError that lists the values."""
    if value not in values:
        raise ConfigError(f"{name} {value!r} has no recipe here; there are {', '.join(values)}")
    return values[value]
