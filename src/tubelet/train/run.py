"""The only room that wires everything: a recipe and some videos in, a checkpoint folder and figures out."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from tubelet.config import override, read_toml, to_plain, write_toml
from tubelet.data.augment import parse_randaugment
from tubelet.data.datasets import FrameCache, VideoDataset
from tubelet.data.erase import RandomErasing
from tubelet.data.loader import TrainingOrder, evaluation_loader, training_loader
from tubelet.data.manifest import Sample
from tubelet.data.randomness import counter_seed
from tubelet.data.splits import Splits, find_splits
from tubelet.data.transforms import FinetuneTransform, PretrainTransform
from tubelet.errors import ConfigError, DataError
from tubelet.models import build_model, variant
from tubelet.recipes.base import Recipe
from tubelet.tasks.classification import Classification, VideoScores
from tubelet.tasks.masked import MaskedPixels
from tubelet.train.checkpoint import TrainingState, load_newest_state, save_state
from tubelet.train.device import pick_device
from tubelet.train.ema import Ema
from tubelet.train.log import MetricsLog, ProgressBar
from tubelet.train.loop import LoopSettings, LoopState, StepReport, train
from tubelet.train.optim import param_groups
from tubelet.train.schedule import CosineSchedule
from tubelet.weights.convert import finetune_state
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What differs from machine to machine and does not change the outcome.

    `micro_batch_size` counts videos per forward pass (all of a batch where None). `cache_bytes` keeps decoded
    videos in memory; `recompute` computes activations twice instead of keeping them.
    """

    device: str = "auto"
    num_workers: int = 0
    micro_batch_size: int | None = None
    bf16: bool = False
    recompute: bool = False
    cache_bytes: int = 0
    save_every: int = 500
    validate_every: int | None = 1  # epochs; never where None
    allow_missing: bool = False
    max_bad_share: float = 0.05


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where the model is and how good it is. Seconds are of wall time, of this process only."""

    folder: Path
    model: Path
    metrics: dict[str, float]
    test: VideoScores | None
    failures: dict[str, str]
    seconds: float


def run(
    recipe: Recipe,
    data: Path,
    out: Path,
    options: RunOptions,
    *,
    init: Path | None = None,
    console: Console | None = None,
    title: str = "training",
) -> RunResult:
    """Train by a recipe on the videos in `data`, going on where an earlier run into `out` stopped.

    `init` is a checkpoint folder whose encoder the run starts from.
    """
    started = time.perf_counter()
    console = console or Console(stderr=True)
    device = pick_device(options.device)
    splits = find_splits(data, labelled=recipe.task == "classification", seed=recipe.seed)
    recipe = fit_to_classes(recipe, splits)
    claim_folder(out, recipe)
    config = model_config(recipe)
    torch.manual_seed(counter_seed(recipe.seed, "weights"))
    model = build_model(config)
    if init is not None:
        start_from(model, init, console)
    model.to(device)
    set_recompute(model, options.recompute)
    task = build_task(recipe, model, config, options)
    dataset = training_set(recipe, splits.train, options)
    order = training_order(recipe, len(dataset), options)
    parts = _Parts(recipe, options, task, order, splits, out, device, console, title)
    state = _train(parts, dataset)
    for path, reason in state.failures.items():
        console.print(f"[yellow]not read:[/] {path}: {reason}", highlight=False)
    result = parts.finish(config)
    return replace(result, seconds=time.perf_counter() - started, failures=dict(state.failures))


class _Parts:
    """A wired run; its methods are the moments at which the loop calls back."""

    def __init__(
        self,
        recipe: Recipe,
        options: RunOptions,
        task: Classification | MaskedPixels,
        order: TrainingOrder,
        splits: Splits,
        out: Path,
        device: torch.device,
        console: Console,
        title: str,
    ):
        self.recipe, self.options, self.task = recipe, options, task
        self.order, self.splits, self.out = order, splits, out
        self.device, self.console, self.title = device, console, title
        optim = recipe.optim
        groups = param_groups(task.model, weight_decay=optim.weight_decay, layer_decay=optim.layer_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=device.type == "cuda")
        self.ema = None if optim.ema is None else Ema(task.model, optim.ema)
        self.val_cache = FrameCache(options.cache_bytes)

    @property
    def judged(self) -> nn.Module:
        """The model that is tested and kept: the average where there is one."""
        return self.task.model if self.ema is None else self.ema.model

    def settings(self) -> LoopSettings:
        optim, per_epoch = self.recipe.optim, self.order.steps_per_epoch
        num_steps = optim.epochs * per_epoch
        scale = optim.batch_size / 256
        end = optim.weight_decay if optim.weight_decay_end is None else optim.weight_decay_end
        return LoopSettings(
            num_steps=num_steps,
            lr=CosineSchedule(
                peak=optim.lr * scale,
                final=optim.min_lr * scale,
                num_steps=num_steps,
                warmup_steps=optim.warmup_epochs * per_epoch,
            ),
            weight_decay=CosineSchedule(peak=optim.weight_decay, final=end, num_steps=num_steps),
            seed=self.recipe.seed,
            device=self.device,
            accumulate=self.order.accumulate,
            max_grad_norm=optim.max_grad_norm,
            bf16=self.options.bf16,
            save_every=self.options.save_every,
            max_bad_share=self.options.max_bad_share,
        )

    def save(self, state: LoopState) -> None:
        """Write everything that changes during the run."""
        save_state(
            self.out / "checkpoints",
            TrainingState(
                step=state.step,
                model=self.task.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
                ema=None if self.ema is None else self.ema.model.state_dict(),
                counts={"videos_read": state.videos_read, "videos_failed": state.videos_failed},
            ),
        )

    def resume(self) -> LoopState:
        """The state to begin with: the newest one in the folder, or a fresh one."""
        saved, damaged = load_newest_state(self.out / "checkpoints")
        for path in damaged:
            self.console.print(f"[yellow]{path.name} is damaged; going back to the state before it[/]")
        if saved is None:
            return LoopState()
        self.task.model.load_state_dict(saved.model)
        self.optimizer.load_state_dict(saved.optimizer)
        if self.ema is not None and saved.ema is not None:
            self.ema.model.load_state_dict(saved.ema)
        self.console.print(f"going on from step {saved.step}", highlight=False)
        return LoopState(step=saved.step, **saved.counts)

    def validate(self) -> dict[str, float]:
        """Figures on the watched videos: one central view each, missing ones left out of the count."""
        one_view = replace(self.recipe.input, num_clips=1, num_crops=1)
        dataset = VideoDataset(
            samples=self.splits.val,
            plan=one_view.training_plan() if self.is_classification else one_view.pretraining_plan(),
            transform=one_view.test_transform(),
            random=False,
            cache=self.val_cache,
        )
        figures = self.judge(dataset)[0]
        self.task.model.train()
        return figures

    @property
    def is_classification(self) -> bool:
        return isinstance(self.task, Classification)

    def judge(self, dataset: VideoDataset, *, strict: bool = False) -> tuple[dict[str, float], VideoScores | None]:
        """Figures of the judged model over a data set; `strict` refuses to leave out missing videos."""
        task = build_task(self.recipe, self.judged, self.judged.config, self.options)
        loader = evaluation_loader(dataset, batch_size=self.eval_batch(dataset), num_workers=0)
        if isinstance(task, MaskedPixels):
            return task.evaluate(loader), None
        scores = task.predict(loader)
        task.allow_missing = not strict or self.options.allow_missing
        return task.judge(scores), scores

    def eval_batch(self, dataset: VideoDataset) -> int:
        """Videos per batch so that no more views meet than in a training pass."""
        views = self.recipe.input.num_clips * self.recipe.input.num_crops if dataset.samples else 1
        return max(1, self.order.micro_batch_size // views)

    def finish(self, config: Any) -> RunResult:
        """Keep the model, then judge it with all views of a test."""
        spec = self.recipe.input
        facts = {"input": to_plain(spec), "source": {"recipe": to_plain(self.recipe)}}
        labels = self.splits.classes if self.is_classification else ()
        checkpoint = Checkpoint(config, self.judged.state_dict(), labels, facts)
        save_checkpoint(self.out / "model", checkpoint)
        metrics: dict[str, float] = {}
        scores = None
        if self.splits.test:
            dataset = VideoDataset(
                samples=self.splits.test,
                plan=spec.test_plan() if self.is_classification else spec.pretraining_plan(),
                transform=spec.test_transform(),
                random=False,
            )
            metrics, scores = self.judge(dataset, strict=True)
        return RunResult(
            folder=self.out, model=self.out / "model", metrics=metrics, test=scores, failures={}, seconds=0.0
        )


def _train(parts: _Parts, dataset: VideoDataset) -> LoopState:
    """Resume, step to the end, log and validate on the way."""
    state, settings = parts.resume(), parts.settings()
    per_epoch = parts.order.steps_per_epoch
    log = MetricsLog(parts.out)
    batches = training_loader(
        dataset,
        parts.order,
        start_step=state.step,
        num_steps=settings.num_steps,
        num_workers=parts.options.num_workers,
        pin=parts.device.type == "cuda",
    )
    with ProgressBar(parts.title, settings.num_steps, parts.console, done=state.step) as bar:

        def on_step(report: StepReport) -> None:
            log.write(report.step, {**report.figures, "clips_per_second": report.clips_per_second})
            epoch = f"epoch {(report.step - 1) // per_epoch + 1}/{settings.num_steps // per_epoch}"
            bar.update(
                report.step,
                f"{epoch}  loss {report.figures['loss']:.4f}  {report.clips_per_second:.0f} clips/s",
            )
            every = parts.options.validate_every
            if every and parts.splits.val and report.step % (every * per_epoch) == 0:
                figures = {f"val_{name}": value for name, value in parts.validate().items()}
                log.write(report.step, figures)

        try:
            train(
                parts.task,
                batches,
                parts.optimizer,
                settings,
                state,
                ema=parts.ema,
                on_step=on_step,
                save=lambda: parts.save(state),
            )
        finally:
            log.close()
    return state


def fit_to_classes(recipe: Recipe, splits: Splits) -> Recipe:
    """The recipe for as many classes as the data names; labels beyond the recipe's classes are an error."""
    if recipe.task != "classification":
        return recipe
    if splits.classes:
        recipe = replace(recipe, overrides=(*recipe.overrides, f"num_classes={len(splits.classes)}"))
    num_classes = model_config(recipe).num_classes
    for sample in (*splits.train, *splits.val, *splits.test):
        if sample.label is None:
            raise DataError(f"{sample.path} has no label; `tubelet pretrain` learns without labels")
        if not 0 <= sample.label < num_classes:
            raise DataError(
                f"{sample.path} has label {sample.label}; the model has {num_classes} classes "
                "(set model.num_classes)"
            )
    return recipe


