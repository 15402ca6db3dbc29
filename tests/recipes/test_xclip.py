"""The published X-CLIP settings (facts of its configs), and what may be asked of them."""

import math

import pytest
import torch

from tubelet.data.colour_jitter import ColourJitter
from tubelet.data.transforms import IMAGENET_MEAN, MultiscaleTransform
from tubelet.errors import ConfigError
from tubelet.recipes import find_recipe
from tubelet.train.build import RunOptions, loop_settings, model_config, training_order, training_set

FULL = {"epochs": 30, "batch_size": 256, "lr": 8e-6}
SHOTS = {"epochs": 50, "batch_size": 64, "lr": 2e-6}


@pytest.mark.parametrize(
    ("name", "assignments", "model", "frames", "image_size", "schedule"),
    [
        ("finetune_k400", ["size=b32"], "xclip_b32", 8, 224, FULL),
        ("finetune_k400", ["size=b32", "frames=16"], "xclip_b32", 16, 224, FULL),
        ("finetune_k400", [], "xclip_b16", 8, 224, FULL),
        ("finetune_k400", ["frames=16"], "xclip_b16", 16, 224, FULL),
        ("finetune_k400", ["size=l14"], "xclip_l14", 8, 224, FULL),
        ("finetune_k400", ["size=l14_336"], "xclip_l14_336", 16, 336, FULL),
        ("finetune_k600", ["frames=16"], "xclip_b16", 16, 224, FULL),
        ("finetune_k600", ["size=l14"], "xclip_l14", 8, 224, FULL),
        ("zero_shot", [], "xclip_b16", 32, 224, {**FULL, "epochs": 10}),
        ("few_shot_hmdb51", [], "xclip_b16", 32, 224, SHOTS),
        ("few_shot_ucf101", [], "xclip_b16", 32, 224, SHOTS),
    ],
)
def test_published_settings(
    name: str, assignments: list[str], model: str, frames: int, image_size: int, schedule: dict[str, float]
):
    recipe = find_recipe(f"xclip.{name}", assignments)
    assert (recipe.model, recipe.input.num_frames, recipe.input.image_size) == (model, frames, image_size)
    assert (recipe.input.num_clips, recipe.input.num_crops, recipe.input.mean) == (4, 3, IMAGENET_MEAN)
    config = model_config(recipe)
    assert (config.num_frames, config.tune_text, config.drop_path) == (frames, False, 0.0)
    optim = recipe.optim
    assert (optim.epochs, optim.warmup_epochs, optim.batch_size) == (
        schedule["epochs"],
        5,
        schedule["batch_size"],
    )
    assert (optim.betas, optim.weight_decay, optim.new_lr_scale) == ((0.9, 0.98), 1e-3, 10.0)
    order = training_order(recipe, num_samples=6400, micro_batch_size=None)
    settings = loop_settings(recipe, order, RunOptions(), torch.device("cpu"))
    # Of both groups: the first, what CLIP has, the second, what is added, both down to the same rate.
    peak, warmup = schedule["lr"], 5 * order.steps_per_epoch
    for step in (0, 1, warmup // 2, warmup - 1):
        assert settings.lr(step) == pytest.approx(peak * step / warmup)
        assert settings.lr(step, 10.0) == pytest.approx(10 * peak * step / warmup)
    # The cosine has run from step 0, and the rate jumps down to it.
    share = (1 + math.cos(math.pi * 5 / schedule["epochs"])) / 2
    assert settings.lr(warmup) == pytest.approx(peak / 100 + (peak - peak / 100) * share)
    assert (
        settings.lr(settings.num_steps) == settings.lr(settings.num_steps, 10.0) == pytest.approx(peak / 100)
    )


def test_training_clips_are_cropped_and_coloured_as_published():
    learned = training_set(find_recipe("xclip.finetune_k400"), [], None)
    assert learned.transform == MultiscaleTransform(image_size=224, jitter=ColourJitter(), grayscale=0.2)
    oddly = find_recipe("xclip.finetune_k400", ["augment.jitter_per_frame=true", "input.random_clips=true"])
    flickering = ColourJitter(per_frame=True)
    wanted = MultiscaleTransform(image_size=224, jitter=flickering, grayscale=0.2)
    assert training_set(oddly, [], None).transform == wanted


def test_mean_pooled_clip_adds_nothing_and_tunes_texts():
    config = model_config(find_recipe("xclip.mean_pooled_k400", ["size=b32"]))
    assert (config.cross_frame, config.integration_depth, config.prompt_depth) == (False, 0, 0)
    assert config.tune_text


@pytest.mark.parametrize(
    ("name", "assignments", "message"),
    [
        ("xclip.finetune_k600", ["size=b32"], "size 'b32' has no recipe here; there are b16, l14"),
        ("xclip.finetune_k400", ["frames=32"], "frames '32' has no recipe here; there are 8, 16"),
        (
            "xclip.finetune_k400",
            ["augment.randaugment=rand-m7-n4"],
            "RandAugment comes with crops of any size",
        ),
        ("xclip.train_nano", ["augment.jitter=0.5"], "set augment.crop=multiscale"),
        ("xclip.train_nano", ['wording.templates=["a video"]'], "marked with|places for a label"),
        ("xclip.train_nano", ["parts=some"], "parts 'some' has no recipe here; there are all, none"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, assignments: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        find_recipe(name, assignments)


def test_only_classification_learns_names():
    recipe = find_recipe("xclip.train_nano", ["task=regression"])
    with pytest.raises(ConfigError, match="task=regression needs a classifier"):
        model_config(recipe)
