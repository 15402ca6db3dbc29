"""Runs that keep what a frozen backbone makes of clips."""

import math
import shutil
from pathlib import Path

from torch import nn

from tubelet.data.splits import Splits
from tubelet.errors import ConfigError, DataError
from tubelet.models.kept_features import KeptFeatures
from tubelet.models.uniformerv2 import EncoderConfig, UniFormerV2Classifier
from tubelet.recipes.base import Recipe


def keep_features(
    model: nn.Module, recipe: Recipe, splits: Splits, folder: Path | None, *, bf16: bool = False
) -> None:
    """Let a frozen backbone look into a folder before it computes.

    A ConfigError where nothing would recur, and a DataError where the disk cannot hold what the run would keep.
    """
    if folder is None:
        return
    if not isinstance(model, UniFormerV2Classifier) or not model.config.encoder.frozen_backbone:
        raise ConfigError(
            f"keep_features is for models with a frozen backbone, such as uniformerv2_b16_frozen; {recipe.model} "
            "trains all of itself, and sees other features in every step"
        )
    if recipe.mix is not None:
        raise ConfigError("keep_features: no mixed clip is ever seen again; set mix=none")
    if recipe.augment.draws is None:
        raise ConfigError(
            "keep_features: every epoch draws new clips, which would only fill the folder; set augment.draws=1 "
            "(one clip of each video) or a few more"
        )
    check_room(folder, clips_seen(recipe, splits) * clip_bytes(model.config.encoder, 2 if bf16 else 4))
    model.encoder.kept = KeptFeatures(folder)


def clips_seen(recipe: Recipe, splits: Splits) -> int:
    """How many different clips a run sees: of training, one of each watched video, and all views of the test."""
    draws = min(recipe.augment.draws or recipe.optim.epochs, recipe.optim.epochs)
    views = recipe.input.num_clips * recipe.input.num_crops
    return len(splits.train) * draws * recipe.augment.views + len(splits.val) + len(splits.test) * views


def clip_bytes(config: EncoderConfig, number_bytes: int) -> int:
    """What the features of one clip take in a file."""
    times, *places = config.grid
    return len(config.global_layers) * times * (1 + math.prod(places)) * config.dim * number_bytes


def check_room(folder: Path, wanted: int) -> None:
    """Raise where a disk lacks room for so many bytes, also if all that the folder has counts as some of them."""
    kept = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    there = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(there).free
    if wanted - kept > free:
        raise DataError(
            f"keep_features: the clips of this run take {wanted / 1e9:.1f} GB, and {there} has room for "
            f"{free / 1e9:.1f} GB; give a folder on another disk, or let fewer clips recur (augment.draws, and "
            "input.num_clips and input.num_crops of the test)"
        )
