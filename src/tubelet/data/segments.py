"""Plans that take one frame of each segment of a video, so that a clip spans all of it whatever its length.

The authors of the families cut and round differently; the rules here are theirs, recorded in
`tests/golden/frame_indices.json` (VideoMAE), `tests/golden/videomamba/protocols.json`,
`tests/golden/xclip/frame_sampling.json` and `tests/golden/internvideo/frame_sampling.json`:

| plan | segments | a test's clips |
|---|---|---|
| `RandomSegments`, `EvenSegments` | of ⌊length / n⌋ frames, the rest left over | from each segment's start on |
| `UniformSegments` | from end to end, neighbours share the frame between them | inside each segment, evenly |
| `EqualIntervals` | from end to end, without overlap | the middle of each |
| `MiddleSegments` | as `RandomSegments` in training, else of length / n frames | inside each segment, evenly |
| `SegmentStarts` | as `RandomSegments` | from each segment's start on, in steps of whole frames |
| `EndToEnd` | as `UniformSegments` in training | from the first frame to the last |
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.randomness import integer
from tubelet.data.sampling import check_counts, check_length
from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class RandomSegments:
    """One clip with a random frame out of each of `num_frames` equal segments: Something-Something training.

    A video with fewer frames than segments gives its first frame throughout, as published. Without a
    generator the clip takes the middle of each segment.
    """

    num_frames: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        segment = length // self.num_frames
        if segment == 0 or generator is None:
            offsets = [segment // 2] * self.num_frames
        else:
            offsets = torch.randint(segment, (self.num_frames,), generator=generator).tolist()
        return self.indices_from_offsets(length, offsets)[None]

    def indices_from_offsets(self, length: int, offsets: Sequence[int]) -> Int64[Tensor, "frames"]:
        """The clip that takes frame `offsets[i]` of segment i; each is drawn from 0, …, segment - 1.

        >>> RandomSegments(num_frames=4).indices_from_offsets(length=12, offsets=[0, 2, 1, 0])
        tensor([0, 5, 7, 9])
        """
        segment = length // self.num_frames
        if segment == 0:
            return torch.zeros(self.num_frames, dtype=torch.int64)
        return torch.arange(self.num_frames) * segment + torch.tensor(offsets)


@dataclass(frozen=True, kw_only=True)
class EvenSegments:
    """`num_clips` interleaved clips, each over the whole video: Something-Something testing.

    The video is cut into `num_frames` equal segments; clip i takes the frame i / num_clips into each.
    (The published code is right for two clips only; this is the rule it follows there.)

    `published_padding` does with more than two clips what the published code of VideoMamba does: two clips'
    frames and one of them repeated as often as frames are wanting, dealt out in turn.
    """

    num_frames: int
    num_clips: int
    strict: bool = False
    published_padding: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, num_clips=self.num_clips)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        if self.published_padding and self.num_clips > 2:
            first, second = EvenSegments(num_frames=self.num_frames, num_clips=2)(length)
            repeats = first[-1].expand((self.num_clips - 2) * self.num_frames)
            return torch.cat([first, second, repeats]).sort().values.view(-1, self.num_clips).T.contiguous()
        segment = length / self.num_frames
        shifts = [segment * clip / self.num_clips for clip in range(self.num_clips)]
        return torch.tensor([[int(shift + segment * i) for i in range(self.num_frames)] for shift in shifts])


@dataclass(frozen=True, kw_only=True)
class UniformSegments:
    """Clips with one frame of each of `num_frames` segments that reach from the first frame to the last.

    With a generator each frame is drawn from its segment: training of VideoMamba on Kinetics, Breakfast, COIN
    and LVU, and of UniFormerV2. Without one, clip k takes the frame (k + 1) / (num_clips + 1) into each segment,
    so that a single clip takes the middles: their validation and tests. A short video repeats frames.
    """

    num_frames: int
    num_clips: int = 1
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, num_clips=self.num_clips)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        segments = self.segments(length)
        if generator is not None:
            return torch.tensor(
                [
                    [integer(first, last + 1, generator) for first, last in segments]
                    for _ in range(self.num_clips)
                ]
            )
        shift = (length - 1) / self.num_frames / (self.num_clips + 1)
        return torch.tensor(
            [[first + int(shift * (clip + 1)) for first, _ in segments] for clip in range(self.num_clips)]
        )

    def segments(self, length: int) -> list[tuple[int, int]]:
        """The first and the last frame of each segment; training draws from first, …, last.

        >>> UniformSegments(num_frames=4).segments(length=11)
        [(0, 2), (2, 5), (5, 8), (8, 10)]
        """
        size = (length - 1) / self.num_frames
        ends = [round(size * i) for i in range(self.num_frames + 1)]
        return list(itertools.pairwise(ends))


@dataclass(frozen=True, kw_only=True)
class EqualIntervals:
    """One clip with a frame of each of `num_frames` equal intervals: video–text training and retrieval.

    With a generator each frame is drawn from its interval; without one it is the middle. A video with fewer
    frames than intervals gives each of its frames once and repeats the last.
    """

    num_frames: int
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        num_intervals = min(self.num_frames, length)
        ends = np.linspace(0, length, num=num_intervals + 1).astype(np.int64).tolist()
        intervals = list(itertools.pairwise(ends))
        if generator is None:
            frames = [(start + end - 1) // 2 for start, end in intervals]
        else:
            frames = [integer(start, end, generator) for start, end in intervals]
        return torch.tensor([frames + frames[-1:] * (self.num_frames - num_intervals)])


@dataclass(frozen=True, kw_only=True)
class MiddleSegments:
    """Clips with one frame of each of `num_frames` equal segments of a video: X-CLIP.

    With a generator each frame is drawn from its segment, and the frames left over at the end are never seen; a
    video with fewer frames than segments is spread over the clip and nothing is drawn. Without one, clip k takes
    the frame (2k + 1) / (2 num_clips) into each segment, so that a single clip takes the middles. (The published
    tests draw their 4 clips like those of training, so that no two tests agree.)
    """

    num_frames: int
    num_clips: int = 1
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, num_clips=self.num_clips)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        if generator is not None:
            segment = max(length // self.num_frames, 1)
            draws = [
                torch.randint(segment, (self.num_frames,), generator=generator).tolist()
                for _ in range(self.num_clips)
            ]
            return torch.stack([self.indices_from_offsets(length, offsets) for offsets in draws])
        segment = length / self.num_frames
        shares = [(2 * clip + 1) / (2 * self.num_clips) for clip in range(self.num_clips)]
        return torch.tensor(
            [[int(i * segment + segment * share) for i in range(self.num_frames)] for share in shares]
        )

    def indices_from_offsets(self, length: int, offsets: Sequence[int]) -> Int64[Tensor, "frames"]:
        """The clip that takes frame `offsets[i]` of segment i; each is drawn from 0, …, segment - 1.

        >>> MiddleSegments(num_frames=4).indices_from_offsets(length=3, offsets=[0, 0, 0, 0])
        tensor([0, 1, 2, 2])
        """
        if length >= self.num_frames:
            return RandomSegments(num_frames=self.num_frames).indices_from_offsets(length, offsets)
        # As published: halves go to the even frame, and what is past the end to the first one.
        spread = [round(i * length / self.num_frames) % length for i in range(self.num_frames)]
        return torch.tensor(spread)


@dataclass(frozen=True, kw_only=True)
class SegmentStarts:
    """Clips with the first frame of each of `num_frames` segments of whole frames: ViCLIP.

    What is left over at the end is never seen. With a generator each frame is drawn from its segment; without
    one, clip k begins k / num_clips into the segments. A video with fewer frames than segments, which is
    published as an error, gives each of its frames once and repeats the last.
    """

    num_frames: int
    num_clips: int = 1
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, num_clips=self.num_clips)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        segment = max(length // self.num_frames, 1)
        if generator is None:
            offsets = (torch.arange(self.num_clips) * segment // self.num_clips)[:, None]
        else:
            offsets = torch.randint(segment, (self.num_clips, self.num_frames), generator=generator)
        return (torch.arange(self.num_frames) * segment + offsets).clamp(max=length - 1)


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """Clips of frames at equal distances from the first frame of a video to the last: InternVideo.

    Several clips lie in between one another: the first one opens the video, the last one closes it. With a
    generator each frame is drawn as `UniformSegments` draws it. A short video repeats frames.
    """

    num_frames: int
    num_clips: int = 1
    strict: bool = False

    def __post_init__(self) -> None:
        check_counts(num_frames=self.num_frames, num_clips=self.num_clips)

    def __call__(
        self, length: int, generator: torch.Generator | None = None
    ) -> Int64[Tensor, "clips frames"]:
        check_length(length, self.num_frames if self.strict else 1)
        if generator is not None:
            return UniformSegments(num_frames=self.num_frames, num_clips=self.num_clips)(length, generator)
        frames = np.linspace(0, length - 1, num=self.num_frames * self.num_clips).astype(np.int64)
        return torch.from_numpy(frames).unflatten(0, (self.num_frames, -1)).T.contiguous()


def frames_at_rate(length: int, *, fps: float, frames_per_second: float) -> Int64[Tensor, "frames"]:
    """The frames nearest to the middles of intervals of 1 / `frames_per_second` seconds.

    Their number follows the length of the video, which has `length` frames of `fps` per second.

    >>> frames_at_rate(100, fps=25.0, frames_per_second=1.0)
    tensor([12, 38, 62, 88])
    """
    if not (fps > 0 and frames_per_second > 0):
        raise ConfigError(f"fps is {fps} and frames_per_second {frames_per_second}; both must be above 0")
    check_length(length, 1)
    interval = 1 / frames_per_second
    middles = np.arange(interval / 2, length / fps + interval / 2, interval)
    frames = torch.from_numpy(np.around(middles * fps).astype(np.int64))
    return frames[frames < length]
