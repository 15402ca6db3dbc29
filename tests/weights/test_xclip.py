"""X-CLIP in the authors' layout and in Hugging Face's."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.errors import WeightsError
from tubelet.inference.load import input_spec
from tubelet.models.clip import Clip, ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import VARIANTS, XCLIP, XCLIPConfig, mean_pooled
from tubelet.weights.convert import convert, recognize
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, load_strict
from tubelet.weights.rules import to_official, to_ours
from tubelet.weights.xclip import (
    ARCHITECTURE,
    LAYOUTS,
    config_from_hf,
    config_from_shapes,
    config_to_hf,
    find_layout,
    published_input,
)

TINY = XCLIPConfig(
    image=ImageTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=64, image_size=16, tubelet=(1, 8, 8)),
    text=TextTowerConfig(dim=64, depth=1, num_heads=1, embed_dim=64, vocab_size=20, context_length=6),
    num_frames=4,
    integration_num_heads=1,
    prompt_num_heads=1,
)
# What no shape tells, and no official key says.
LARGE = VARIANTS["xclip_l14"]


def filled(config: XCLIPConfig = TINY) -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) * 0.2 for key, tensor in XCLIP(config).state_dict().items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_go_out_and_come_back(layout: str):
    rules, ours = LAYOUTS[layout][ARCHITECTURE], filled()
    official = to_official(ours, rules)
    assert find_layout(official) == (layout, ARCHITECTURE)
    back = to_ours(official, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())


def test_an_xclip_is_not_taken_for_the_clip_inside_it():
    for rules in LAYOUTS.values():
        assert recognize(to_official(filled(), rules[ARCHITECTURE]))[2] == ARCHITECTURE
    with torch.device("meta"):
        clip = Clip(ClipConfig(image=TINY.image, text=TINY.text)).state_dict()
    official = to_official(clip, LAYOUTS["official"][ARCHITECTURE])
    assert find_layout(official) is None
    assert recognize(official)[2] == "clip"


PUBLISHED = [name for name in VARIANTS if name.startswith("xclip_") and name != "xclip_nano"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_shapes_of_a_published_file_tell_its_config(name: str):
    with torch.device("meta"):
        ours = XCLIP(VARIANTS[name]).state_dict()
    assert config_from_shapes(to_official(ours, LAYOUTS["official"][ARCHITECTURE])) == VARIANTS[name]


def test_a_size_that_was_never_published_needs_a_config():
    config = replace(
        TINY,
        image=replace(TINY.image, embed_dim=60),
        text=replace(TINY.text, embed_dim=60),
        prompt_num_heads=5,
    )
    with pytest.raises(WeightsError, match="no published X-CLIP embeds in 60 dimensions; give a config"):
        config_from_shapes(to_official(filled(config), LAYOUTS["official"][ARCHITECTURE]))


@pytest.mark.parametrize("config", [TINY, replace(TINY, integration_depth=2, prompt_depth=1), LARGE])
def test_a_config_goes_to_hugging_face_and_back(config: XCLIPConfig):
    assert config_from_hf(config_to_hf(config)) == config


def test_the_hubs_large_models_get_the_heads_they_were_trained_with():
    hub = config_to_hf(replace(LARGE, integration_num_heads=8, prompt_num_heads=8))
    assert config_from_hf(hub) == LARGE
    theirs = config_from_hf(hub, published_heads=False)
    assert (theirs.integration_num_heads, theirs.prompt_num_heads) == (8, 8)
    # The base models were trained with 8.
    base = VARIANTS["xclip_b16"]
    assert config_from_hf(config_to_hf(base)) == base


def test_a_folder_whose_heads_are_put_right_says_so(tmp_path: Path):
    wide = replace(
        TINY,
        image=replace(TINY.image, embed_dim=768),
        text=replace(TINY.text, embed_dim=768),
        integration_num_heads=12,
        prompt_num_heads=12,
    )
    export(Checkpoint(wide, filled(wide)), tmp_path, "hf")
    assert "remarks" not in convert(tmp_path).facts["source"]
    path = tmp_path / "config.json"
    settings = json.loads(path.read_text())
    settings["prompt_num_attention_heads"] = settings["vision_config"]["mit_num_attention_heads"] = 8
    path.write_text(json.dumps(settings))
    found = convert(tmp_path)
    assert found.config == wide
    assert "config.json says 8 and 8 heads" in found.facts["source"]["remarks"][0]


def test_what_a_hugging_face_config_leaves_out_has_their_default():
    transformers = pytest.importorskip("transformers")
    bare = config_from_hf({"model_type": "xclip"})
    assert bare == config_from_hf(transformers.XCLIPConfig().to_dict())
    assert bare == VARIANTS["xclip_b32"]


@pytest.mark.parametrize(
    ("hf", "message"),
    [
        ({"model_type": "clip"}, "model_type 'clip' in config.json; an xclip was expected"),
        ({"model_type": "xclip", "prompt_hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"model_type": "xclip", "projection_dim": 64}, "integrates frames in 512 dimensions .* to 64"),
    ],
)
def test_another_models_config_is_refused(hf: dict[str, Any], message: str):
    with pytest.raises(WeightsError, match=message):
        config_from_hf(hf)


@pytest.mark.parametrize("part", ["cross_frame", "integration_depth", "prompt_depth"])
def test_a_model_without_one_of_its_parts_has_no_place_in_transformers(part: str):
    lacking: dict[str, Any] = {part: False if part == "cross_frame" else 0}
    with pytest.raises(WeightsError, match=r"this model has no \w+"):
        config_to_hf(replace(TINY, **lacking))


def test_an_official_file_is_converted_with_what_xclip_is_fed(tmp_path: Path):
    ours = filled()
    export(Checkpoint(TINY, ours), tmp_path, "official")
    found = convert(tmp_path / "checkpoint.pth")
    assert found.config == TINY
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())
    spec = input_spec(found.config, found.facts["input"])
    assert spec == InputSpec(
        num_frames=4,
        image_size=16,
        short_side=18,
        sampling="middles",
        rounding="xclip",
        num_clips=1,
        num_crops=1,
    )
    assert published_input(LARGE)["short_side"] == 256
    assert published_input(VARIANTS["xclip_l14_336"])["short_side"] == 384


@pytest.mark.parametrize("zipped", [True, False])
def test_the_settings_in_an_official_file_are_read_without_their_library(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # What yacs pickles: a dictionary with attributes of its own.
    node = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module: Any = ModuleType("yacs.config")
    module.CfgNode = node
    monkeypatch.setitem(sys.modules, "yacs", ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    settings: Any = node(DATA=node(NUM_FRAMES=4), AUG=0.5)
    settings.__dict__["__immutable__"] = True
    content = {
        "model": to_official(filled(), LAYOUTS["official"][ARCHITECTURE]),
        "config": settings,
        "epoch": 29,
        "args": argparse.Namespace(),
    }
    torch.save(content, tmp_path / "k400.pth", _use_new_zipfile_serialization=zipped)
    monkeypatch.undo()
    assert convert(tmp_path / "k400.pth").config == TINY


def test_a_clip_fills_the_mean_of_clip_over_frames():
    clip = Clip(ClipConfig(image=TINY.image, text=TINY.text))
    load_strict(XCLIP(mean_pooled(TINY)), clip.state_dict())


def as_transformers(config: XCLIPConfig, state: dict[str, Tensor]) -> Any:
    transformers = pytest.importorskip("transformers")
    settings = {key: value for key, value in config_to_hf(config).items() if key != "architectures"}
    model = transformers.XCLIPModel(transformers.XCLIPConfig(**settings)).eval()
    missing = model.load_state_dict(to_official(state, LAYOUTS["hf"][ARCHITECTURE]), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("position_ids") for key in missing.missing_keys)
    return model


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_transformers_computes_the_same(frames: int):
    config = replace(TINY, num_frames=frames, integration_num_heads=2, prompt_num_heads=4, prompt_depth=1)
    state = filled(config)
    theirs, ours = as_transformers(config, state), Checkpoint(config, state).build()
    clip = torch.randn(2, frames, 3, 16, 16)
    text = torch.tensor([[18, 3, 19, 19, 19, 19], [18, 1, 2, 7, 5, 19], [18, 19, 19, 19, 19, 19]])
    assert isinstance(ours, XCLIP)
    with torch.inference_mode():
        expected = theirs(pixel_values=clip, input_ids=text, attention_mask=torch.ones_like(text))
        video, texts = ours.video_features(clip.transpose(1, 2)), ours.text_features(text)
        found = ours.logits(video, texts)
    torch.testing.assert_close(found, expected.logits_per_video, rtol=1e-4, atol=1e-5)
    unit = torch.nn.functional.normalize(video.embedding, dim=-1)
    torch.testing.assert_close(unit, expected.video_embeds, rtol=1e-4, atol=1e-5)


def test_an_exported_folder_is_opened_by_transformers(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = Checkpoint(
        TINY, filled(), facts={"input": {"mean": [0.1] * 3, "std": [0.2] * 3, "short_side": 18}}
    )
    export(original, tmp_path, "hf")
    _, info = transformers.XCLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    found = convert(tmp_path)
    assert found.config == TINY
    assert found.facts["input"]["short_side"] == 18
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["crop_size"]["height"] == 16
