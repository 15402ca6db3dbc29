"""Which frames of a video make up its clips.

A plan is a value: `plan(length, generator)` gives the frame numbers of every clip of a video of `length`
frames, as a table (clips, frames). It opens nothing. Random plans draw from `generator`; without one they
give the clip in the middle of what they could draw, the same each time. (The published code draws at random
even in validation.)

Plans that take a frame of each segment of the video, whatever its length, are in `segments.py`.

Videos shorter than a plan's span repeat frames in the published manner; `strict=True` refuses them instead.

The rules and roundings are those of VideoMAE (Z. Tong et al., 2022, section 4) and its published data
loaders, recorded in `tests/golden/frame_indices.json`.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.randomness import integer
from tubelet.errors import ConfigError, VideoError


@dataclass(frozen=True, kw_only=True)
class RandomWindow:
    """One clip spread over a random window of `num_frames * stride` frames: fine-tuning on Kinetics.

    The clip reaches from the window's first frame to its last, so its frames are slightly more than `stride`
    apart (4.27 for 16 x 4). A video no longer than the window is sampled from end to end at about `stride`
    and its last frame fills the rest.
    """

    num_frames: int
    stride: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, stride=self.stride)

    @property
    def span(self) -> int:
        """Frames under the window."""
        return self.num_frames * self.stride

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.span if self.strict else 1)
        if length <= self.span:
            end = length
        elif generator is None:
            end = (self.span + length) // 2
        else:
            end = integer(self.span, length, generator)
        return self.indices_from_end(length, end)[None]

    def indices_from_end(self, length: int, end: int) -> Int64[Tensor, "frames"]:
        """The clip of the window that closes before frame `end`, drawn from span, …, length - 1.

        `end` says nothing when the video is no longer than the window.

        >>> RandomWindow(num_frames=4, stride=2).indices_from_end(length=20, end=10)
        tensor([2, 4, 7, 9])
        """
        if length <= self.span:
            spread = np.linspace(0, length, num=length // self.stride)
            filled = np.concatenate([spread, np.full(self.num_frames - len(spread), float(length))])
            return _whole(np.clip(filled, 0, length - 1))
        start = end - self.span
        return _whole(np.clip(np.linspace(start, end, num=self.num_frames), start, end - 1))


@dataclass(frozen=True, kw_only=True)
class PretrainWindow:
    """One clip of frames exactly `stride` apart from a random start: masked pre-training."""

    num_frames: int
    stride: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, stride=self.stride)

    @property
    def span(self) -> int:
        return self.num_frames * self.stride

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.span if self.strict else 1)
        room = max(length - self.span, 0)
        start = room // 2 if generator is None else integer(0, room + 1, generator)
        return self.indices_from_start(length, start)[None]

    def indices_from_start(self, length: int, start: int) -> Int64[Tensor, "frames"]:
        """The clip that opens with frame `start`, drawn from 0, …, length - span.

        Near the end of the video the clip stops moving and repeats the frame it has reached.

        >>> PretrainWindow(num_frames=4, stride=2).indices_from_start(length=6, start=0)
        tensor([0, 2, 4, 4])
        """
        frames = [start]
        while len(frames) < self.num_frames:
            # The published loader counts from 1 here, so it never steps onto the very last frame.
            can_step = frames[-1] + 1 + self.stride < length
            frames.append(frames[-1] + self.stride if can_step else frames[-1])
        return torch.tensor(frames)


@dataclass(frozen=True, kw_only=True)
class EvenClips:
    """`num_clips` clips of frames exactly `stride` apart, spread evenly over the video: testing on Kinetics.

    The first clip opens the video and the last one closes it; a single clip lies in the middle.
    """

    num_frames: int
    stride: int
    num_clips: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, stride=self.stride, num_clips=self.num_clips)

    @property
    def span(self) -> int:
        return self.num_frames * self.stride

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.span if self.strict else 1)
        thinned = torch.arange(0, length, self.stride)
        lacking = max(self.num_frames - len(thinned), 0)
        thinned = torch.cat([thinned, thinned[-1:].expand(lacking)])
        room = len(thinned) - self.num_frames
        if self.num_clips == 1:
            starts = [room // 2]
        else:
            step = room / (self.num_clips - 1)
            starts = [int(i * step) for i in range(self.num_clips)]
        return torch.stack([thinned[start : start + self.num_frames] for start in starts])


@dataclass(frozen=True, kw_only=True)
class SlidingWindows:
    """Clips of frames `stride` apart that open every `hop` frames of a long video.

    `hop` is the window's span unless given, so that windows touch. What is left after the last whole window
    goes by `tail`: "shift" moves one more window back until it closes the video, "repeat" lets it run over
    the end and repeats the last frame, "drop" leaves the rest out. A video shorter than one window gives one
    clip that repeats the last frame.
    """

    num_frames: int
    stride: int = 1
    hop: int | None = None
    tail: Literal["shift", "repeat", "drop"] = "shift"
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, stride=self.stride, hop=1 if self.hop is None else self.hop)
        if self.tail not in ("shift", "repeat", "drop"):
            raise ConfigError(f"tail is {self.tail!r}; choose from shift, repeat, drop")

    @property
    def span(self) -> int:
        """Frames from one window's start to where the next one would follow without a gap."""
        return self.num_frames * self.stride

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.span if self.strict else 1)
        hop = self.span if self.hop is None else self.hop
        reach = (self.num_frames - 1) * self.stride  # from a clip's first frame to its last
        last_start = max(length - 1 - reach, 0)
        starts = list(range(0, last_start + 1, hop))
        if self.tail == "shift" and starts[-1] < last_start:
            starts.append(last_start)
        # One more window is worth it only if it shows a frame behind the reach of the one before.
        if self.tail == "repeat" and starts[-1] < last_start and starts[-1] + hop < length:
            starts.append(starts[-1] + hop)
        clips = torch.tensor(starts)[:, None] + torch.arange(self.num_frames) * self.stride
        return clips.clamp(max=length - 1)


@dataclass(frozen=True, kw_only=True)
class CenterClip:
    """One clip of frames `stride` apart around the middle of the video: AVA, where that is the keyframe.

    Frames before the start or behind the end repeat the first or the last one.
    """

    num_frames: int
    stride: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, stride=self.stride)

    @property
    def span(self) -> int:
        return self.num_frames * self.stride

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.span if self.strict else 1)
        start = (length - self.span) // 2 + (self.stride - 1) // 2
        return (start + self.stride * torch.arange(self.num_frames)).clamp(0, length - 1)[None]


def check_counts(**counts: int) -> None:
    """Raises where a setting that counts something is below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}; it must be at least 1")


def check_length(length: int, shortest: int) -> None:
    """Raises where a video has no frames, or fewer than the `shortest` that a plan takes."""
    if length < 1:
        raise VideoError(f"a plan needs at least 1 frame, and the video has {length}")
    if length < shortest:
        raise VideoError(
            f"too few frames for the plan: the video has {length}, the plan spans {shortest}; "
            "strict=False repeats frames instead"
        )


def _whole(frames: np.ndarray) -> Int64[Tensor, "frames"]:
    """Frame numbers with their fractions cut off."""
    return torch.from_numpy(frames.astype(np.int64))
