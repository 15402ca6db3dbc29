"""The training loop. It never learns what a mask is; the task never learns what a GPU is."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

import torch

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_seed
from tubelet.errors import TrainingError
from tubelet.tasks.task import Task
from tubelet.train.ema import Ema
from tubelet.train.optim import clip_gradients, set_lr
from tubelet.train.schedule import CosineSchedule


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How to step. `accumulate` counts micro-batches per optimizer step."""

    num_steps: int
    lr: CosineSchedule
    weight_decay: CosineSchedule
    seed: int
    device: torch.device
    accumulate: int = 1
    max_grad_norm: float | None = None
    bf16: bool = False
    save_every: int = 500  # optimizer steps
    validate_every: int = 0  # optimizer steps; never where 0
    max_bad_share: float = 0.05  # of unreadable videos, before the run gives up


@dataclass
class LoopState:
    """What the loop changes. `step` counts finished optimizer steps."""

    step: int = 0
    videos_read: int = 0
    videos_failed: int = 0
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimizer step, for whoever shows or stores it. Rates are per second of wall time."""

    step: int
    figures: Mapping[str, float]
    clips_per_second: float


def train(
    task: Task,
    batches: Iterator[ClipBatch],
    optimizer: torch.optim.Optimizer,
    settings: LoopSettings,
    state: LoopState,
    *,
    ema: Ema | None,
    on_step: Callable[[StepReport], None],
    save: Callable[[], None],
    validate: Callable[[], None],
    on_interrupt: Callable[[], None],
) -> None:
    """Run from `state.step` to `settings.num_steps`, saving as it goes.

    Ctrl-C and SIGTERM let the current step finish, save, and then raise KeyboardInterrupt. A loss or gradient
    that is not finite stops the run before it touches the weights, with the step and the videos of the batch.
    """
    with stop_signal(on_interrupt) as stopped:
        task.model.train()
        while state.step < settings.num_steps:
            started = time.perf_counter()
            # Dropout and drop path draw from the global generator; the step alone decides what.
            torch.manual_seed(counter_seed(settings.seed, "model", state.step))
            figures, names = gradients_of_step(task, batches, settings, state)
            figures["grad_norm"] = clip_gradients(task.model, settings.max_grad_norm)
            if not math.isfinite(figures["grad_norm"]):
                raise not_finite("the norm of the gradients", figures["grad_norm"], state.step, names)
            figures["lr"] = settings.lr(state.step)
            lr = partial(settings.lr, state.step)
            set_lr(optimizer, lr, settings.weight_decay(state.step))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if ema is not None:
                ema.update(task.model)
            state.step += 1
            rate = len(names) / (time.perf_counter() - started)
            on_step(StepReport(step=state.step, figures=figures, clips_per_second=rate))
            last = state.step == settings.num_steps
            look = settings.validate_every > 0 and state.step % settings.validate_every == 0
            # Before validating, because that can take long and fail.
            if stopped.is_set() or last or look or state.step % settings.save_every == 0:
                save()
            if stopped.is_set():
                raise KeyboardInterrupt
            if look:
                validate()
                task.model.train()


def gradients_of_step(
    task: Task, batches: Iterator[ClipBatch], settings: LoopSettings, state: LoopState
) -> tuple[dict[str, float], list[str]]:
    """Leave the mean gradient over all clips of a step; returns its mean figures and the clips' names.

    A clip weighs the same whichever micro-batch it came in, also where a video of that could not be read.
    """
    sums: dict[str, float] = {}
    names: list[str] = []
    for _ in range(settings.accumulate):
        batch = next(batches)
        count_failures(batch, settings, state)
        if not len(batch):
            continue
        with autocast(settings):
            loss = task.loss(batch.to(settings.device))
        total = float(loss.total.detach())
        if not math.isfinite(total):
            raise not_finite("the loss", total, state.step, batch.names)
        (loss.total * len(batch)).backward()
        names.extend(batch.names)
        for name, value in {"loss": total, **{k: float(v) for k, v in loss.parts.items()}}.items():
            sums[name] = sums.get(name, 0.0) + value * len(batch)
    if not names:
        raise TrainingError(
            f"not one video of step {state.step} could be read: {next(iter(state.failures.values()), '')}"
        )
    for parameter in task.model.parameters():
        if parameter.grad is not None:
            parameter.grad.div_(len(names))
    return {name: value / len(names) for name, value in sums.items()}, names


def not_finite(what: str, value: float, step: int, names: Sequence[str]) -> TrainingError:
    """The error that stops a run before it spoils the weights."""
    videos = ", ".join(dict.fromkeys(names))
    return TrainingError(
        f"{what} is {value} at step {step} on {videos}; lower optim.lr or set optim.max_grad_norm"
    )


def count_failures(batch: ClipBatch, settings: LoopSettings, state: LoopState) -> None:
    """Remember videos that could not be read, and give up where there are too many."""
    state.videos_read += len({view.sample for view in batch.ids})
    state.videos_failed += len(batch.failures)
    state.failures.update({failure.path: failure.reason for failure in batch.failures})
    seen = state.videos_read + state.videos_failed
    # A few early ones may be bad luck; twenty and more than the share are not.
    if state.videos_failed >= 20 and state.videos_failed > settings.max_bad_share * seen:
        raise TrainingError(
            f"{state.videos_failed} of {seen} videos could not be read, more than a share of "
            f"{settings.max_bad_share}; the last: {next(reversed(state.failures.values()))}"
        )


def autocast(settings: LoopSettings) -> AbstractContextManager:
    """Mixed precision in bfloat16 where asked for; its range is that of float32, so no loss scaling."""
    if settings.bf16:
        return torch.autocast(settings.device.type, dtype=torch.bfloat16)
    return nullcontext()


class stop_signal:  # noqa: N801 - reads as a statement: `with stop_signal() as stopped`
    """Turns the first Ctrl-C or SIGTERM into an event and tells `on_interrupt`; a second one leaves at once."""

    def __init__(self, on_interrupt: Callable[[], None]):
        self.on_interrupt = on_interrupt

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self.previous = {}
        # Only the main thread may set handlers; elsewhere signals keep doing what they did.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self._handle)
        return self.event

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()
        self.on_interrupt()

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)
