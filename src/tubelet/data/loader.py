"""The order in which videos are seen, and the loader that brings them.

Batch k of epoch e is a fixed set of videos, whatever the number of devices, micro-batches or workers; those
only divide it. That alone makes a run that resumes equal to one that never stopped.
"""

import ctypes
import multiprocessing
import re
import signal
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing.context import ForkServerContext
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader

from tubelet.data.batch import ClipBatch, Failure, LoadedVideo, collate
from tubelet.data.randomness import counter_generator
from tubelet.errors import ConfigError, DataError, TubeletError

Key = tuple[int, int]  # epoch, index of the video


@runtime_checkable
class Dataset(Protocol):
    """Views of video `index` in epoch `epoch`, addressed by that pair."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: Key) -> LoadedVideo | Failure: ...


@runtime_checkable
class Order(Protocol):
    """Micro-batches of all steps of a run."""

    @property
    def steps_per_epoch(self) -> int: ...

    @property
    def accumulate(self) -> int:
        """Micro-batches per optimizer step on this device."""
        ...

    def micro_batches(self, start_step: int, num_steps: int) -> Iterator[list[Key]]:
        """Keys of every micro-batch from optimizer step `start_step` up to step `num_steps`."""
        ...


def epoch_order(num_samples: int, seed: int, epoch: int) -> Int64[Tensor, "samples"]:
    """The order of all videos in one epoch."""
    return torch.randperm(num_samples, generator=counter_generator(seed, "order", epoch))


@dataclass(frozen=True, kw_only=True)
class TrainingOrder:
    """Micro-batches of all steps of a run, for one device.

    `batch_size` counts videos per optimizer step over all `num_devices`, `micro_batch_size` videos per forward
    pass on one device. The last, incomplete batch of an epoch is left out.
    """

    num_samples: int
    batch_size: int
    micro_batch_size: int
    seed: int
    device: int = 0
    num_devices: int = 1

    def __post_init__(self) -> None:
        if self.num_samples < self.batch_size:
            raise DataError(
                f"{self.num_samples} videos do not fill one batch of {self.batch_size}; set optim.batch_size to "
                f"at most {self.num_samples}"
            )
        if self.batch_size % (self.micro_batch_size * self.num_devices):
            raise ConfigError(
                f"batch_size {self.batch_size} does not divide into micro-batches of {self.micro_batch_size} on "
                f"{self.num_devices} devices"
            )

    @property
    def steps_per_epoch(self) -> int:
        return self.num_samples // self.batch_size

    @property
    def accumulate(self) -> int:
        """Micro-batches per optimizer step on this device."""
        return self.batch_size // (self.micro_batch_size * self.num_devices)

    def micro_batches(self, start_step: int, num_steps: int) -> Iterator[list[Key]]:
        """Keys of every micro-batch from optimizer step `start_step` up to step `num_steps`."""
        order, in_epoch = None, -1
        for step in range(start_step, num_steps):
            epoch, batch = divmod(step, self.steps_per_epoch)
            if epoch != in_epoch:
                order, in_epoch = epoch_order(self.num_samples, self.seed, epoch), epoch
            assert order is not None
            whole = order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()
            mine = whole[self.device :: self.num_devices]
            for first in range(0, len(mine), self.micro_batch_size):
                yield [(epoch, index) for index in mine[first : first + self.micro_batch_size]]


@dataclass(frozen=True, kw_only=True)
class StepRange:
    """The micro-batches of some steps, made one by one: a long run has too many for a list."""

    order: Order
    start_step: int
    num_steps: int

    def __iter__(self) -> Iterator[list[Key]]:
        return self.order.micro_batches(self.start_step, self.num_steps)


def training_loader(
    dataset: Dataset,
    order: Order,
    *,
    start_step: int,
    num_steps: int,
    num_workers: int,
    pin: bool,
) -> Iterator[ClipBatch]:
    """Micro-batches in order. Workers fetch ahead; they do not decide anything."""
    keys = StepRange(order=order, start_step=start_step, num_steps=num_steps)
    return plain_errors(_batches(dataset, keys, num_workers, pin))


def evaluation_loader(
    dataset: Dataset, *, batch_size: int, num_workers: int, pin: bool = False
) -> Iterator[ClipBatch]:
    """Every video once, in the order of the list, `batch_size` videos (with all their views) at a time."""
    keys = [
        [(0, index) for index in range(first, min(first + batch_size, len(dataset)))]
        for first in range(0, len(dataset), batch_size)
    ]
    return plain_errors(_batches(dataset, keys, num_workers, pin))


def plain_errors(loader: Iterable[ClipBatch]) -> Iterator[ClipBatch]:
    """The loader's batches; an error of ours in a worker comes without the worker's traceback in its message."""
    try:
        yield from loader
    except TubeletError as error:
        message = str(error).rsplit(f"{type(error).__name__}: ", 1)[-1].strip()
        raise type(error)(message) from error


def _batches(dataset: Dataset, keys: Iterable[list[Key]], num_workers: int, pin: bool) -> Iterator[ClipBatch]:
    """Every batch once and in order, also where a worker dies on the way: others then take up the work.

    What a batch holds depends on its keys alone, so that those made again are the same. Workers that die twice
    without a batch in between are a DataError. A death shows within five seconds.
    """
    num_done, last_death = 0, -1
    while True:
        try:
            for batch in _loader(dataset, islice(keys, num_done, None), num_workers, pin):
                yield batch
                num_done += 1
            return
        except (RuntimeError, EOFError, OSError) as error:
            if not (num_workers and _is_death(error)):
                raise
            if num_done == last_death:
                raise DataError(
                    f"data workers died twice over the batch after number {num_done}: a video may crash the "
                    "decoder (`tubelet data check` finds it), or memory ran out (give fewer workers)"
                ) from error
            last_death = num_done
            # The number, because Python shows the same warning only once.
            warnings.warn(
                f"a data worker died after batch {num_done}; others do its work again, and nothing is lost",
                stacklevel=2,
            )


def _is_death(error: Exception) -> bool:
    """Whether this is how a worker's end shows."""
    if isinstance(error, RuntimeError):
        # With pinned memory a thread fetches, and ends where it no longer can.
        ended = "DataLoader worker .*(exited|killed)|Pin memory thread exited"
        return re.search(ended, str(error)) is not None
    # What it had ready can no longer be fetched from it. Errors in a worker that lives say that they were caught.
    gone = isinstance(error, EOFError | ConnectionError | FileNotFoundError)
    return gone and not str(error).startswith("Caught ")


