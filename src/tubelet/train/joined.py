"""Recipes for models that were joined from two trained ones: what these are, the start says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tubelet.config import flat, to_plain
from tubelet.errors import ConfigError
from tubelet.models import architecture_of, variant
from tubelet.models.cross_model import CrossModelConfig
from tubelet.recipes.base import Recipe
from tubelet.weights.files import read_checkpoint
from tubelet.weights.finetune import setting


def for_start(recipe: Recipe, init: Path | None) -> Recipe:
    """The recipe of cross-model attention with the sizes of the joined model it starts from; others as they are.

    Both models are frozen, so they have to be fed as they were before: otherwise that is a ConfigError, as is the
    lack of a start.
    """
    size = variant(recipe.model)
    if not isinstance(size, CrossModelConfig):
        return recipe
    if recipe.task != "classification":
        raise ConfigError(f"task={recipe.task} needs another model; {recipe.model} joins two classifiers")
    if init is None:
        raise ConfigError(
            f"{recipe.model} starts from two trained models: give the folder in which `tubelet join` has put "
            "them as --init"
        )
    found = read_checkpoint(init).config
    if not isinstance(found, CrossModelConfig):
        raise ConfigError(
            f"{init} holds a {architecture_of(found)}; cross-model attention starts from the folder of "
            "`tubelet join`"
        )
    check_fed(recipe, found, init)
    return replace(recipe, overrides=(*differences(found, size), *recipe.overrides))


def differences(found: CrossModelConfig, size: CrossModelConfig) -> tuple[str, ...]:
    """The overrides that make one config of the other."""
    theirs, ours = flat(to_plain(found)), flat(to_plain(size))
    names = [*theirs, *(name for name in ours if name not in theirs)]
    return tuple(
        f"{name}={'none' if theirs.get(name) is None else setting(theirs[name])}"
        for name in names
        if theirs.get(name) != ours.get(name)
    )


def check_fed(recipe: Recipe, found: CrossModelConfig, init: Path) -> None:
    """Raise where a recipe would feed a joined model otherwise than it was trained."""
    theirs: dict[str, Any] = {
        "num_frames": found.encoder.num_frames,
        "image_size": found.encoder.image_size,
        "mean": found.mean,
        "std": found.std,
    }
    differing = {name: value for name, value in theirs.items() if value != getattr(recipe.input, name)}
    if differing:
        settings = " ".join(f"input.{name}={setting(value)}" for name, value in differing.items())
        told = " and ".join(f"{name} {getattr(recipe.input, name)}" for name in differing)
        raise ConfigError(
            f"{init} is frozen and was not trained with {told}, which the recipe feeds; set {settings}"
        )
