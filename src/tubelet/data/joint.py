"""Videos and pictures in turn: micro-batches of either kind within each optimizer step.

Pictures are clips of one frame, so the two cannot share a batch. Which of them come in which step is, as for
videos alone, a function of the seed and the step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tubelet.data.batch import Failure, LoadedVideo
from tubelet.data.datasets import VideoDataset
from tubelet.data.loader import Key, TrainingOrder
from tubelet.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class JointDataset:
    """Videos, and after them pictures; indices go on counting."""

    videos: VideoDataset
    images: VideoDataset

    def __len__(self) -> int:
        return len(self.videos) + len(self.images)

    def __getitem__(self, key: Key) -> LoadedVideo | Failure:
        epoch, index = key
        if index < len(self.videos):
            return self.videos[key]
        return self.images[epoch, index - len(self.videos)]


@dataclass(frozen=True, kw_only=True)
class JointOrder:
    """The micro-batches of both kinds, in turn, and as many of either. Epochs are those of the videos."""

    videos: TrainingOrder
    images: TrainingOrder

    def __post_init__(self) -> None:
        if self.videos.accumulate != self.images.accumulate:
            raise ConfigError(
                f"a step has {self.videos.accumulate} micro-batches of videos and {self.images.accumulate} of "
                "pictures; both must be as many"
            )

    @property
    def micro_batch_size(self) -> int:
        """Videos per forward pass."""
        return self.videos.micro_batch_size

    @property
    def steps_per_epoch(self) -> int:
        return self.videos.steps_per_epoch

    @property
    def accumulate(self) -> int:
        """Micro-batches of both kinds per optimizer step on this device."""
        return 2 * self.videos.accumulate

    def micro_batches(self, start_step: int, num_steps: int) -> Iterator[list[Key]]:
        """Keys of every micro-batch from optimizer step `start_step` up to step `num_steps`."""
        both = (order.micro_batches(start_step, num_steps) for order in (self.videos, self.images))
        for videos, images in zip(*both, strict=True):
            yield videos
            yield [(epoch, self.videos.num_samples + index) for epoch, index in images]


def joint_order(videos: TrainingOrder, num_images: int, batch_size: int) -> JointOrder:
    """Pictures beside videos: as many micro-batches of them, so large that all make `batch_size` pictures."""
    if num_images < batch_size:
        raise DataError(
            f"{num_images} pictures do not fill one batch of {batch_size}; set image_batch_size to at most "
            f"{num_images}"
        )
    passes, left = videos.accumulate, batch_size % (videos.accumulate * videos.num_devices)
    if left:
        raise ConfigError(
            f"image_batch_size {batch_size} does not divide into the {passes} micro-batches that a step has on "
            f"each of {videos.num_devices} devices"
        )
    images = TrainingOrder(
        num_samples=num_images,
        batch_size=batch_size,
        micro_batch_size=batch_size // (passes * videos.num_devices),
        seed=videos.seed,
        device=videos.device,
        num_devices=videos.num_devices,
    )
    return JointOrder(videos=videos, images=images)
