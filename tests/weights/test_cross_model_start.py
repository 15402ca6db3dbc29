"""What a run of cross-model attention takes from a joined model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.test_cross_model import TINY, clips, fused
from tests.weights.test_cross_model import LABELS, ORDER
from tubelet.errors import ConfigError
from tubelet.models.cross_model import CrossModel, CrossModelConfig
from tubelet.weights.cross_model_start import fill_cross_model, in_order
from tubelet.weights.files import Checkpoint

INIT = Path("joined")


def trained(config: CrossModelConfig = TINY) -> Checkpoint:
    """A joined model that has learned something."""
    return Checkpoint(config, fused(config, fresh=False).state_dict(), LABELS)


def started(found: Checkpoint, config: CrossModelConfig, classes: tuple[str, ...] = ()) -> CrossModel:
    model = CrossModel(config)
    model.load_state_dict(fill_cross_model(found, config, model.state_dict(), INIT, classes).state)
    return model.eval()


def test_a_trained_model_goes_on_as_it_is():
    found = trained()
    assert torch.equal(started(found, TINY)(*clips()), found.build()(*clips()))


@pytest.mark.parametrize("per_class", [False, True])
def test_some_of_the_classes_in_another_order_keep_their_scores(per_class: bool):
    found = trained(replace(TINY, per_class=per_class))
    rows = ORDER[:3]
    names = tuple(LABELS[i] for i in rows)
    config = in_order(found, names).config
    assert config.num_classes == 3
    torch.testing.assert_close(started(found, config, names)(*clips()), found.build()(*clips())[:, rows])


def test_one_weight_of_all_classes_becomes_that_of_each():
    found = trained()
    model = started(found, replace(TINY, per_class=True))
    torch.testing.assert_close(model(*clips()), found.build()(*clips()))
    assert model.fusion.shape == (5,)


@pytest.mark.parametrize(
    "changes", [{"asks_last": "masked"}, {"masked_layers": (3,), "multimodal_layers": (2,)}]
)
def test_what_lies_between_at_other_places_starts_anew(changes: dict[str, Any]):
    found, config = trained(), replace(TINY, **changes)
    filled = fill_cross_model(found, config, CrossModel(config).state_dict(), INIT)
    assert filled.remarks == ["what lies between the models is at other places, and starts anew"]
    assert not any(value.any() for key, value in filled.state.items() if key.endswith("_gate"))
    assert torch.equal(filled.state["masked.head.weight"], found.state["masked.head.weight"])


def test_other_encoders_are_refused():
    encoder = replace(TINY.masked.encoder, num_heads=4)
    config = replace(TINY, masked=replace(TINY.masked, encoder=encoder))
    with pytest.raises(
        ConfigError, match="the encoders of joined are frozen; settings of theirs cannot change"
    ):
        fill_cross_model(trained(), config, CrossModel(config).state_dict(), INIT)
