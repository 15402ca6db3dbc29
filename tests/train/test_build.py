from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import finetuning, pretraining
from tubelet.data.batch import LoadedVideo
from tubelet.data.manifest import Sample
from tubelet.data.splits import Splits, find_splits
from tubelet.data.transforms import FinetuneTransform, PretrainTransform
from tubelet.errors import ConfigError, DataError
from tubelet.recipes import find_recipe
from tubelet.train.build import RunOptions, fit_to_classes, model_config, training_order, training_set


def splits(labels: list[int | None], classes: tuple[str, ...] = ()) -> Splits:
    samples = [Sample(path=f"{i}.mp4", label=label, id=str(i)) for i, label in enumerate(labels)]
    return Splits(train=samples, val=[], test=[], classes=classes, note="")


def test_the_model_gets_as_many_classes_as_the_data_names(motions: Path):
    recipe = fit_to_classes(finetuning(), find_splits(motions))
    assert model_config(recipe).num_classes == 2


def test_a_label_out_of_range_is_named_with_the_range():
    with pytest.raises(DataError, match=r"2\.mp4 has label 2, but the model has 2 classes \(0 to 1\)"):
        fit_to_classes(finetuning(), splits([0, 1, 2], ("left", "right")))
    with pytest.raises(DataError, match=r"1\.mp4 has label 400, but the model has 400 classes"):
        fit_to_classes(finetuning(), splits([0, 400]))


def test_labels_beyond_the_recipe_can_be_allowed_by_name():
    recipe = fit_to_classes(finetuning("model.num_classes=500"), splits([0, 400]))
    assert model_config(recipe).num_classes == 500


def test_videos_without_labels_are_refused_for_classification_alone():
    with pytest.raises(DataError, match=r"1\.mp4 has no label; `tubelet pretrain` learns without"):
        fit_to_classes(finetuning(), splits([0, None]))
    recipe = pretraining()
    assert fit_to_classes(recipe, splits([0, None])) == recipe


def test_the_model_is_made_for_the_clips_it_is_fed():
    config = model_config(finetuning("input.image_size=48", "input.num_frames=6"))
    assert (config.encoder.image_size, config.encoder.num_frames) == (48, 6)


def test_recipes_become_their_transforms(motions: Path):
    samples = find_splits(motions).train
    finetune = training_set(finetuning(), samples, None).transform
    assert isinstance(finetune, FinetuneTransform)
    assert (finetune.num_views, finetune.flip, finetune.image_size) == (2, 0.5, 32)
    assert finetune.randaugment is not None
    pretrain = training_set(pretraining(), samples, None).transform
    assert isinstance(pretrain, PretrainTransform)
    repeated = training_set(pretraining("augment.views=3"), samples, None)
    item = repeated[0, 0]
    assert isinstance(item, LoadedVideo)
    assert len(item.pixels) == 3  # of frames that were decoded once


def test_several_views_that_would_share_a_caption_are_refused():
    recipe = find_recipe("viclip.pretrain_nano")
    with pytest.raises(
        ConfigError, match=r"several views of a video would share its caption; set augment\.views=1"
    ):
        replace(recipe, augment=replace(recipe.augment, views=2))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(DataError, match="8 videos do not fill one batch of 16"):
        training_order(finetuning("optim.batch_size=16"), 8, None)
    with pytest.raises(ConfigError, match="does not divide into micro-batches of 3"):
        training_order(finetuning(), 8, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"save_every": 0}, "save_every is 0; it must be at least 1"),
        ({"validate_every": -1}, "validate_every is -1; it must be at least 0"),
        ({"num_workers": -1}, "num_workers is -1; it must be at least 0"),
        ({"micro_batch_size": 0}, "micro_batch_size is 0; it must be at least 1"),
        ({"cache_bytes": -1}, "cache_bytes is -1; it must be at least 0"),
        ({"max_bad_share": 1.5}, r"max_bad_share is 1\.5; it must be from 0 to 1"),
    ],
)
def test_options_refuse_nonsense(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(RunOptions(), **change)
