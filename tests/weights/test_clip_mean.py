"""CLIP's own files as models of videos: the mean over frames, and back."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.inference.load import input_spec
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import XCLIP, XCLIPConfig, mean_pooled
from tubelet.weights.clip import CLIP_INPUT, LAYOUTS
from tubelet.weights.convert import convert
from tubelet.weights.export import export
from tubelet.weights.files import read_tensors
from tubelet.weights.rules import to_official

IMAGE = ImageTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=6, image_size=16, tubelet=(1, 8, 8))
TEXT = TextTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=6, vocab_size=20)
WHOLE = XCLIPConfig(image=IMAGE, text=TEXT, integration_num_heads=1, prompt_num_heads=1)
MEAN = mean_pooled(WHOLE)


@pytest.fixture
def clip() -> Clip:
    torch.manual_seed(0)
    return Clip(ClipConfig(image=IMAGE, text=TEXT)).eval()


@pytest.fixture
def file(clip: Clip, tmp_path: Path) -> Path:
    path = tmp_path / "clip.pt"
    torch.save(to_official(clip.state_dict(), LAYOUTS["official"]["clip"]), path)
    return path


def test_a_clip_file_becomes_the_mean_over_frames(clip: Clip, file: Path):
    checkpoint = convert(file, MEAN)
    model, video = checkpoint.build(), torch.randn(2, 3, 8, 16, 16)
    assert isinstance(model, XCLIP)
    frames = clip.image(video.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 8))
    torch.testing.assert_close(model.features(video), frames.mean(dim=1), rtol=1e-4, atol=1e-5)
    tokens = torch.tensor([[18, 3, 19, 0], [18, 5, 6, 19]])
    torch.testing.assert_close(model.text_features(tokens), clip.text(tokens))
    spec = input_spec(checkpoint.config, checkpoint.facts["input"])
    assert (spec.sampling, spec.num_frames, list(spec.mean)) == ("middles", 8, CLIP_INPUT["mean"])


@pytest.mark.parametrize("layout", ["official", "hf"])
def test_and_goes_back_as_clip(layout: str, clip: Clip, file: Path, tmp_path: Path):
    export(convert(file, MEAN), tmp_path / layout, layout)
    written = tmp_path / layout / ("checkpoint.pth" if layout == "official" else "model.safetensors")
    expected: dict[str, Tensor] = to_official(clip.state_dict(), LAYOUTS[layout]["clip"])
    found = read_tensors(written)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    again = convert(written if layout == "official" else tmp_path / layout, replace(MEAN, num_frames=4))
    assert again.config == replace(MEAN, num_frames=4)


def test_what_clip_does_not_have_cannot_come_from_its_file(file: Path):
    with pytest.raises(WeightsError, match=r"missing: image\.blocks\.0\.message"):
        convert(file, WHOLE)