def model_config(recipe: Recipe) -> Any:
    """The model's config: the variant, fed what the recipe's input says, then the recipe's overrides."""
    spec = recipe.input
    sizes = (f"encoder.num_frames={spec.num_frames}", f"encoder.image_size={spec.image_size}")
    try:
        return override(variant(recipe.model), (*sizes, *recipe.overrides))
    except ConfigError as error:
        raise ConfigError(f"model.{error}") from None


def claim_folder(out: Path, recipe: Recipe) -> None:
    """Write the recipe into the run's folder, or check that the run in it had the same one."""
    path = out / "recipe.toml"
    plain = to_plain(recipe)
    if path.exists():
        if read_toml(path) != plain:
            raise ConfigError(
                f"{out} holds a run of another recipe (see its recipe.toml); give another --out, or remove it"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_toml(path, plain)


def start_from(model: nn.Module, init: Path, console: Console) -> None:
    """Fill a fresh model from a checkpoint, and say what stayed fresh."""
    state, fresh, _ = finetune_state(read_checkpoint(init), model.state_dict())
    model.load_state_dict(state)
    console.print(f"started from {init}; new: {', '.join(fresh) or 'nothing'}", highlight=False)


def set_recompute(model: nn.Module, recompute: bool) -> None:
    """Switch activation recomputation on or off in every part that has it."""
    for module in model.modules():
        if hasattr(module, "recompute"):
            module.recompute = recompute


def build_task(
    recipe: Recipe, model: nn.Module, config: Any, options: RunOptions
) -> Classification | MaskedPixels:
    """The recipe's task around a model."""
    spec = recipe.input
    if recipe.task == "masked":
        return MaskedPixels(
            model, config, mask_ratio=recipe.mask_ratio, mean=spec.mean, std=spec.std, seed=recipe.seed
        )
    erasing = recipe.augment.erasing
    return Classification(
        model,
        num_classes=config.num_classes,
        mean=spec.mean,
        std=spec.std,
        smoothing=recipe.smoothing,
        mix=recipe.mix,
        erasing=RandomErasing(probability=erasing) if erasing else None,
        seed=recipe.seed,
        allow_missing=options.allow_missing,
    )


def training_set(recipe: Recipe, samples: list[Sample], options: RunOptions) -> VideoDataset:
    """The videos to learn from, as the recipe samples and augments them."""
    spec, augment = recipe.input, recipe.augment
    if recipe.task == "masked":
        plan = spec.pretraining_plan()
        transform = PretrainTransform(
            image_size=spec.image_size, scales=augment.multiscale, flip=augment.flip
        )
    else:
        plan = spec.training_plan()
        transform = FinetuneTransform(
            image_size=spec.image_size,
            randaugment=parse_randaugment(augment.randaugment) if augment.randaugment else None,
            scale=augment.scale,
            ratio=augment.ratio,
            flip=augment.flip,
            num_views=augment.views,
        )
    cache = FrameCache(options.cache_bytes) if options.cache_bytes else None
    return VideoDataset(samples=samples, plan=plan, transform=transform, seed=recipe.seed, cache=cache)


def training_order(recipe: Recipe, num_samples: int, options: RunOptions) -> TrainingOrder:
    """Which videos meet in which batch."""
    batch_size = recipe.optim.batch_size
    return TrainingOrder(
        num_samples=num_samples,
        batch_size=batch_size,
        micro_batch_size=options.micro_batch_size or batch_size,
        seed=recipe.seed,
    )
