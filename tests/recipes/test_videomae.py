"""The recipes say what the authors published."""

import pytest

from tubelet.errors import ConfigError
from tubelet.models.videomae import ClassifierConfig, PretrainerConfig
from tubelet.recipes import RECIPES, Recipe, find_recipe
from tubelet.train.build import RunOptions, loop_settings, model_config, training_order
from tubelet.train.device import pick_device

# name, size: batch, epochs, effective lr, mask ratio, stride, decoder blocks
PRETRAINING = [
    ("pretrain_k400", "small", 1024, 1600, 6e-4, 0.9, 4, 4),
    ("pretrain_k400", "base", 2048, 1600, 1.2e-3, 0.9, 4, 4),
    ("pretrain_k400", "large", 512, 1600, 3e-4, 0.9, 4, 12),
    ("pretrain_k400", "huge", 1024, 1600, 6e-4, 0.9, 4, 12),
    ("pretrain_ssv2", "small", 2048, 2400, 1.2e-3, 0.9, 2, 4),
    ("pretrain_ssv2", "base", 2048, 2400, 1.2e-3, 0.9, 2, 4),
    ("pretrain_ucf101", None, 192, 3200, 2.25e-4, 0.75, 4, 4),
]
# name, size: batch, views, epochs, effective lr, layer decay, drop path, dropout, base min lr, clips, classes
FINETUNING = [
    ("finetune_k400", "small", 384, 2, 150, 7.5e-4, 0.75, 0.1, 0.0, 1e-6, 5, 400),
    ("finetune_k400", "base", 384, 2, 75, 7.5e-4, 0.75, 0.1, 0.0, 1e-6, 5, 400),
    ("finetune_k400", "large", 128, 2, 35, 1e-3, 0.75, 0.1, 0.0, 1e-6, 5, 400),
    ("finetune_k400", "huge", 512, 2, 50, 2e-3, 0.75, 0.2, 0.5, 1e-5, 5, 400),
    ("finetune_k400_800", None, 512, 1, 100, 2e-3, 0.75, 0.1, 0.0, 1e-6, 5, 400),
    ("finetune_ssv2", "small", 384, 2, 40, 1.5e-3, 0.7, 0.1, 0.0, 1e-6, 2, 174),
    ("finetune_ssv2", "base", 384, 2, 30, 7.5e-4, 0.75, 0.1, 0.0, 1e-6, 2, 174),
    ("finetune_ssv2_800", None, 512, 1, 50, 1e-3, 0.75, 0.1, 0.0, 1e-6, 2, 174),
    ("finetune_ucf101", None, 128, 2, 100, 2.5e-4, 0.7, 0.2, 0.5, 1e-5, 5, 101),
    ("k710", None, 512, 2, 40, 2e-3, 0.8, 0.2, 0.5, 1e-5, 7, 710),
]


def recipe_of(name: str, size: str | None) -> Recipe:
    return find_recipe(f"videomae.{name}", [f"size={size}"] if size else [])


@pytest.mark.parametrize("row", PRETRAINING, ids=lambda row: f"{row[0]}-{row[1]}")
def test_pre_training_figures_are_the_published_ones(row: tuple):
    name, size, batch, epochs, lr, mask_ratio, stride, decoder_depth = row
    recipe = recipe_of(name, size)
    optim, config = recipe.optim, model_config(recipe)
    assert recipe.task == "masked"
    assert (optim.batch_size, optim.epochs, optim.warmup_epochs) == (batch, epochs, 40)
    assert optim.lr * batch / 256 == pytest.approx(lr)
    assert (optim.betas, optim.weight_decay, optim.layer_decay, optim.min_lr) == (
        (0.9, 0.95),
        0.05,
        1.0,
        1e-5,
    )
    assert (recipe.mask_ratio, recipe.input.stride, recipe.input.num_frames) == (mask_ratio, stride, 16)
    assert recipe.augment.flip == 0.0
    assert isinstance(config, PretrainerConfig)
    assert config.decoder_depth == decoder_depth
    assert config.normalize_target


@pytest.mark.parametrize("row", FINETUNING, ids=lambda row: f"{row[0]}-{row[1]}")
def test_fine_tuning_figures_are_the_published_ones(row: tuple):
    name, size, batch, views, epochs, lr, layer_decay, drop_path, dropout, min_lr, num_clips, classes = row
    recipe = recipe_of(name, size)
    optim, augment, config = recipe.optim, recipe.augment, model_config(recipe)
    assert recipe.task == "classification"
    assert (optim.batch_size, optim.epochs, optim.warmup_epochs) == (batch, epochs, 5)
    assert optim.lr * batch / 256 == pytest.approx(lr)
    assert (optim.betas, optim.weight_decay) == ((0.9, 0.999), 0.05)
    assert (optim.layer_decay, optim.min_lr) == (layer_decay, min_lr)
    assert (augment.views, augment.randaugment, augment.erasing) == (views, "rand-m7-n4-mstd0.5-inc1", 0.25)
    assert (augment.scale, augment.ratio) == ((0.08, 1.0), (0.75, 1.3333))
    assert recipe.smoothing == 0.1
    assert recipe.mix is not None
    assert (recipe.mix.mode, recipe.mix.mixup_alpha, recipe.mix.cutmix_alpha) == ("batch", 0.8, 1.0)
    assert (recipe.input.num_clips, recipe.input.num_crops) == (num_clips, 3)
    assert isinstance(config, ClassifierConfig)
    assert (config.encoder.drop_path, config.dropout, config.num_classes) == (drop_path, dropout, classes)
    assert config.head_init_scale == 0.001


