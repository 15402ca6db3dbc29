"""The recipes say what the authors published; learning rates here are of whole batches, as scripts arrive at."""

from dataclasses import replace

import pytest
import torch

from tests.tasks.videomambas import TEACHER, TOWER, teacher, tower
from tubelet.data.mix import MixConfig
from tubelet.data.values import ValueScale
from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.models.videomamba import PRO_INTENDED, ClassifierConfig
from tubelet.models.videomamba_pretrain import PretrainerConfig
from tubelet.recipes import RECIPES, Recipe, find_recipe
from tubelet.tasks.alignment import Alignment
from tubelet.tasks.classification import Classification
from tubelet.tasks.distillation import SelfDistillation
from tubelet.tasks.regression import Regression
from tubelet.train.build import model_config
from tubelet.train.build_task import build_task
from tubelet.train.teacher import Teacher, taught

# recipe: epochs, their lr for a batch of 256 and one view, weight decay, drop path, layer decay, classes, views
VIDEO = [
    ("finetune_k400 size=tiny", 70, 2e-4, 0.1, 0.1, 1.0, 400, (4, 3)),
    ("finetune_k400 size=small frames=32", 50, 2e-4, 0.05, 0.35, 1.0, 400, (4, 3)),
    ("finetune_k400 size=middle", 50, 2e-4, 0.05, 0.8, 1.0, 400, (4, 3)),
    ("finetune_k400 size=middle frames=16", 50, 1e-4, 0.05, 0.8, 1.0, 400, (4, 3)),
    ("finetune_k400 size=middle init=mask", 45, 1e-4, 0.05, 0.4, 0.8, 400, (4, 3)),
    ("finetune_k400_384 size=tiny", 10, 5e-6, 1e-8, 0.1, 1.0, 400, (4, 3)),
    ("finetune_k400_384 size=middle init=mask", 6, 5e-6, 1e-8, 0.4, 0.8, 400, (4, 3)),
    ("finetune_ssv2 size=tiny", 35, 4e-4, 0.1, 0.1, 1.0, 174, (2, 3)),
    ("finetune_ssv2 size=small frames=16", 30, 4e-4, 0.05, 0.35, 1.0, 174, (2, 3)),
    ("finetune_ssv2 size=middle", 30, 4e-4, 0.05, 0.8, 1.0, 174, (2, 3)),
    ("finetune_ssv2 size=middle init=mask", 30, 1e-4, 0.05, 0.4, 0.8, 174, (2, 3)),
    ("finetune_ssv2_288 size=small", 10, 5e-6, 1e-8, 0.35, 1.0, 174, (2, 3)),
    ("finetune_breakfast size=tiny", 70, 2e-4, 0.1, 0.1, 1.0, 10, (4, 3)),
    ("finetune_breakfast size=small frames=64", 50, 2e-4, 0.05, 0.4, 1.0, 10, (4, 3)),
    ("finetune_breakfast size=middle", 50, 2e-4, 0.05, 0.8, 0.8, 10, (4, 3)),
    ("finetune_breakfast size=middle init=mask", 45, 2e-4, 0.05, 0.4, 0.8, 10, (4, 3)),
    ("finetune_coin size=tiny", 40, 2e-4, 0.1, 0.1, 1.0, 180, (10, 3)),
    ("finetune_coin size=small", 35, 2e-4, 0.05, 0.4, 1.0, 180, (10, 3)),
    ("finetune_coin size=middle", 30, 2e-4, 0.05, 0.8, 0.8, 180, (10, 3)),
    ("finetune_coin size=middle init=mask frames=64", 30, 2e-4, 0.05, 0.4, 0.8, 180, (4, 3)),
    ("finetune_lvu label=writer", 70, 4e-4, 0.1, 0.15, 1.0, 10, (4, 3)),
]
# recipe: pixels, epochs, their lr for a batch of 512, batch, weight decay, drop path, gradient norm, task
IMAGE = [
    ("image size=tiny", 224, 300, 5e-4, 4096, 0.1, 0.0, 5.0, "classification"),
    ("image size=small", 224, 300, 5e-4, 4096, 0.05, 0.15, None, "classification"),
    ("image size=middle", 224, 300, 5e-4, 2048, 0.05, 0.5, 5.0, "distillation"),
    ("image size=base", 224, 300, 5e-4, 2048, 0.05, 0.5, 5.0, "distillation"),
    ("image_448 size=middle", 448, 30, 5e-6, 256, 1e-8, 0.5, 5.0, "classification"),
    ("image_576 size=small", 576, 10, 5e-6, 512, 1e-8, 0.15, None, "classification"),
]
NAMES = [name for name in RECIPES if name.startswith("videomamba.")]
FEW = ("model.encoder.dim=16", "model.encoder.depth=1")


