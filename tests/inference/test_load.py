from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.inference.checkpoints import CLASSIFIER, INPUT, PRETRAINER, checkpoint
from tubelet.config import read_toml, to_plain, write_toml
from tubelet.data.input_spec import InputSpec
from tubelet.errors import BackendError, ConfigError, WeightsError
from tubelet.inference.load import input_spec, load
from tubelet.models import clip, videomamba
from tubelet.weights.files import save_checkpoint


def test_a_checkpoint_is_loaded_for_use(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER, ("left", "right"), INPUT))
    loaded = load(str(tmp_path))
    assert not loaded.model.training
    assert (loaded.config, loaded.input, loaded.labels) == (CLASSIFIER, INPUT, ("left", "right"))
    assert loaded.has_names
    assert loaded.device.type == "cpu"


def test_a_converted_checkpoint_is_fed_what_its_model_was_made_for(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER))
    loaded = load(tmp_path)
    assert loaded.input == InputSpec(num_frames=4, image_size=16)
    assert loaded.labels == ("class 0", "class 1")
    assert not loaded.has_names


def test_what_a_model_is_fed_is_completed_by_its_config_and_changed_by_assignments():
    spec = input_spec(CLASSIFIER, {"mean": [0.5, 0.5, 0.5]}, ["input.stride=2", "input.sampling=segments"])
    assert spec == InputSpec(num_frames=4, image_size=16, mean=(0.5, 0.5, 0.5), stride=2, sampling="segments")
    with pytest.raises(ConfigError, match=r"input\.strid does not exist; did you mean input\.stride"):
        input_spec(CLASSIFIER, {}, ["input.strid=2"])
    with pytest.raises(ConfigError, match="input feeds 8 frames of 16 pixels to a model made for 4 of 16"):
        input_spec(CLASSIFIER, {}, ["input.num_frames=8"])


def test_a_model_of_frames_that_are_not_square_is_told_which_square_it_gets():
    encoder = videomamba.EncoderConfig(dim=16, depth=1, image_size=(32, 48))
    config = videomamba.ClassifierConfig(encoder=encoder)
    with pytest.raises(ConfigError, match=r"made for frames of 32 × 48 pixels, .* with input\.image_size=32"):
        input_spec(config, {})
    assert input_spec(config, {}, ["input.image_size=48"]).image_size == 48
    assert input_spec(config, {"image_size": 32}).image_size == 32


def test_a_tower_of_images_is_fed_single_frames():
    spec = input_spec(clip.VARIANTS["clip_b32_image"], {"num_clips": 1})
    assert (spec.num_frames, spec.image_size, spec.num_clips) == (1, 224, 1)


def test_an_encoder_has_no_labels(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(PRETRAINER))
    assert load(tmp_path).labels == ()


def test_a_size_is_not_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match="videomae_base names a size, not trained weights"):
        load("videomae_base")
    save_checkpoint(tmp_path / "videomae_base", checkpoint(CLASSIFIER))
    assert load("videomae_base").config == CLASSIFIER


@pytest.mark.parametrize("name", ["absent", "file", "empty"])
def test_a_wrong_folder_says_what_is_wanted(name: str, tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=rf"{name} is not a checkpoint folder"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["left"]}, "names 1 labels for 2 classes"),
        (
            {"input": to_plain(replace(INPUT, num_frames=8))},
            "feeds 8 frames of 16 pixels to a model made for 4 of 16",
        ),
        ({"input": {"num_framse": 4}}, r"config\.toml: input\.num_framse does not exist; did you mean"),
        ({"input": 3}, r"config\.toml: input is 3; it has to be a table"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(change: dict[str, Any], message: str, tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER, ("left", "right"), INPUT))
    write_toml(tmp_path / "config.toml", {**read_toml(tmp_path / "config.toml"), **change})
    with pytest.raises(ConfigError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(device: str, tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER))
    with pytest.raises(BackendError, match=f"device '{device}'") as caught:
        load(tmp_path, device=device)
    assert "\n" not in str(caught.value)