@pytest.mark.parametrize("classes", [400, 600, 700])
def test_each_kinetics_is_learned_in_three_epochs_after_k710(classes: int):
    merged, recipe = (
        recipe_of("k710", None),
        find_recipe("videomae.finetune_after_k710", [f"classes={classes}"]),
    )
    optim = recipe.optim
    assert (optim.epochs, optim.warmup_epochs, optim.lr, optim.min_lr) == (3, 1, 2e-6, 1e-6)
    assert (optim.layer_decay, optim.batch_size) == (0.8, merged.optim.batch_size)
    assert (model_config(recipe).num_classes, recipe.input) == (classes, merged.input)
    assert model_config(recipe).encoder == model_config(merged).encoder


def test_something_something_is_sampled_in_segments_and_never_flipped():
    ssv2, k400 = recipe_of("finetune_ssv2", "base"), recipe_of("finetune_k400", "base")
    assert (ssv2.input.sampling, ssv2.augment.flip) == ("segments", 0.0)
    assert (k400.input.sampling, k400.augment.flip) == ("dense", 0.5)


def test_the_loop_scales_the_learning_rate_with_the_batch():
    recipe = recipe_of("finetune_k400", "base")
    order = training_order(recipe, 240_000, None)
    settings = loop_settings(recipe, order, RunOptions(), pick_device("cpu"))
    assert settings.num_steps == 75 * 625
    assert settings.lr.warmup_steps == 5 * 625
    assert settings.lr(settings.lr.warmup_steps) == pytest.approx(7.5e-4)
    assert settings.lr.final == pytest.approx(1.5e-6)
    assert settings.weight_decay(0) == settings.weight_decay(settings.num_steps - 1) == 0.05


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_a_model_and_a_first_line(name: str):
    recipe = find_recipe(name)
    config = model_config(recipe)
    encoder = getattr(config, "encoder", config)
    assert (encoder.num_frames, encoder.image_size) == (
        recipe.input.num_frames,
        recipe.input.image_size,
    )
    assert RECIPES[name].__doc__


def test_assignments_reach_the_recipe_and_its_model():
    recipe = find_recipe(
        "videomae.finetune_k400", ["size=small", "optim.lr=5e-4", "model.encoder.depth=3", "seed=4"]
    )
    assert (recipe.model, recipe.optim.lr, recipe.seed) == ("videomae_small", 5e-4, 4)
    assert model_config(recipe).encoder.depth == 3
    assert model_config(recipe).encoder.drop_path == 0.1


@pytest.mark.parametrize(
    ("name", "assignments", "message"),
    [
        ("videomae.finetune_k4000", [], "did you mean videomae.finetune_k400"),
        ("videomae.finetune_k400", ["size=giant"], "size 'giant' has no recipe here; there are small, base"),
        ("videomae.finetune_ssv2", ["size=huge"], "size 'huge' has no recipe here; there are small, base$"),
        ("videomae.pretrain_ssv2", ["size=large"], "size 'large' has no recipe here"),
        ("videomae.finetune_ucf101", ["size=base"], "comes in one size only, but size=base was asked for"),
        ("videomae.finetune_k400", ["optim.lrr=1"], r"optim\.lrr does not exist; did you mean optim\.lr\?"),
        ("videomae.finetune_k400", ["optim.epochs=0"], "epochs is 0; it must be at least 1"),
        ("videomae.finetune_k400", ["optim.epochs=3"], "warmup_epochs is 5 of 3 epochs"),
        ("videomae.finetune_k400", ["optim.lr=-1"], "lr is -1.0"),
        ("videomae.finetune_k400", ["optim.layer_decay=0"], "layer_decay is 0.0"),
        ("videomae.finetune_k400", ["optim.ema=1"], "ema is 1.0"),
        ("videomae.finetune_k400", ["smoothing=1"], "smoothing is 1.0"),
        ("videomae.pretrain_k400", ["mask_ratio=1"], "mask_ratio is 1.0"),
        ("videomae.finetune_k400", ["input.num_frames=0"], "num_frames is 0"),
        ("videomae.finetune_k400", ["optim.lr"], "sets nothing"),
    ],
)
def test_wrong_assignments_are_refused(name: str, assignments: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        find_recipe(name, assignments)


def test_a_setting_that_the_model_does_not_have_is_refused_with_its_name():
    recipe = find_recipe("videomae.finetune_k400", ["model.encoder.deph=3"])
    with pytest.raises(
        ConfigError, match=r"videomae_base: encoder\.deph does not exist; did you mean encoder\.depth"
    ):
        model_config(recipe)
    with pytest.raises(ConfigError, match="videomae_bas does not exist; did you mean videomae_base"):
        model_config(find_recipe("videomae.finetune_k400", ["model=videomae_bas"]))
