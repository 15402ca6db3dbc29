"""Videos of a list, decoded and cut into views on request."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tubelet.data.batch import Failure, LoadedVideo, ViewId
from tubelet.data.input_spec import Plan
from tubelet.data.long_video import steps
from tubelet.data.randomness import counter_generator, integer, view_generator
from tubelet.data.sample import Sample
from tubelet.data.video import Video
from tubelet.errors import VideoError

Transform = Callable[
    [UInt8[Tensor, "frames 3 rows columns"], torch.Generator], UInt8[Tensor, "views 3 frames size size"]
]


@dataclass
class FrameCache:
    """Decoded videos kept in memory up to a number of bytes; what comes later is decoded every time.

    Worth it where the whole set is small and seen many times. Every data worker has its own.
    """

    max_bytes: int
    stored: dict[str, UInt8[Tensor, "frames 3 rows columns"]] = field(default_factory=dict)
    used_bytes: int = 0

    def fits(self, num_bytes: int) -> bool:
        """Whether that many bytes more stay within the limit."""
        return self.used_bytes + num_bytes <= self.max_bytes

    def keep(self, path: str, pixels: UInt8[Tensor, "frames 3 rows columns"]) -> None:
        """Store a whole video if it still fits."""
        if self.fits(pixels.nbytes):
            self.stored[path] = pixels
            self.used_bytes += pixels.nbytes


@dataclass(frozen=True, kw_only=True)
class VideoDataset:
    """Views of video `index` in epoch `epoch`, addressed by that pair.

    `plan` says which frames make a clip, `transform` which views a clip gives. Both draw from a counter of
    (seed, epoch, index) alone. All clips of a video come from one pass of decoding. With `random` off
    (evaluation, unless its clips are to be drawn) the plan draws nothing. A video that cannot be read is
    returned as a `Failure`. With `draws`, epochs repeat the first so many: of each video there are no more clips.

    With it comes its question, or a caption, of several one that is drawn anew in each epoch.

    With `fps` the plan counts steps of time instead of the file's frames. With `decode_short_side` frames are
    made smaller while they are decoded.

    A video is decoded whole only where the cache has room for it, else no more than the planned frames.
    """

    samples: Sequence[Sample]
    plan: Plan
    transform: Transform
    seed: int = 0
    random: bool = True
    fps: float | None = None
    decode_short_side: int | None = None
    draws: int | None = None
    cache: FrameCache | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> LoadedVideo | Failure:
        epoch, index = key
        if self.draws is not None:
            epoch %= self.draws
        sample = self.samples[index]
        generator = view_generator(self.seed, epoch, index)
        try:
            clips = self._clips(sample, generator)
        except VideoError as error:
            return Failure(path=sample.path, reason=str(error))
        views = joined([self.transform(clip, generator) for clip in clips])
        ids = tuple(ViewId(epoch=epoch, sample=index, view=view) for view in range(len(views)))
        return LoadedVideo(
            pixels=views,
            label=sample.label,
            ids=ids,
            name=sample.path,
            value=sample.value,
            text=self._text(sample, key),
        )

    def _text(self, sample: Sample, key: tuple[int, int]) -> str | None:
        """The question about a video, or a caption: another one in each epoch, the first without `random`."""
        if sample.question is not None or not sample.captions:
            return sample.question
        if not self.random or len(sample.captions) == 1:
            return sample.captions[0]
        # Its own counter, so that captions change nothing of what is seen.
        return sample.captions[
            integer(0, len(sample.captions), counter_generator(self.seed, "caption", *key))
        ]

    def _clips(
        self, sample: Sample, generator: torch.Generator
    ) -> list[UInt8[Tensor, "frames 3 rows columns"]]:
        draw = generator if self.random else None
        # Windows are not kept: they are for videos that are too long for that.
        cache = self.cache if sample.window is None else None
        if cache is not None and sample.path in cache.stored:
            pixels = cache.stored[sample.path]
            return [pixels[frames] for frames in self.plan(len(pixels), draw)]
        with Video(sample.path, short_side=self.decode_short_side) as video:
            counted = steps(video, self.fps, sample.window, sample.num_frames)
            plan = self.plan(len(counted), draw)
            if cache is None or not self._keeps(video, len(counted)):
                return planned_frames(video, counted[plan])
            pixels = video.frames(counted).pixels
        cache.keep(sample.path, pixels)
        return [pixels[frames] for frames in plan]

    def _keeps(self, video: Video, length: int) -> bool:
        """Whether the cache has room for `length` frames of a video."""
        # The size is asked for last: it costs decoding a frame.
        cache = self.cache
        return (
            cache is not None
            and cache.fits(3 * length)
            and cache.fits(3 * length * video.height * video.width)
        )


def planned_frames(
    video: Video, plan: Int64[Tensor, "clips frames"]
) -> list[UInt8[Tensor, "frames 3 rows columns"]]:
    """The pixels of every clip, from one pass of decoding."""
    wanted, place = torch.unique(plan, return_inverse=True)
    pixels = video.frames(wanted).pixels
    if plan.numel() == len(wanted) and bool((plan.flatten() == wanted).all()):
        return list(pixels.split(plan.shape[1]))  # in order and without repeats: no copy
    return [pixels[frames] for frames in place]


def joined(
    views: Sequence[UInt8[Tensor, "_ 3 frames size size"]],
) -> UInt8[Tensor, "views 3 frames size size"]:
    """The views of all clips; those of a single clip are not copied."""
    return views[0] if len(views) == 1 else torch.cat(list(views))


def check_files(samples: Sequence[Sample]) -> list[Failure]:
    """Videos of a list that are not there; cheap enough to ask before a run starts."""
    return [
        Failure(path=sample.path, reason=f"{sample.path} does not exist")
        for sample in samples
        if not Path(sample.path).exists()
    ]
