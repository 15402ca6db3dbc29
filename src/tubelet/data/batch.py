"""What travels from the data to a task."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64, UInt8
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

    `ids`, `names` and `texts` follow the first axis of `pixels`. `labels` (classes), `values` (what a regression
    is to predict) and `texts` (a caption of each, or a question) are None where the data has none. `failures` are
    the videos that should have been here.
    """

    pixels: UInt8[Tensor, "batch 3 frames rows columns"]
    labels: Int64[Tensor, "batch"] | None
    ids: tuple[ViewId, ...]
    names: tuple[str, ...]
    failures: tuple[Failure, ...] = ()
    values: Float32[Tensor, "batch"] | None = None
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "ClipBatch":
        """The batch with its tensors on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "ClipBatch":
        """The batch in memory that a GPU can fetch from; the data loader calls this."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, move: Callable[[Tensor], Tensor]) -> "ClipBatch":
        return replace(
            self,
            pixels=move(self.pixels),
            labels=None if self.labels is None else move(self.labels),
            values=None if self.values is None else move(self.values),
        )


@dataclass(frozen=True, kw_only=True)
class LoadedVideo:
    """All views of one video, ready to join a batch."""

    pixels: UInt8[Tensor, "views 3 frames rows columns"]
    label: int | None
    ids: tuple[ViewId, ...]
    name: str
    value: float | None = None
    text: str | None = None


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
    values = [item.value for item in loaded for _ in item.ids]
    numbers = [value for value in values if value is not None]
    texts = tuple(item.text for item in loaded for _ in item.ids if item.text is not None)
    return ClipBatch(
        pixels=torch.cat([item.pixels for item in loaded]),
        labels=torch.tensor(known) if len(known) == len(labels) else None,
        ids=tuple(view for item in loaded for view in item.ids),
        names=tuple(item.name for item in loaded for _ in item.ids),
        failures=failures,
        values=torch.tensor(numbers, dtype=torch.float32) if len(numbers) == len(values) else None,
        texts=texts if len(texts) == len(labels) else None,
    )
