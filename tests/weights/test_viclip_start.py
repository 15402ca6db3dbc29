"""What a ViCLIP takes from CLIP and from another ViCLIP."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.test_viclip import TINY, clips, words
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import build_model
from tubelet.models.clip import Clip, ClipConfig
from tubelet.models.viclip import ViCLIP
from tubelet.models.xclip import NANO
from tubelet.weights.files import Checkpoint, save_checkpoint
from tubelet.weights.finetune import Start, fill_from
from tubelet.weights.viclip_start import fill_viclip

BARE = replace(TINY, time_scale=0.0)
CLIP = ClipConfig(image=TINY.image, text=replace(TINY.text, context_length=9))


def checkpoint(config: Any) -> Checkpoint:
    state = {key: torch.randn_like(value) * 0.3 for key, value in build_model(config).state_dict().items()}
    return Checkpoint(config, state)


def started(trained: Checkpoint, config: Any, folder: Path) -> tuple[Start, ViCLIP]:
    save_checkpoint(folder, trained)
    model = ViCLIP(config).eval()
    return fill_from(model, config, folder), model


def test_from_clip_a_video_starts_as_its_frames_without_an_order(tmp_path: Path):
    trained = checkpoint(CLIP)
    start, model = started(trained, BARE, tmp_path)
    assert start.fresh == ["image.time_position"]
    assert start.remarks == ["positions of words adapted from 9 to 6"]
    theirs = trained.build()
    assert isinstance(theirs, Clip)
    torch.testing.assert_close(model.scale(), theirs.logit_scale.exp().clamp(max=100))
    torch.testing.assert_close(model.text_features(words()), theirs.text(words()))
    # One image as a video is what CLIP makes of it; so is a still, because all of its frames say the same.
    image = clips(1)
    torch.testing.assert_close(model.features(image), theirs.image(image[:, :, 0]))


def test_from_viclip_all_is_taken_and_tables_are_moved(tmp_path: Path):
    trained = checkpoint(TINY)
    start, model = started(trained, TINY, tmp_path / "same")
    assert (start.fresh, start.unused, start.remarks) == ([], [], [])
    assert all(torch.equal(value, trained.state[key]) for key, value in model.state_dict().items())
    wide = replace(TINY, num_frames=8, image=replace(TINY.image, image_size=24))
    start, model = started(trained, wide, tmp_path / "wide")
    assert start.remarks == ["positions adapted from 5 to 10", "positions in time adapted from 4 to 8"]
    expected: Tensor = torch.nn.functional.interpolate(
        trained.state["image.time_position"].T[None], size=8, mode="linear"
    )[0].T
    torch.testing.assert_close(model.image.time_position.detach(), expected)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            replace(TINY, image=replace(TINY.image, num_heads=4)),
            "the image tower with num_heads 4 instead of 2",
        ),
        (replace(TINY, text=replace(TINY.text, context_length=5)), "reads texts of 5 tokens, .* of 6; set"),
        (NANO, "holds a xclip; a ViCLIP starts from CLIP or ViCLIP"),
    ],
)
def test_what_computes_something_else_is_refused(found: Any, message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        started(checkpoint(found), TINY, tmp_path)


def test_a_checkpoint_that_lacks_something_is_an_error(tmp_path: Path):
    trained = checkpoint(TINY)
    for key in ("image.time_position", "image.proj.weight"):
        state = {name: value for name, value in trained.state.items() if name != key}
        with pytest.raises(WeightsError, match=key):
            fill_viclip(Checkpoint(TINY, state), TINY, ViCLIP(TINY).state_dict(), tmp_path)
