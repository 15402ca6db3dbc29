import pytest

from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.recipes import find_recipe
from tubelet.train.build import model_config
from tubelet.train.optim import param_groups


def test_pictures_are_six_times_as_many_as_videos_as_published():
    assert find_recipe("internvideo.pretrain").image_batch_size is None
    recipe = find_recipe("internvideo.pretrain", ["pictures=yes"])
    assert recipe.image_batch_size == 86_016 // 14_336 * recipe.optim.batch_size


def test_published_losses_are_summed_plainly():
    words = find_recipe("internvideo.pretrain").captioning
    assert words is not None
    assert (words.contrast, words.caption, words.hidden) == (1.0, 1.0, 0.0)


def test_questions_are_learned_as_published():
    recipe = find_recipe("internvideo.answer")
    optim = recipe.optim
    assert (optim.epochs, optim.batch_size, optim.new_lr_scale) == (20, 512, 10.0)
    assert optim.lr * optim.batch_size / 256 == pytest.approx(1e-5)
    assert recipe.input.num_frames == 8


def test_only_the_head_learns_faster():
    recipe = find_recipe("internvideo.answer_nano", ["optim.new_lr_scale=10"])
    groups = param_groups(build_model(model_config(recipe)), weight_decay=0.05, new_lr_scale=10.0)
    fast = {name for group in groups if group["lr_scale"] == 10 for name in group["names"]}
    assert fast
    assert all(name.startswith("head.") for name in fast)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["captioning.caption=-1"], "each is 0 or more"),
        (["captioning.contrast=0", "captioning.caption=0"], "not all are 0"),
        (["captioning.hidden_words=1.5"], "hidden_words is 1.5"),
        (["image_batch_size=0"], "image_batch_size is 0"),
        (["captioning=none"], r"task=captioning needs its settings; set for example captioning\.caption=1"),
        (["answering.num_answers=5"], "answering settings are for task=answering"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: list[str], says: str):
    with pytest.raises(ConfigError, match=says):
        find_recipe("internvideo.pretrain_nano", settings)


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="task=captioning needs an InternVideo"):
        model_config(find_recipe("internvideo.pretrain", ["model=viclip_b16"]))
    with pytest.raises(ConfigError, match="task=answering needs a model for questions"):
        model_config(find_recipe("internvideo.answer", ["model=internvideo_mm_b16"]))
    with pytest.raises(ConfigError, match="no decoder to tell captions with"):
        model_config(find_recipe("internvideo.pretrain", ["model=internvideo_mm_b16"]))
