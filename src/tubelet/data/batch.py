"""What travels from the data to a task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from tubelet.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ViewId:
    """Which view of which video, and in which epoch it was made: the counter of everything random about it."""

    epoch: int
    sample: int
    view: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that could not be read, and why. It is counted and reported, never replaced."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ClipBatch:
    """Views of several videos, in bytes; a fourth of what floats would take to move.

    `ids` and `names` follow the first axis of `pixels`. `labels` is None where the data has none. `failures`
    are the videos that should have been here.
    """

    pixels: UInt8[Tensor, "batch 3 frames rows columns"]
    labels: Int64[Tensor, "batch"] | None
    ids: tuple[ViewId, ...]
    names: tuple[str, ...]
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "ClipBatch":
        """The batch with its tensors on a device."""
        labels = None if self.labels is None else self.labels.to(device, non_blocking=True)
        return replace(self, pixels=self.pixels.to(device, non_blocking=True), labels=labels)

    def pin_memory(self) -> "ClipBatch":
        """The batch in memory that a GPU can fetch from; the data loader calls this."""
        labels = None if self.labels is None else self.labels.pin_memory()
        return replace(self, pixels=self.pixels.pin_memory(), labels=labels)


@dataclass(frozen=True, kw_only=True)
class LoadedVideo:
    """All views of one video, ready to join a batch."""

    pixels: UInt8[Tensor, "views 3 frames rows columns"]
    label: int | None
    ids: tuple[ViewId, ...]
    name: str


def collate(items: Sequence[LoadedVideo | Failure]) -> ClipBatch:
    """One batch of the videos that could be read. A batch of none has no pixels, only failures."""
    loaded = [item for item in items if isinstance(item, LoadedVideo)]
    failures = tuple(item for item in items if isinstance(item, Failure))
    if not loaded:
        return ClipBatch(
            pixels=torch.empty(0, 3, 0, 0, 0, dtype=torch.uint8),
            labels=None,
            ids=(),
            names=(),
            failures=failures,
        )
    shapes = {tuple(item.pixels.shape[1:]) for item in loaded}
    if len(shapes) > 1:
        raise DataError(f"clips of one batch differ in shape: {sorted(shapes)}; crop them to one size")
    labels = [item.label for item in loaded for _ in item.ids]
    known = [label for label in labels if label is not None]
    return ClipBatch(
        pixels=torch.cat([item.pixels for item in loaded]),
        labels=torch.tensor(known) if len(known) == len(labels) else None,
        ids=tuple(view for item in loaded for view in item.ids),
        names=tuple(item.name for item in loaded for _ in item.ids),
        failures=failures,
    )
