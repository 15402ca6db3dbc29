"""Runs that keep what a frozen backbone makes of clips."""

from pathlib import Path

from torch import nn

from tubelet.errors import ConfigError
from tubelet.models.kept_features import KeptFeatures
from tubelet.models.uniformerv2 import UniFormerV2Classifier
from tubelet.recipes.base import Recipe


def keep_features(model: nn.Module, recipe: Recipe, folder: Path | None) -> None:
    """Let a frozen backbone look into a folder before it computes; a ConfigError where nothing would recur."""
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
    model.encoder.kept = KeptFeatures(folder)
