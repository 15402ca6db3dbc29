"""What a model wants to be fed: carried by recipes, and by every checkpoint, so that nobody can feed another."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.sampling import EvenClips, EvenSegments, PretrainWindow, RandomSegments, RandomWindow
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform
from tubelet.errors import ConfigError

# Number of frames and a generator (or None: nothing random) to the frames of every clip.
Plan = Callable[[int, torch.Generator | None], Int64[Tensor, "clips frames"]]


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """Frames, pixels and statistics, and the views of a test.

    "dense" sampling takes frames `stride` apart, "segments" spreads a clip over the whole video (and does not
    look at `stride`). A test looks at `num_clips` × `num_crops` views.
    """

    num_frames: int = 16
    stride: int = 4
    sampling: Literal["dense", "segments"] = "dense"
    image_size: int = 224
    short_side: int | None = None  # of test frames before cropping; image_size where None
    num_clips: int = 5
    num_crops: int = 3
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "image_size", "num_clips", "num_crops"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def pretraining_plan(self) -> Plan:
        """One clip at a random place, frames exactly `stride` apart."""
        return PretrainWindow(num_frames=self.num_frames, stride=self.stride)

    def training_plan(self) -> Plan:
        """One clip at a random place, as fine-tuning draws it; in the middle without a generator."""
        if self.sampling == "dense":
            return RandomWindow(num_frames=self.num_frames, stride=self.stride)
        return RandomSegments(num_frames=self.num_frames)

    def test_plan(self) -> Plan:
        """All clips of a test."""
        if self.sampling == "dense":
            return EvenClips(num_frames=self.num_frames, stride=self.stride, num_clips=self.num_clips)
        return EvenSegments(num_frames=self.num_frames, num_clips=self.num_clips)

    def test_transform(self) -> EvalTransform:
        """All crops of a clip in a test."""
        return EvalTransform(image_size=self.image_size, short_side=self.short_side, num_crops=self.num_crops)
