"""The loop alone, on a model of two numbers."""

import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

from tubelet.data.batch import ClipBatch, Failure, ViewId
from tubelet.errors import TrainingError
from tubelet.tasks.task import Loss, Task
from tubelet.train.ema import Ema
from tubelet.train.loop import LoopSettings, LoopState, StepReport, stop_signal, train
from tubelet.train.optim import param_groups
from tubelet.train.schedule import CosineSchedule


class Line:
    """Learns y = 3 x - 1, where x is the number of the video."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(1, 1)
        self.model: nn.Module = self.line
        self.losses: list[float] = []
        self.spoil: Callable[[Loss], Loss] = lambda loss: loss

    def loss(self, batch: ClipBatch) -> Loss:
        x = torch.tensor([[view.sample / 10] for view in batch.ids])
        error = (self.model(x) - (3 * x - 1)).square().mean()
        self.losses.append(float(error.detach()))
        return self.spoil(Loss(error, {"accuracy": torch.tensor(len(batch) / 10)}))

    def evaluate(self, loader: object) -> dict[str, float]:
        return {}


def videos(numbers: list[int], broken: int = 0) -> ClipBatch:
    return ClipBatch(
        pixels=torch.zeros(len(numbers), 3, 1, 1, 1, dtype=torch.uint8),
        labels=None,
        ids=tuple(ViewId(epoch=0, sample=i, view=0) for i in numbers),
        names=tuple(f"{i}.mp4" for i in numbers),
        failures=tuple(Failure(path=f"bad{i}.mp4", reason=f"bad{i}.mp4 is empty") for i in range(broken)),
    )


SETTINGS = LoopSettings(
    num_steps=6,
    lr=CosineSchedule(peak=0.1, final=0.0, num_steps=6),
    weight_decay=CosineSchedule(peak=0.0, final=0.0, num_steps=6),
    seed=0,
    device=torch.device("cpu"),
    save_every=100,
)


def steps(settings: LoopSettings, per_step: tuple[list[int], ...] = ([1, 2, 3, 4],)) -> Iterator[ClipBatch]:
    for _ in range(settings.num_steps):
        for numbers in per_step:
            yield videos(numbers)


def go(
    task: Line,
    settings: LoopSettings = SETTINGS,
    batches: Iterator[ClipBatch] | None = None,
    *,
    state: LoopState | None = None,
    on_step: Callable[[StepReport], None] = lambda _: None,
    save: Callable[[], None] = lambda: None,
    validate: Callable[[], None] = lambda: None,
    on_interrupt: Callable[[], None] = lambda: None,
    ema: Ema | None = None,
) -> LoopState:
    state = state or LoopState()
    optimizer = torch.optim.SGD(param_groups(task.model, weight_decay=0.0), lr=0.1)
    train(
        task,
        batches or steps(settings),
        optimizer,
        settings,
        state,
        ema=ema,
        on_step=on_step,
        save=save,
        validate=validate,
        on_interrupt=on_interrupt,
    )
    return state


def test_the_loop_learns_and_reports_every_step():
    task, reports = Line(), []
    state = go(task, on_step=reports.append)
    assert isinstance(task, Task)
    assert state.step == 6
    assert [report.step for report in reports] == [1, 2, 3, 4, 5, 6]
    assert reports[-1].figures["loss"] < 0.5 * reports[0].figures["loss"]
    assert reports[0].figures.keys() == {"loss", "accuracy", "grad_norm", "lr"}
    assert [report.figures["lr"] for report in reports] == [SETTINGS.lr(step) for step in range(6)]
    assert all(report.clips_per_second > 0 for report in reports)
    assert state.videos_read == 24


@pytest.mark.parametrize("parts", [([1, 2], [3, 4]), ([1], [2], [3], [4]), ([1, 2, 3], [4])])
def test_dividing_a_batch_changes_nothing_but_rounding(parts: tuple[list[int], ...]):
    whole, divided, reports = Line(), Line(), ([], [])
    go(whole, on_step=reports[0].append)
    settings = replace(SETTINGS, accumulate=len(parts))
    go(divided, settings, steps(settings, parts), on_step=reports[1].append)
    for ours, theirs in zip(divided.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(*reports, strict=True):
        assert ours.figures["loss"] == pytest.approx(theirs.figures["loss"], rel=1e-5)
        assert ours.figures["grad_norm"] == pytest.approx(theirs.figures["grad_norm"], rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_it_touches_the_weights(value: float):
    task, saves, weights = Line(), [], []

    def spoil_fourth(loss: Loss) -> Loss:
        return Loss(loss.total * value) if len(task.losses) == 4 else loss

    task.spoil = spoil_fourth
    state = LoopState()
    with pytest.raises(
        TrainingError, match=rf"the loss is {value} at step 3 on 1\.mp4, 2\.mp4, 3\.mp4, 4\.mp4; "
    ):
        go(
            task,
            state=state,
            save=lambda: saves.append(1),
            on_step=lambda _: weights.append([p.detach().clone() for p in task.model.parameters()]),
        )
    assert (state.step, saves) == (3, [])
    assert all(torch.equal(a, b) for a, b in zip(task.model.parameters(), weights[-1], strict=True))


def test_a_gradient_that_is_not_finite_stops_before_it_touches_the_weights():
    task = Line()
    # Finite itself, but the slope of a root is not at zero.
    task.spoil = lambda loss: Loss(loss.total + (task.line.weight * 0).square().sum().sqrt())
    before = [p.detach().clone() for p in task.model.parameters()]
    with pytest.raises(TrainingError, match=r"the norm of the gradients is nan at step 0 on 1\.mp4"):
        go(task)
    assert all(torch.equal(a, b) for a, b in zip(task.model.parameters(), before, strict=True))


def test_broken_videos_are_skipped_counted_and_remembered():
    settings = replace(SETTINGS, num_steps=3, accumulate=2, max_bad_share=1.0)
    batches = iter([videos([1, 2], 1), videos([3]), videos([], 2), videos([1, 2]), videos([1]), videos([2])])
    state = go(Line(), settings, batches)
    assert (state.videos_read, state.videos_failed) == (7, 3)
    assert state.failures == {"bad0.mp4": "bad0.mp4 is empty", "bad1.mp4": "bad1.mp4 is empty"}


def test_what_is_left_of_a_step_with_broken_videos_weighs_the_same():
    whole, divided = Line(), Line()
    go(whole, replace(SETTINGS, num_steps=1), iter([videos([1, 2, 3])]))
    settings = replace(SETTINGS, num_steps=1, accumulate=2, max_bad_share=1.0)
    go(divided, settings, iter([videos([1, 2]), videos([3], 1)]))
    for ours, theirs in zip(divided.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_too_many_broken_videos_stop_the_run():
    settings = replace(SETTINGS, num_steps=100)
    batches = (videos([1, 2, 3], 1) for _ in range(100))
    state = LoopState()
    with pytest.raises(
        TrainingError, match=r"20 of 80 videos could not be read, .* 0\.05; the last: bad0\.mp4"
    ):
        go(Line(), settings, batches, state=state)
    assert state.step == 19


def test_a_step_without_any_video_stops_the_run():
    with pytest.raises(TrainingError, match=r"not one video of step 0 could be read: bad0\.mp4 is empty"):
        go(Line(), batches=iter([videos([], 2)]))


def test_states_are_saved_in_their_interval_and_at_the_end():
    state, at = LoopState(), []
    go(Line(), replace(SETTINGS, save_every=4), state=state, save=lambda: at.append(state.step))
    assert at == [4, 6]


def test_validation_comes_in_its_interval_after_a_state_is_saved():
    state, events = LoopState(), []
    task = Line()

    def validate() -> None:
        events.append(f"validated {state.step}")
        task.model.eval()

    go(
        task,
        replace(SETTINGS, validate_every=3),
        state=state,
        save=lambda: events.append(f"saved {state.step}"),
        validate=validate,
    )
    assert events == ["saved 3", "validated 3", "saved 6", "validated 6"]
    assert task.model.training


def test_a_run_that_is_done_does_nothing():
    task = Line()
    go(task, state=LoopState(step=6), save=lambda: pytest.fail("saved"))
    assert task.losses == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [2, 6])
def test_an_interrupt_lets_the_step_finish_saves_and_leaves(number: signal.Signals, at: int):
    state, saved, task = LoopState(), [], Line()
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupt(loss: Loss) -> Loss:
        if len(task.losses) == at:
            signal.raise_signal(number)
        return loss

    task.spoil = interrupt
    heard = []
    with pytest.raises(KeyboardInterrupt):
        go(
            task,
            state=state,
            save=lambda: saved.append(state.step),
            on_interrupt=lambda: heard.append(state.step),
        )
    assert state.step == at
    assert saved == [at]
    assert heard == [at - 1]  # at once, while the step goes on
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_second_interrupt_leaves_at_once():
    with stop_signal(lambda: None) as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone():
    found = []
    thread = threading.Thread(target=lambda: found.append(go(Line()).step))
    thread.start()
    thread.join()
    assert found == [6]


def test_the_average_follows_every_step():
    task = Line()
    ema = Ema(task.model, 0.5)
    expected = task.line.weight.detach().clone()

    def follow(_: StepReport) -> None:
        expected.lerp_(task.line.weight.detach(), 0.5)

    go(task, ema=ema, on_step=follow)
    torch.testing.assert_close(ema.model.get_parameter("weight"), expected)


def test_gradients_are_clipped_where_asked_for():
    plain, clipped = Line(), Line()
    start = plain.line.weight.detach().clone()
    go(plain, replace(SETTINGS, num_steps=1))
    go(clipped, replace(SETTINGS, num_steps=1, max_grad_norm=1e-3))
    assert float((clipped.line.weight - start).detach().abs()) <= 1e-4 + 1e-7
    assert float((plain.line.weight - start).detach().abs()) > 1e-3


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights():
    task, seen = Line(), []
    task.model.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    go(task, replace(SETTINGS, bf16=True))
    assert set(seen) == {torch.bfloat16}
    assert task.line.weight.dtype == torch.float32