def recipe_of(words: str, *assignments: str) -> Recipe:
    name, *settings = words.split()
    return find_recipe(f"videomamba.{name}", [*settings, *assignments])


@pytest.mark.parametrize("row", VIDEO, ids=lambda row: row[0])
def test_video_figures_are_the_published_ones(row: tuple):
    words, epochs, lr, weight_decay, drop_path, layer_decay, classes, views = row
    recipe = recipe_of(words)
    optim, augment, config = recipe.optim, recipe.augment, model_config(recipe)
    assert (optim.batch_size, optim.epochs) == (512, epochs)
    assert optim.lr == pytest.approx(augment.views * lr)
    assert (optim.weight_decay, optim.layer_decay, optim.betas) == (weight_decay, layer_decay, (0.9, 0.999))
    assert (optim.layer_decay_on, optim.decay_A_log) == ("all", False)
    assert isinstance(config, ClassifierConfig)
    assert (config.encoder.drop_path, config.num_classes) == (drop_path, classes)
    assert config.encoder.tubelet == (1, 16, 16)
    assert (recipe.input.num_clips, recipe.input.num_crops) == views
    weak = "tiny" in recipe.model
    assert augment.randaugment == ("rand-m5-n2-mstd0.25-inc1" if weak else "rand-m7-n4-mstd0.5-inc1")
    assert (augment.views, augment.erasing, recipe.smoothing) == (2, 0.25, 0.1)
    assert recipe.mix is not None
    assert (recipe.mix.mixup_alpha, recipe.mix.cutmix_alpha) == (0.8, 1.0)
    ssv2 = "ssv2" in words
    assert (recipe.input.sampling, augment.flip) == (("segments", 0.0) if ssv2 else ("uniform", 0.5))


@pytest.mark.parametrize("row", IMAGE, ids=lambda row: row[0])
def test_image_figures_are_the_published_ones(row: tuple):
    words, pixels, epochs, lr, batch, weight_decay, drop_path, max_grad_norm, task = row
    recipe = recipe_of(words)
    optim, config = recipe.optim, model_config(recipe)
    assert recipe.task == task
    assert (recipe.input.num_frames, recipe.input.image_size, recipe.input.antialias) == (1, pixels, True)
    assert (optim.epochs, optim.batch_size, optim.weight_decay) == (epochs, batch, weight_decay)
    assert optim.lr * batch / 256 == pytest.approx(lr * batch / 512)
    assert optim.max_grad_norm == max_grad_norm
    assert config.encoder.drop_path == drop_path
    assert not config.encoder.time_position
    assert (optim.min_lr == optim.lr) == (pixels > 224)


def test_masked_pre_training_figures_are_the_published_ones():
    for name, sampling in (("pretrain_k400", "uniform"), ("pretrain_ssv2", "segments")):
        recipe = recipe_of(name)
        optim, config = recipe.optim, model_config(recipe)
        assert (optim.lr, optim.batch_size, optim.epochs, optim.warmup_epochs) == (1.5e-4, 2048, 800, 40)
        assert (optim.betas, optim.weight_decay) == ((0.9, 0.95), 0.05)
        assert recipe.alignment is not None
        assert (recipe.alignment.mask_type, recipe.mask_ratio) == ("attention", 0.8)
        assert recipe.alignment.teacher_statistics == "clip"
        assert (recipe.augment.flip, recipe.augment.multiscale) == (0.5, (1.0, 0.875, 0.75, 0.66))
        assert (recipe.input.sampling, recipe.input.num_frames) == (sampling, 8)
        assert isinstance(config, PretrainerConfig)
        assert (config.encoder.dim, config.encoder.drop_path, config.last_feature) == (576, 0.4, "norm")


