"""Two trained classifiers joined into one that starts as their mean."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.models.test_cross_model import MASKED, MULTIMODAL, clips
from tubelet.errors import ConfigError, WeightsError
from tubelet.inference.load import input_spec
from tubelet.models import build_model
from tubelet.models.cross_model import multimodal_view
from tubelet.weights.cross_model import joined
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

LABELS = ("climb", "jump", "run", "sit", "walk")
ORDER = [3, 0, 4, 1, 2]


def checkpoint(config: Any, **more: Any) -> Checkpoint:
    torch.manual_seed(0)
    state = build_model(config).state_dict()
    return Checkpoint(config, {key: torch.randn_like(value) * 0.3 for key, value in state.items()}, **more)


def test_two_classifiers_joined_say_the_mean_of_what_they_said():
    masked, multimodal = checkpoint(MASKED), checkpoint(MULTIMODAL)
    model, (clip, other) = joined(masked, multimodal, num_stages=2).build(), clips()
    mean = (masked.build()(clip) + multimodal.build()(other)) / 2
    assert torch.equal(model(clip, other), mean)


def test_classes_are_brought_into_the_order_of_the_first_model():
    masked = checkpoint(MASKED, labels=LABELS)
    multimodal = checkpoint(MULTIMODAL, labels=tuple(LABELS[i] for i in ORDER))
    found, (clip, other) = joined(masked, multimodal, num_stages=2), clips()
    assert found.labels == LABELS
    theirs = torch.empty(2, 5)
    theirs[:, ORDER] = multimodal.build()(other)
    torch.testing.assert_close(found.build()(clip, other), (masked.build()(clip) + theirs) / 2)
    strangers = checkpoint(MULTIMODAL, labels=("hop", *LABELS[1:]))
    with pytest.raises(WeightsError, match="the head has no classes called climb"):
        joined(masked, strangers, num_stages=2)


def test_each_model_gets_the_statistics_it_was_trained_with():
    fed = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "sampling": "uniform"}
    found = joined(checkpoint(MASKED, facts={"input": fed}), checkpoint(MULTIMODAL), num_stages=2)
    assert found.config.mean == (0.1, 0.2, 0.3)
    # What says nothing was fed ImageNet's.
    assert found.config.multimodal_mean == (0.485, 0.456, 0.406)
    assert input_spec(found.config, found.facts["input"]).sampling == "uniform"
    pixels = torch.rand(1, 3, 4, 16, 16)
    clip = (pixels - torch.tensor(found.config.mean).view(3, 1, 1, 1)) / 0.5
    mean, std = (
        torch.tensor(v).view(3, 1, 1, 1) for v in (found.config.multimodal_mean, found.config.multimodal_std)
    )
    torch.testing.assert_close(multimodal_view(clip, found.config), (pixels[:, :, [1, 3]] - mean) / std)


def test_a_joined_model_is_saved_and_read(tmp_path: Any):
    found, (clip, other) = joined(checkpoint(MASKED), checkpoint(MULTIMODAL), num_stages=2), clips()
    save_checkpoint(tmp_path, found)
    again = read_checkpoint(tmp_path)
    assert again.config == found.config
    assert torch.equal(again.build()(clip, other), found.build()(clip, other))


def test_other_models_and_other_classes_are_refused():
    with pytest.raises(WeightsError, match="a uniformerv2_classifier was given; cross-model attention joins"):
        joined(checkpoint(MULTIMODAL), checkpoint(MASKED))
    fewer = replace(MULTIMODAL, num_classes=4)
    with pytest.raises(ConfigError, match="tells 5 classes apart and UniFormerV2 4"):
        joined(checkpoint(MASKED), checkpoint(fewer))