def worker_context() -> ForkServerContext:
    """Workers forked from a server that has imported what they need, so that a pool starts in under a second.

    Forking this process itself could take along a lock that one of torch's threads holds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tubelet.data.datasets", "torch.utils.data"])
    return context


def _loader(
    dataset: Dataset, keys: Iterable[list[Key]], num_workers: int, pin: bool
) -> DataLoader[ClipBatch]:
    loader = DataLoader(
        cast(Any, dataset),  # torch wants its own class; all it uses is __getitem__
        batch_sampler=cast(Any, keys),
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin,
        multiprocessing_context=worker_context() if num_workers else None,
        worker_init_fn=_settle_worker,
        # Its own, because a seed for the workers drawn from the global one would shift what the model draws.
        generator=torch.Generator(),
    )
    return cast(DataLoader[ClipBatch], loader)


def _settle_worker(worker: int) -> None:
    ignore_interrupts(worker)
    give_back_freed_memory()


def give_back_freed_memory() -> None:
    """Let the C library map large blocks one by one and hand each back when it is freed; glibc only.

    Otherwise a worker grew by 18 MiB with every batch of that size (glibc 2.36): a block that is aligned, as
    PyTorch's are, finds no room in a freed one of the same size.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    map_threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    set_option(map_threshold, 1 << 20)


def ignore_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the main process, which still needs its workers to finish the step and save.

    A terminal sends it to all of them at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