def test_long_video_is_classified_or_regressed_whole_or_in_windows():
    regression = recipe_of("finetune_lvu label=view_count windows=true")
    assert (regression.task, regression.mix, regression.smoothing) == ("regression", None, 0.0)
    assert model_config(regression).num_classes == 1
    assert (regression.input.window_seconds, regression.input.window_hop) == (60.0, 16.0)
    assert recipe_of("finetune_lvu").input.window_seconds is None
    counts = {"relation": 4, "speak": 5, "scene": 6, "director": 10, "genre": 4, "writer": 10, "year": 9}
    for label, count in counts.items():
        assert model_config(recipe_of(f"finetune_lvu label={label}")).num_classes == count


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_builds_its_model_and_its_task(name: str):
    recipe = find_recipe(name, FEW if "nano" not in name else ())
    recipe = replace(recipe, input=replace(recipe.input, num_frames=min(recipe.input.num_frames, 2)))
    tubelet = model_config(recipe).encoder.tubelet
    config = model_config(recipe)
    found = {
        "alignment": Teacher(
            model=tower(replace(TOWER, tubelet=tubelet)), config=replace(TOWER, tubelet=tubelet), sha256=""
        ),
        "distillation": small_teacher(tubelet, recipe.input.image_size),
    }.get(recipe.task)
    config = taught(recipe, config, found)
    with torch.device("meta"):
        model = build_model(config)
    kinds = {
        "alignment": Alignment,
        "classification": Classification,
        "distillation": SelfDistillation,
        "regression": Regression,
    }
    task = build_task(recipe, model, config, teacher=found, scale=ValueScale(mean=0.0, std=1.0))
    assert type(task) is kinds[recipe.task]


def small_teacher(tubelet: tuple[int, int, int], image_size: int) -> Teacher:
    config = replace(TEACHER, encoder=replace(TEACHER.encoder, tubelet=tubelet, image_size=image_size))
    return Teacher(model=teacher(config), config=config, sha256="")


def test_the_quickstarts_students_differ_in_their_teacher_alone():
    alone, taught_one = recipe_of("train_nano"), recipe_of("distill_nano")
    assert replace(taught_one, task="classification", distillation=None) == alone
    small = model_config(recipe_of("teacher_nano"))
    assert small.encoder.dim < model_config(alone).encoder.dim
    assert small.encoder.grid == model_config(alone).encoder.grid


def test_video_mamba_pro_trains_by_the_same_recipes():
    config = model_config(recipe_of("finetune_k400 size=small", "model=videomambapro_small"))
    assert config.encoder.mixer == PRO_INTENDED
    assert config.encoder.drop_path == 0.35


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("finetune_k400 size=base", "size 'base' has no recipe here; there are tiny, small, middle"),
        ("finetune_k400 frames=12", "frames '12' has no recipe here; there are 8, 16, 32, 64"),
        ("finetune_ssv2 frames=32", "frames '32' has no recipe here; there are 8, 16"),
        ("finetune_k400 init=clip", "init 'clip' has no recipe here; there are imagenet, mask"),
        ("finetune_k400 size=small init=mask", "init=mask has a recipe for size=middle only; size=small"),
        ("finetune_lvu label=plot", "label 'plot' has no recipe here; there are relation, .* view_count"),
        ("finetune_lvu windows=yes", "windows 'yes' has no recipe here; there are false, true"),
        ("train_nano distillation.weight=2", "distillation settings are for task=distillation, not class"),
        ("train_nano task=distillation", r"needs its settings; set for example distillation\.weight=1"),
        ("distill_nano distillation.weight=-1", r"distillation\.weight is -1\.0; it must be 0 or more"),
        ("pretrain_nano alignment.mask_type=cube", r"alignment\.mask_type is 'cube'; it can be 'attention'"),
        ("pretrain_nano alignment.teacher_interval=0", r"teacher_interval is 0\.0; it must be above 0"),
    ],
)
def test_wrong_assignments_are_refused(words: str, message: str):
    with pytest.raises(ConfigError, match=message):
        recipe_of(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "pretrain_nano model=videomamba_nano",
            "needs a VideoMamba pre-trainer such as .*; videomamba_nano is",
        ),
        ("distill_nano model=videomamba_nano_pretrain", "needs a VideoMamba such as"),
        ("train_nano model=videomamba_nano_pretrain", "task=classification needs a classifier such as"),
    ],
)
def test_models_that_cannot_do_a_recipes_task_are_refused(words: str, message: str):
    with pytest.raises(ConfigError, match=message):
        model_config(recipe_of(words))


def test_settings_that_only_labels_give_a_meaning_are_refused_in_pre_training():
    recipe = find_recipe("videomamba.pretrain_k400")
    with pytest.raises(ConfigError, match="are for training with labels"):
        replace(recipe, smoothing=0.1)
    with pytest.raises(ConfigError, match="are for training with labels"):
        replace(recipe, mix=MixConfig())
