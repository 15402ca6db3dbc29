"""The recipes say what the authors published; rates here are of whole batches, as scripts arrive at."""

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.recipes import RECIPES, Recipe, find_recipe
from tubelet.tasks.classification import Classification
from tubelet.train.build import model_config
from tubelet.train.build_task import build_task

# recipe: frames, pixels, their rate and batch, epochs, of which warm-up, classes, clips and crops of a test
PUBLISHED = [
    ("k710 size=b16", 8, 224, 1e-5, 256, 55, 5, 710, (4, 3)),
    ("k710 size=l14", 8, 224, 1e-5, 512, 40, 5, 710, (4, 3)),
    ("k710 size=l14_336", 8, 336, 5e-6, 256, 40, 5, 710, (4, 3)),
    ("k710 size=l14_336_frozen", 8, 336, 8e-4, 512, 50, 0, 710, (3, 1)),
    ("finetune_k400 init=clip", 8, 224, 1e-5, 256, 55, 5, 400, (4, 3)),
    ("finetune_k600 size=l14_336_frozen init=clip", 8, 336, 8e-4, 512, 50, 0, 600, (3, 1)),
    ("finetune_k400", 8, 224, 2e-6, 256, 5, 1, 400, (4, 3)),
    ("finetune_k700 size=l14 frames=16", 16, 224, 1.5e-6, 256, 5, 1, 700, (4, 3)),
    ("finetune_k600 size=l14_336 frames=64", 64, 336, 1.5e-6, 128, 5, 1, 600, (4, 3)),
    ("finetune_k400 size=l14_336_frozen frames=32", 32, 336, 5e-5, 256, 5, 1, 400, (3, 1)),
    ("finetune_mit size=b16", 8, 224, 2e-5, 512, 24, 5, 339, (4, 3)),
    ("finetune_mit size=l14_336", 8, 336, 1e-5, 512, 18, 5, 339, (4, 3)),
    ("finetune_ssv1 size=b16", 16, 224, 4e-5, 128, 22, 5, 174, (1, 3)),
    ("finetune_ssv2 size=l14 frames=32", 32, 224, 2e-5, 128, 22, 5, 174, (1, 3)),
    ("finetune_anet frames=32", 32, 224, 5e-6, 64, 20, 5, 200, (10, 3)),
    ("finetune_hacs", 16, 224, 5e-6, 64, 20, 5, 200, (10, 3)),
]
NAMES = [name for name in RECIPES if name.startswith("uniformerv2.")]


def recipe_of(words: str, *assignments: str) -> Recipe:
    name, *settings = words.split()
    return find_recipe(f"uniformerv2.{name}", [*settings, *assignments])


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row[0])
def test_figures_are_the_published_ones(row: tuple):
    words, frames, pixels, lr, batch, epochs, warmup, classes, views = row
    recipe = recipe_of(words)
    optim, config, fed = recipe.optim, model_config(recipe), recipe.input
    assert (config.encoder.num_frames, config.encoder.image_size) == (frames, pixels)
    assert (optim.batch_size, optim.epochs, optim.warmup_epochs) == (batch, epochs, warmup)
    assert optim.lr * batch / 256 == pytest.approx(lr)
    assert optim.min_lr * batch / 256 == pytest.approx(1e-6)
    assert (optim.weight_decay, optim.max_grad_norm, optim.betas) == (0.05, 20.0, (0.9, 0.999))
    assert (config.num_classes, (fed.num_clips, fed.num_crops)) == (classes, views)
    assert (fed.mean, fed.std) == ((0.45,) * 3, (0.225,) * 3)
    assert (config.head_dropout, config.encoder.global_dropout) == (0.5, 0.5)
    assert (recipe.mix, recipe.smoothing, recipe.augment.erasing) == (None, 0.0, 0.0)
    motion = "ssv" in words
    assert (recipe.augment.flip, recipe.augment.views) == ((0.0, 2) if motion else (0.5, 1))
    assert config.encoder.temporal_stride == (2 if motion else 1)
    dropped = motion or "anet" in words or "hacs" in words
    assert (config.encoder.drop_path, config.encoder.global_drop_path) == ((0.2, 0.4) if dropped else (0, 0))
    assert config.encoder.frozen_backbone == ("frozen" in words)


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_its_model_and_its_task(name: str):
    recipe = find_recipe(name)
    config = model_config(recipe)
    with torch.device("meta"):
        task = build_task(recipe, build_model(config), config)
    assert type(task) is Classification


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("k710 size=b32", "size 'b32' has no recipe here; there are b16, l14, l14_336, l14_336_frozen"),
        ("finetune_k400 frames=16", "frames '16' has no recipe here; there are 8"),
        ("finetune_k400 size=l14 init=clip", "size 'l14' has no recipe here; there are b16, l14_336_frozen"),
        ("finetune_k400 init=clip frames=16", "frames '16' has no recipe here; there are 8"),
        ("finetune_k400 init=imagenet", "init 'imagenet' has no recipe here; there are k710, clip"),
        ("finetune_ssv2 frames=8", "frames '8' has no recipe here; there are 16, 32"),
        ("finetune_mit size=l14_336_frozen", "has no recipe here; there are b16, l14, l14_336"),
        ("finetune_anet frames=8", "frames '8' has no recipe here; there are 16, 32"),
    ],
)
def test_what_was_never_published_is_refused(words: str, message: str):
    with pytest.raises(ConfigError, match=message):
        recipe_of(words)


@pytest.mark.parametrize("size", ["b16", "l14", "l14_336"])
def test_every_size_can_be_frozen_for_videos_of_ones_own(size: str):
    plain, frozen = (
        find_recipe("uniformerv2.finetune", [f"size={name}"]) for name in (size, f"{size}_frozen")
    )
    assert frozen.model == f"uniformerv2_{size}_frozen"
    # What is new alone learns, and faster.
    assert frozen.optim.lr == pytest.approx(80 * plain.optim.lr)
    assert frozen.input == plain.input
