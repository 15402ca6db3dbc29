"""ViCLIP in the authors' layout."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.errors import WeightsError
from tubelet.inference.load import input_spec
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.viclip import VARIANTS, ViCLIP, ViCLIPConfig
from tubelet.weights.convert import convert, recognize
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import to_official, to_ours
from tubelet.weights.viclip import ARCHITECTURE, LAYOUTS, config_from_shapes, find_layout

TINY = ViCLIPConfig(
    image=ImageTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=12, image_size=16, tubelet=(1, 8, 8)),
    text=TextTowerConfig(dim=64, depth=1, num_heads=1, embed_dim=12, vocab_size=20, context_length=6),
    num_frames=4,
)
RULES = LAYOUTS["official"][ARCHITECTURE]


def filled() -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) for key, tensor in ViCLIP(TINY).state_dict().items()}


def test_values_go_out_and_come_back():
    ours = filled()
    official = to_official(ours, RULES)
    assert find_layout(official) == ("official", ARCHITECTURE)
    assert recognize(official)[2] == ARCHITECTURE
    back = to_ours(official, RULES)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_clip_is_not_taken_for_a_viclip(name: str):
    with torch.device("meta"):
        clip = Clip(ClipConfig(image=VARIANTS[name].image, text=VARIANTS[name].text)).state_dict()
    assert find_layout(clip) is None


@pytest.mark.parametrize("name", ["viclip_b16", "viclip_l14"])
def test_the_shapes_of_a_published_file_tell_its_config(name: str):
    with torch.device("meta"):
        ours = ViCLIP(VARIANTS[name]).state_dict()
    assert config_from_shapes(to_official(ours, RULES)) == VARIANTS[name]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_training_is_converted_without_its_optimiser(zipped: bool, tmp_path: Path):
    ours = filled()
    content = {
        "model": to_official(ours, RULES),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(5)}}, "param_groups": [{"lr": 2e-4}]},
        "scheduler": {"last_epoch": 2},
        "epoch": 9,
    }
    torch.save(content, tmp_path / "ViCLIP.pth", _use_new_zipfile_serialization=zipped)
    found = convert(tmp_path / "ViCLIP.pth")
    assert found.config == TINY
    assert found.state.keys() == ours.keys()
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())


def test_a_converted_model_is_fed_as_the_published_demo_feeds_it(tmp_path: Path):
    export(Checkpoint(TINY, filled()), tmp_path, "official")
    found = convert(tmp_path / "checkpoint.pth")
    spec = input_spec(found.config, found.facts["input"])
    # With ImageNet's statistics, which are the default.
    assert spec == InputSpec(
        num_frames=4, image_size=16, sampling="starts", num_clips=1, num_crops=1, stretch=True
    )
    assert spec.test_transform()(torch.zeros(4, 3, 20, 40, dtype=torch.uint8)).shape == (1, 3, 4, 16, 16)
    assert spec.test_plan()(33, None).tolist() == [[0, 8, 16, 24]]


def test_a_folder_of_the_hub_is_refused_in_favour_of_its_file(tmp_path: Path):
    export(Checkpoint(TINY, filled()), tmp_path, "official")
    (tmp_path / "checkpoint.pth").rename(tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text('{"model_type": "viclip"}')
    with pytest.raises(WeightsError, match="ViCLIP has no layout of Hugging Face; give the file itself"):
        convert(tmp_path)
    assert convert(tmp_path / "pytorch_model.bin").config == TINY
