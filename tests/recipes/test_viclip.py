import pytest

from tubelet.errors import ConfigError
from tubelet.models import variant
from tubelet.recipes import find_recipe
from tubelet.train.build import model_config, training_order


def test_pretraining_is_as_published():
    recipe = find_recipe("viclip.pretrain")
    optim = recipe.optim
    assert recipe.task == "contrast"
    assert recipe.model == "viclip_l14"
    assert recipe.mask_ratio == 0.9
    assert optim.lr * optim.batch_size / 256 == pytest.approx(2e-4)
    assert (optim.betas, optim.weight_decay, optim.batch_size) == ((0.9, 0.98), 0.2, 512)
    assert (optim.epochs, optim.warmup_epochs) == (10, 0.5)
    assert not model_config(recipe).tune_text
    assert model_config(recipe).num_frames == recipe.input.num_frames == 8


def test_the_tuning_that_follows_hides_nothing():
    assert find_recipe("viclip.unmask", ["size=b16"]).mask_ratio == 0.0
    assert find_recipe("viclip.unmask_nano").mask_ratio == 0.0


def test_a_step_is_one_contrast_unless_said_otherwise():
    recipe = find_recipe("viclip.pretrain")
    assert training_order(recipe, 1000, None).micro_batch_size == 512
    assert training_order(recipe, 1000, 64).micro_batch_size == 64


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match=r"size 'b32' has no recipe here; there are b16, l14"):
        find_recipe("viclip.pretrain", ["size=b32"])
    with pytest.raises(ConfigError, match="task=contrast needs a ViCLIP"):
        model_config(find_recipe("viclip.pretrain", ["model=xclip_b16"]))
    with pytest.raises(ConfigError, match="smoothing"):
        find_recipe("viclip.pretrain", ["smoothing=0.1"])
    with pytest.raises(ConfigError, match="image_batch_size is for contrast and captioning"):
        find_recipe("videomae.finetune", ["image_batch_size=4"])
    assert variant("viclip_nano").tune_text
