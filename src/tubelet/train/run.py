"""The only room that wires everything: a recipe and some videos in, a checkpoint folder and figures out."""

import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from torch import nn

from tubelet.config import write_toml
from tubelet.data.input_spec import views_of
from tubelet.data.long_video import cut_windows
from tubelet.data.randomness import counter_seed
from tubelet.data.values import scale_of
from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.models.text_classifier import TextClassifier, class_tokens
from tubelet.recipes.base import Recipe
from tubelet.tasks.classification import VideoScores
from tubelet.tasks.regression import VideoValues
from tubelet.train.build import (
    RunOptions,
    check_videos,
    model_config,
    reads_texts,
    training_order,
)
from tubelet.train.build_task import build_task
from tubelet.train.build_texts import find_pictures, fitted, training_sets, with_pictures
from tubelet.train.claim import claim_folder
from tubelet.train.device import pick_device
from tubelet.train.ema import Ema
from tubelet.train.evaluate import evaluation_set
from tubelet.train.features import keep_features
from tubelet.train.joined import for_start
from tubelet.train.optim import param_groups
from tubelet.train.report import report_failures, report_other_statistics, report_same_texts
from tubelet.train.start import start_of
from tubelet.train.teacher import open_teacher, taught
from tubelet.train.wired import WiredRun, fit
from tubelet.weights.fetch import file_sha256
from tubelet.weights.finetune import fill_from
from tubelet.weights.locate import checkpoint_folder


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where the model is and how good it is. `seconds` are of wall time, of this process only.

    `test` holds the scores of every test video, or its predicted value, and `failures` the videos that training
    could not read.
    """

    folder: Path
    model: Path
    metrics: dict[str, float]
    test: VideoScores | VideoValues | None
    failures: dict[str, str]
    seconds: float


def run(
    recipe: Recipe,
    data: Path,
    out: Path,
    options: RunOptions,
    *,
    init: Path | None = None,
    teacher: Path | None = None,
    images: Path | None = None,
    console: Console | None = None,
    title: str = "training",
) -> RunResult:
    """Train by a recipe on the videos in `data`, going on where an earlier run into `out` stopped.

    `init` is a checkpoint folder whose encoder the run starts from, `teacher` the model that recipes of alignment
    and distillation learn from: a checkpoint folder, or a published file that can be converted. Both may be names
    of published models. `images` are pictures with captions beside the videos, where the recipe wants them.
    """
    started = time.perf_counter()
    wired = wire(recipe, data, out, options, init, teacher, images, console or Console(stderr=True))
    state = wired.resume()
    try:
        fit(wired, state, title)
    finally:  # a run that gives up over bad videos has most to tell of them
        report_failures(state.failures, out / "unread.txt", wired.console)
    wired.keep_model()
    metrics, scores = wired.test()
    # A task without scores of videos looks at each once.
    seen = recipe.input if scores is not None else replace(recipe.input, num_clips=1, num_crops=1)
    write_toml(
        out / "test.toml",
        {
            "videos": wired.splits.note,
            "views": views_of(seen),
            "weights_sha256": file_sha256(out / "model" / "model.safetensors"),
            "tubelet": version("tubelet"),
            "metrics": metrics,
        },
    )
    return RunResult(
        folder=out,
        model=out / "model",
        metrics=metrics,
        test=scores,
        failures=dict(state.failures),
        seconds=time.perf_counter() - started,
    )


def wire(
    recipe: Recipe,
    data: Path,
    out: Path,
    options: RunOptions,
    init: Path | None,
    teacher: Path | None,
    images: Path | None,
    console: Console,
) -> WiredRun:
    """Build everything a run needs; a mistake in settings, lists or checkpoints shows here, before a step."""
    device = pick_device(options.device)
    started = init
    init, teacher = (path and checkpoint_folder(path) for path in (init, teacher))
    recipe = for_start(recipe, init)
    values = recipe.task == "regression"
    pictures = find_pictures(recipe, images, options.max_bad_share)
    recipe, splits, remarks = fitted(recipe, data, options.skip)
    for remark in remarks:
        console.print(escape(remark), highlight=False, soft_wrap=True)
    check_videos(splits, allow_missing=options.allow_missing, max_bad_share=options.max_bad_share)
    config = model_config(recipe)
    learned_from = open_teacher(recipe, config, teacher)
    config = taught(recipe, config, learned_from)
    scale = scale_of(splits.train) if values else None
    windows = cut_windows(splits.train, recipe.input)
    order = with_pictures(recipe, training_order(recipe, len(windows), options.micro_batch_size), pictures)
    torch.manual_seed(counter_seed(recipe.seed, "weights"))
    model = build_model(config)
    if init is not None:
        start = fill_from(model, config, init, splits.classes)
        console.print(f"started from {escape(f'{init}; {start}')}", highlight=False, soft_wrap=True)
        report_other_statistics(recipe.input, start.fed, init, console)
    elif reads_texts(config) and not getattr(config, "tune_text", True):
        raise ConfigError(
            f"{recipe.model} learns what texts say from CLIP, and they are frozen: give a converted CLIP or "
            "X-CLIP as --init, or train them from scratch with model.tune_text=true"
        )
    if learned_from is not None:
        learned_from.model.to(device)
    if recipe.classifies and reads_texts(config):
        tokens = class_tokens(splits.classes, recipe.wording, config.text)
        report_same_texts(tokens, splits.classes, console)
        model = TextClassifier(model, tokens)
    task = build_task(recipe, model, config, scale=scale, teacher=learned_from)
    learned = training_sets(recipe, windows, pictures, options.cache_bytes)
    evaluation_set(recipe.input, splits.test)  # its mistakes would else show after the training
    set_recompute(model.to(device), options.recompute)
    windowed = replace(splits, train=windows)
    keep_features(model, recipe, windowed, options.keep_features, bf16=options.bf16)
    claim_folder(out, recipe, windowed, init, order.micro_batch_size, learned_from, pictures)
    optim = recipe.optim
    groups = param_groups(
        model,
        weight_decay=optim.weight_decay,
        layer_decay=optim.layer_decay,
        layer_decay_on=optim.layer_decay_on,
        decay_A_log=optim.decay_A_log,
        new_lr_scale=optim.new_lr_scale,
    )
    return WiredRun(
        recipe=recipe,
        options=options,
        out=out,
        config=config,
        device=device,
        splits=splits,
        scale=scale,
        start={} if init is None else start_of(str(started), init),
        teacher=learned_from,
        order=order,
        learned=learned,
        task=task,
        optimizer=torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=device.type == "cuda"),
        ema=None if optim.ema is None else Ema(model, optim.ema),
        console=console,
    )


def set_recompute(model: nn.Module, recompute: bool) -> None:
    """Switch the recomputation of activations on or off in every part that has it."""
    for module in model.modules():
        if hasattr(module, "recompute"):
            setattr(module, "recompute", recompute)  # noqa: B010 - a plain attribute, which nn.Module hides from types
