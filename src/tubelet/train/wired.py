"""A run whose parts have been put together: how it steps, stops, saves, and is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from torch import nn

from tubelet.config import to_plain
from tubelet.data.datasets import FrameCache
from tubelet.data.input_spec import InputSpec
from tubelet.data.joint import JointOrder
from tubelet.data.loader import Dataset, TrainingOrder, evaluation_loader, training_loader
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits
from tubelet.data.values import ValueScale
from tubelet.models.text_classifier import TextClassifier
from tubelet.recipes.base import Recipe
from tubelet.tasks.classification import Classification, VideoScores
from tubelet.tasks.distillation import SelfDistillation
from tubelet.tasks.regression import Regression, VideoValues
from tubelet.train.build import RunOptions, loop_settings
from tubelet.train.build_task import AnyTask, build_task
from tubelet.train.checkpoint import TrainingState, load_newest_state, save_state
from tubelet.train.ema import Ema
from tubelet.train.evaluate import counted, evaluate_classifier, evaluate_values, evaluation_set
from tubelet.train.log import MetricsLog, ProgressBar
from tubelet.train.loop import LoopState, StepReport, train
from tubelet.train.teacher import Teacher
from tubelet.weights.files import Checkpoint, save_checkpoint


@dataclass(kw_only=True)
class WiredRun:
    """The parts of a run, and what happens to them together."""

    recipe: Recipe
    options: RunOptions
    out: Path
    config: Any
    device: torch.device
    splits: Splits
    scale: ValueScale | None  # of the values of a regression
    start: Mapping[str, Any]  # what is on record of the model that it starts from
    teacher: Teacher | None
    order: TrainingOrder | JointOrder
    learned: Dataset
    task: AnyTask
    optimizer: torch.optim.Optimizer
    ema: Ema | None
    console: Console
    watched: FrameCache | None = field(init=False)

    def __post_init__(self) -> None:
        self.watched = FrameCache(self.options.cache_bytes) if self.options.cache_bytes else None

    @property
    def judged(self) -> nn.Module:
        """The model that is tested and kept: the moving average where there is one."""
        return self.task.model if self.ema is None else self.ema.model

    def resume(self) -> LoopState:
        """The state to begin with: the newest undamaged one in the folder, or a fresh one."""
        saved, damaged = load_newest_state(self.out / "checkpoints")
        for path in damaged:
            self.console.print(
                f"[yellow]{escape(str(path))} is damaged; going back to the state before it[/]"
            )
        if saved is None:
            return LoopState()
        self.task.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        if self.ema is not None and saved.ema is not None:
            self.ema.model.load_state_dict(saved.ema)
        self.console.print(f"going on from step {saved.step}", highlight=False)
        return LoopState(
            step=saved.step,
            videos_read=saved.counts["videos_read"],
            videos_failed=saved.counts["videos_failed"],
            failures=saved.failures,
        )

    def save(self, state: LoopState) -> None:
        """Write everything that changes during a run."""
        save_state(
            self.out / "checkpoints",
            TrainingState(
                step=state.step,
                model=self.task.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
                ema=None if self.ema is None else self.ema.model.state_dict(),
                counts={"videos_read": state.videos_read, "videos_failed": state.videos_failed},
                failures=state.failures,
            ),
        )

    def keep_model(self) -> None:
        """Write the checkpoint folder that inference and fine-tuning open."""
        source = {"recipe": to_plain(self.recipe), **({"init": self.start} if self.start else {})}
        facts = {"input": to_plain(self.recipe.input), "source": source}
        model = self.judged
        if isinstance(model, TextClassifier):
            model, facts["wording"] = model.model, to_plain(self.recipe.wording)
        if self.scale is not None:
            facts["values"] = to_plain(self.scale)
        named = self.recipe.classifies or self.recipe.task == "answering"
        labels = self.splits.classes if named else ()
        save_checkpoint(self.out / "model", Checkpoint(self.config, model.state_dict(), labels, facts))

    def validate(self) -> dict[str, float]:
        """Figures on the watched videos: one view of each, and unreadable ones only counted."""
        spec = replace(self.recipe.input, num_clips=1, num_crops=1)
        figures, _ = self.judge(
            spec, self.splits.val, allow_missing=True, cache=self.watched, on_progress=None
        )
        return {f"val_{name}": value for name, value in figures.items()}

    def test(self) -> tuple[dict[str, float], VideoScores | VideoValues | None]:
        """Figures on the test videos with all views; nothing where there are no such videos."""
        if not self.splits.test:
            return {}, None
        with ProgressBar("testing", len(self.splits.test), self.console) as bar:
            return self.judge(
                self.recipe.input,
                self.splits.test,
                allow_missing=self.options.allow_missing,
                cache=None,
                on_progress=bar.update,
            )

    def judge(
        self,
        spec: InputSpec,
        samples: list[Sample],
        *,
        allow_missing: bool,
        cache: FrameCache | None,
        on_progress: Callable[[int], None] | None,
    ) -> tuple[dict[str, float], VideoScores | VideoValues | None]:
        """Figures of the judged model on some videos, and what it says of each where it says something."""
        task = build_task(
            self.recipe,
            self.judged,
            self.config,
            scale=self.scale,
            teacher=self.teacher,
            allow_missing=allow_missing,
        )
        workers = self.options.num_workers
        if isinstance(task, SelfDistillation):
            task = task.classification  # a test asks no teacher
        if isinstance(task, Classification):
            return evaluate_classifier(
                task, spec, samples, num_workers=workers, cache=cache, on_progress=on_progress
            )
        if isinstance(task, Regression):
            return evaluate_values(
                task, spec, samples, num_workers=workers, cache=cache, on_progress=on_progress
            )
        one_view = replace(spec, num_clips=1, num_crops=1)
        loader = evaluation_loader(
            evaluation_set(one_view, samples, cache=cache),
            batch_size=self.order.micro_batch_size,
            num_workers=workers,
        )
        return task.evaluate(counted(loader, on_progress)), None


def fit(wired: WiredRun, state: LoopState, title: str) -> None:
    """Step to the end of the schedule; log, validate and save on the way."""
    settings = loop_settings(wired.recipe, wired.order, wired.options, wired.device)
    per_epoch = wired.order.steps_per_epoch
    if not wired.splits.val:
        settings = replace(settings, validate_every=0)
    batches = training_loader(
        wired.learned,
        wired.order,
        start_step=state.step,
        num_steps=settings.num_steps,
        num_workers=wired.options.num_workers,
        pin=wired.device.type == "cuda",
    )
    log = MetricsLog(wired.out)
    with ProgressBar(title, settings.num_steps, wired.console, done=state.step) as bar:

        def on_step(report: StepReport) -> None:
            log.write(report.step, {**report.figures, "clips_per_second": report.clips_per_second})
            epoch = f"epoch {(report.step - 1) // per_epoch + 1}/{settings.num_steps // per_epoch}"
            loss, speed = report.figures["loss"], report.clips_per_second
            unread = f"  {state.videos_failed} not read" if state.videos_failed else ""
            bar.update(report.step, f"{epoch}  loss {loss:.4f}  {speed:.0f} clips/s{unread}")

        try:
            train(
                wired.task,
                batches,
                wired.optimizer,
                settings,
                state,
                ema=wired.ema,
                on_step=on_step,
                save=lambda: wired.save(state),
                validate=lambda: log.write(state.step, wired.validate()),
                on_interrupt=lambda: wired.console.print(
                    "stopping after this step; once more stops at once, without saving"
                ),
            )
        finally:
            log.close()
