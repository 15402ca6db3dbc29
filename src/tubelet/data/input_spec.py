"""What a model wants to be fed: carried by recipes, and by every checkpoint, so that nobody can feed another."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.geometry import Rounding
from tubelet.data.sampling import EvenClips, PretrainWindow, RandomWindow
from tubelet.data.segments import (
    EndToEnd,
    EvenSegments,
    MiddleSegments,
    RandomSegments,
    SegmentStarts,
    UniformSegments,
)
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, EvalTransform, check_stretched
from tubelet.data.video import Video
from tubelet.errors import ConfigError

# Number of frames and a generator (or None: nothing random) to the frames of every clip.
Plan = Callable[[int, torch.Generator | None], Int64[Tensor, "clips frames"]]

Sampling = Literal["dense", "segments", "uniform", "middles", "starts", "end_to_end"]
# Plans that draw with a generator and are spread evenly without one.
SPREAD = {
    "uniform": UniformSegments,
    "middles": MiddleSegments,
    "starts": SegmentStarts,
    "end_to_end": EndToEnd,
}


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """Frames, pixels and statistics, and the views of a test.

    "dense" sampling takes frames `stride` apart. "segments" (VideoMAE's rule), "uniform" (VideoMamba's and
    UniFormerV2's), "middles" (X-CLIP's), "starts" (ViCLIP's) and "end_to_end" (InternVideo's) spread a clip over
    the whole video and do not look at `stride`. A test looks at `num_clips` × `num_crops` views.

    The clips of a test are spread evenly. With `random_clips` several clips are drawn as training draws them,
    which is how X-CLIP was published: an accuracy then says what these draws gave (its authors name ±0.2 %). They
    follow from a video's place in its list, so they are the same each time; a single clip is never drawn. "dense"
    and "segments" know no such clips.

    `antialias` averages where frames shrink, which photographs want; the published video models were fed without.

    `rounding` says whose rule makes sizes and crops whole pixels. `stretch` makes frames square without a crop,
    whatever their shape, as ViCLIP's demo does.

    With `fps` a plan sees a video as if it had been filmed at that rate: it counts equal steps of time, each with
    the frame that is on screen then, however fast or unevenly the file's own frames follow each other. Without,
    plans count the file's frames, as the published code does.

    With `decode_short_side` larger frames are made smaller while they are decoded, which saves memory and time
    with films of high resolution; crops and resizes then start from there.

    `window_seconds` cuts long videos into windows that open every `window_hop` seconds (end to end where None).
    Each window is a sample of its own in training; a test gives every video the mean over its windows, unless
    `merge_windows` is off: then windows are judged one by one, as VideoMamba was on LVU.
    """

    num_frames: int = 16
    stride: int = 4
    sampling: Sampling = "dense"
    image_size: int = 224
    short_side: int | None = None  # of test frames before cropping; image_size where None
    num_clips: int = 5
    num_crops: int = 3
    random_clips: bool = False
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    antialias: bool = False
    rounding: Rounding = "videomae"
    stretch: bool = False
    fps: float | None = None
    decode_short_side: int | None = None
    window_seconds: float | None = None
    window_hop: float | None = None
    merge_windows: bool = True

    def __post_init__(self) -> None:
        for name in ("num_frames", "stride", "image_size", "num_clips", "num_crops"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.random_clips and self.sampling not in SPREAD:
            raise ConfigError(
                f"random_clips is for sampling={', '.join(SPREAD)}; with sampling={self.sampling} the clips of "
                "a test are spread evenly, so leave it off"
            )
        needed = self.short_side or self.image_size
        if self.decode_short_side is not None and self.decode_short_side < needed:
            raise ConfigError(
                f"decode_short_side is {self.decode_short_side}, but a test wants frames with a short side of "
                f"{needed}, for which they would be enlarged again; decode at least so many pixels"
            )
        if self.stretch:
            check_stretched(self.num_crops, self.short_side)
        for name, unit in (
            ("fps", "frames per second"),
            ("window_seconds", "seconds"),
            ("window_hop", "seconds"),
        ):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value}; it must be a number of {unit} above 0")
        if self.window_hop is not None and self.window_seconds is None:
            raise ConfigError(
                f"window_hop is {self.window_hop}, but there are no windows; set window_seconds"
            )

    @property
    def draws_clips(self) -> bool:
        """Whether a test draws its clips."""
        return self.random_clips and self.num_clips > 1

    def pretraining_plan(self) -> Plan:
        """One clip at a random place, frames exactly `stride` apart; over the whole video unless "dense"."""
        if self.sampling != "dense":
            return self.training_plan()
        return PretrainWindow(num_frames=self.num_frames, stride=self.stride)

    def training_plan(self) -> Plan:
        """One clip at a random place, as fine-tuning draws it; in the middle without a generator."""
        if self.sampling == "dense":
            return RandomWindow(num_frames=self.num_frames, stride=self.stride)
        if self.sampling in SPREAD:
            return SPREAD[self.sampling](num_frames=self.num_frames)
        return RandomSegments(num_frames=self.num_frames)

    def test_plan(self) -> Plan:
        """All clips of a test, spread evenly; give it a generator only where `draws_clips`."""
        if self.sampling == "dense":
            return EvenClips(num_frames=self.num_frames, stride=self.stride, num_clips=self.num_clips)
        if self.sampling in SPREAD:
            return SPREAD[self.sampling](num_frames=self.num_frames, num_clips=self.num_clips)
        return EvenSegments(num_frames=self.num_frames, num_clips=self.num_clips)

    def opened(self, video: Video | str | Path) -> AbstractContextManager[Video]:
        """A file opened as the model wants it; a `Video` is taken as it is, and stays open."""
        if isinstance(video, Video):
            return nullcontext(video)
        return Video(video, short_side=self.decode_short_side)

    def test_transform(self) -> EvalTransform:
        """All crops of a clip in a test."""
        return EvalTransform(
            image_size=self.image_size,
            short_side=self.short_side,
            num_crops=self.num_crops,
            antialias=self.antialias,
            rounding=self.rounding,
            stretch=self.stretch,
        )


STATISTICS = ("mean", "std")
# What a model learned to see. How much of a video a test looks at is free.
LEARNED = (*STATISTICS, "sampling", "stride", "fps", "antialias", "stretch", "decode_short_side")


def departures(spec: InputSpec, card: InputSpec, among: Sequence[str] = LEARNED) -> str | None:
    """In words, what is fed otherwise than a model's card says it was trained with; None where nothing is.

    >>> departures(InputSpec(mean=(0.5, 0.5, 0.5), num_clips=1), InputSpec())
    'mean is (0.5, 0.5, 0.5) and not (0.485, 0.456, 0.406)'
    """
    names = [name for name in among if getattr(spec, name) != getattr(card, name)]
    if (spec.sampling, card.sampling) != ("dense", "dense"):
        names = [name for name in names if name != "stride"]  # at which nobody looks then
    said = [f"{name} is {getattr(spec, name)} and not {getattr(card, name)}" for name in names]
    return "; ".join(said) or None


def views_of(spec: InputSpec) -> str:
    """In words, how much of each video a figure rests on.

    >>> views_of(InputSpec())
    '5 clips × 3 crops of 16 frames, 224² pixels of a short side of 224'
    """
    seen = f"{spec.num_clips} clips × {spec.num_crops} crops of {spec.num_frames} frames"
    return f"{seen}, {spec.image_size}² pixels of a short side of {spec.short_side or spec.image_size}"
