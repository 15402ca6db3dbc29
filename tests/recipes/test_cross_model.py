"""The recipes of cross-model attention say what the paper tells, and build."""

import pytest
import torch

from tubelet.models import build_model
from tubelet.recipes import RECIPES, find_recipe
from tubelet.tasks.classification import Classification
from tubelet.train.build import model_config
from tubelet.train.build_task import build_task


def test_figures_are_those_that_the_paper_tells():
    recipe = find_recipe("cross_model.k400")
    optim, config = recipe.optim, model_config(recipe)
    assert (optim.batch_size, optim.epochs, optim.warmup_epochs) == (64, 5, 1)
    assert optim.lr * optim.batch_size / 256 == pytest.approx(5e-5)
    assert (optim.weight_decay, optim.ema) == (1e-3, 0.9999)
    assert (config.masked.dropout, config.multimodal.head_dropout) == (0.9, 0.9)
    assert (config.masked_layers, config.multimodal_layers) == ((7, 15, 23, 31), (5, 11, 17, 23))
    assert (config.num_classes, recipe.smoothing, recipe.mix) == (400, 0.0, None)


def test_augmentation_is_that_of_uniformerv2_on_pixels_as_videomae_wants_them():
    recipe, theirs = find_recipe("cross_model.k400"), find_recipe("uniformerv2.finetune_k400", ["size=l14"])
    assert recipe.augment == theirs.augment
    assert (recipe.input.sampling, recipe.input.num_frames) == ("uniform", 16)
    config = model_config(recipe)
    assert (recipe.input.mean, recipe.input.std) == (config.mean, config.std)
    assert (config.multimodal_mean, config.multimodal_std) == (theirs.input.mean, theirs.input.std)


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("cross_model.")])
def test_every_recipe_builds_its_model_and_its_task(name: str):
    recipe = find_recipe(name)
    config = model_config(recipe)
    with torch.device("meta"):
        task = build_task(recipe, build_model(config), config)
    assert type(task) is Classification
