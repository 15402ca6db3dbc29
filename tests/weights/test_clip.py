"""CLIP image towers in OpenAI's layouts and in Hugging Face's."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.errors import WeightsError
from tubelet.models.clip import VARIANTS, Clip, ClipConfig, ImageTower, ImageTowerConfig, TextTowerConfig
from tubelet.weights.clip import (
    ARCHITECTURE,
    CLIP_INPUT,
    LAYOUTS,
    TOWER,
    config_from_hf,
    config_from_shapes,
    config_to_hf,
    find_layout,
    image_tower,
)
from tubelet.weights.convert import convert, convert_state
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import to_official, to_ours

TINY = ImageTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=6, image_size=16, tubelet=(1, 8, 8))
TOWERS = {name: config for name, config in VARIANTS.items() if isinstance(config, ImageTowerConfig)}
OFFICIAL = ("official", "official_tower", "official_teacher")


def filled(config: ImageTowerConfig = TINY) -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) for key, tensor in ImageTower(config).state_dict().items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_go_out_and_come_back(layout: str):
    rules, ours = LAYOUTS[layout][TOWER], filled()
    official = to_official(ours, rules)
    assert find_layout(official) == (layout, TOWER)
    back = to_ours(official, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())
    again = to_official(back, rules)
    assert all(torch.equal(again[key], value) for key, value in official.items())


@pytest.mark.parametrize("layout", OFFICIAL)
@pytest.mark.parametrize("name", TOWERS)
def test_the_shapes_of_a_published_tower_tell_its_config(name: str, layout: str):
    with torch.device("meta"):
        ours = ImageTower(TOWERS[name]).state_dict()
    official = to_official(ours, LAYOUTS[layout][TOWER])
    assert config_from_shapes(official) == TOWERS[name]


def test_kernels_of_images_and_of_clips_become_the_same():
    ours = filled()
    images = to_official(ours, LAYOUTS["official_tower"][TOWER])
    clips = to_official(ours, LAYOUTS["official_teacher"][TOWER])
    assert images["conv1.weight"].shape == (64, 3, 8, 8)
    assert clips["conv1.weight"].shape == (64, 3, 1, 8, 8)
    assert torch.equal(images["conv1.weight"], clips["conv1.weight"][:, :, 0])


def test_a_kernel_of_two_frames_has_no_place_in_a_layout_of_images():
    config = replace(TINY, tubelet=(2, 8, 8))
    ours = filled(config)
    assert config_from_shapes(to_official(ours, LAYOUTS["official_teacher"][TOWER])) == config
    with pytest.raises(WeightsError, match=r"embed\.proj\.weight has shape \(64, 3, 2, 8, 8\)"):
        to_official(ours, LAYOUTS["official_tower"][TOWER])


def test_the_text_tower_of_a_full_clip_is_left_out():
    text = TextTowerConfig(dim=64, depth=11, num_heads=1, embed_dim=6, vocab_size=20)
    both = {
        key: torch.randn_like(t) for key, t in Clip(ClipConfig(image=TINY, text=text)).state_dict().items()
    }
    sizes = ("input_resolution", "context_length", "vocab_size")
    full = {**to_official(both, LAYOUTS["official"][ARCHITECTURE]), **dict.fromkeys(sizes, torch.tensor(1))}
    ours, config = convert_state(full, TINY)
    assert config == TINY
    assert all(torch.equal(value, both[f"image.{key}"]) for key, value in ours.items())
    with pytest.raises(WeightsError, match=r"no rule claims visual\.wheel"):
        convert_state({**full, "visual.wheel": torch.zeros(1)}, TINY)


def test_the_text_tower_of_transformers_is_left_out():
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1}
    hf = transformers.CLIPConfig(vision_config=config_to_hf(TINY), text_config=text, projection_dim=6)
    full = transformers.CLIPModel(hf).state_dict()
    older = {f"{tower}_model.embeddings.position_ids": torch.arange(5)[None] for tower in ("vision", "text")}
    converted = to_ours({**full, **older}, LAYOUTS["hf"][TOWER])
    ImageTower(TINY).load_state_dict(converted, strict=True)


def test_queries_keys_and_values_are_thirds_in_this_order():
    ours = filled()
    official = to_official(ours, LAYOUTS["official"][TOWER])
    for part in ("weight", "bias"):
        expected = torch.cat([ours[f"blocks.1.attn.{x}.{part}"] for x in "qkv"])
        assert torch.equal(official[f"visual.transformer.resblocks.1.attn.in_proj_{part}"], expected)


def test_keys_of_something_else_are_not_a_tower():
    others = (
        "patch_embed.proj.weight",
        "class_embedding",
        "visual.conv1.weight",
        "visual.layer1.0.bn1.weight",
    )
    assert find_layout(dict.fromkeys(others)) is None
    # UniFormerV2 has CLIP's blocks, but neither its last norm nor its projection.
    assert find_layout(dict.fromkeys(("class_embedding", "ln_pre.weight", "conv1.weight"))) is None


@pytest.mark.parametrize(
    "config", [replace(TINY, dim=32), replace(TINY, tubelet=(1, 8, 4))], ids=["width", "patch"]
)
def test_a_size_that_was_never_published_needs_a_config(config: ImageTowerConfig):
    official = to_official(filled(config), LAYOUTS["official"][TOWER])
    with pytest.raises(WeightsError, match=r"no published CLIP is .* give a config"):
        config_from_shapes(official)


def test_a_config_goes_to_hugging_face_and_back():
    assert config_from_hf(config_to_hf(TINY)) == TINY
    with pytest.raises(WeightsError, match=r"square patches of one frame, not \(2, 8, 8\)"):
        config_to_hf(replace(TINY, tubelet=(2, 8, 8)))


@pytest.mark.parametrize("model_type", ["clip", "clip_vision_model"])
def test_what_a_hugging_face_config_leaves_out_has_their_default(model_type: str):
    transformers = pytest.importorskip("transformers")
    kind = {"clip": transformers.CLIPConfig, "clip_vision_model": transformers.CLIPVisionConfig}[model_type]
    assert config_from_hf({"model_type": model_type}) == config_from_hf(kind().to_dict())
    name = "clip_b32" if model_type == "clip" else "clip_b32_image"
    assert config_from_hf({"model_type": model_type}) == VARIANTS[name]


@pytest.mark.parametrize(
    ("hf", "message"),
    [
        ({}, r"model_type None in config\.json"),
        ({"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}, "hidden_act 'gelu'"),
        ({"model_type": "clip", "text_config": {"hidden_act": "gelu"}}, "hidden_act 'gelu'"),
        ({"model_type": "clip", "text_config": {"eos_token_id": 3}}, "eos_token_id 3 in config"),
    ],
)
def test_another_models_config_is_refused(hf: dict[str, Any], message: str):
    with pytest.raises(WeightsError, match=message):
        config_from_hf(hf)


def assert_same(found: Checkpoint, ours: dict[str, Tensor]) -> None:
    assert found.config == TINY
    assert found.state.keys() == ours.keys()
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())


@pytest.mark.parametrize("layout", OFFICIAL)
def test_an_official_file_is_converted_with_what_clip_is_fed(layout: str, tmp_path: Path):
    ours = filled()
    torch.save(to_official(ours, LAYOUTS[layout][TOWER]), tmp_path / "clip.pt")
    found = convert(tmp_path / "clip.pt")
    assert_same(found, ours)
    assert found.facts == {"source": {"file": "clip.pt", "layout": layout}, "input": CLIP_INPUT}
    export(found, tmp_path, "official")
    assert_same(convert(tmp_path / "checkpoint.pth"), ours)


def test_a_tower_for_several_frames_goes_out_as_a_teacher(tmp_path: Path):
    config = replace(TINY, tubelet=(2, 8, 8))
    export(Checkpoint(config, filled(config)), tmp_path, "official")
    assert convert(tmp_path / "checkpoint.pth").config == config
    with pytest.raises(WeightsError, match="square patches of one frame"):
        export(Checkpoint(config, filled(config)), tmp_path / "hf", "hf")


def test_a_hugging_face_folder_comes_back_with_its_pixels(tmp_path: Path):
    ours = filled()
    export(Checkpoint(TINY, ours, facts={"input": {**CLIP_INPUT, "mean": [0.1, 0.2, 0.3]}}), tmp_path, "hf")
    processor = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert processor["image_processor_type"] == "CLIPImageProcessor"
    found = convert(tmp_path)
    assert_same(found, ours)
    assert found.facts["input"]["mean"] == [0.1, 0.2, 0.3]
    assert found.facts["input"]["image_size"] == 16
    with pytest.raises(WeightsError, match="a clip_image_tower has no hf_v5 layout"):
        export(found, tmp_path, "hf_v5")


def test_an_exported_folder_computes_the_same_in_transformers(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    original = Checkpoint(TINY, {key: value * 0.3 for key, value in filled().items()})
    export(original, tmp_path, "hf")
    theirs, info = transformers.CLIPVisionModelWithProjection.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(info[what] for what in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        expected = theirs.eval()(images).image_embeds
        torch.testing.assert_close(original.build()(images), expected, rtol=1e-5, atol=1e-5)


FULL = ClipConfig(
    image=TINY,
    text=TextTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=6, vocab_size=20, context_length=9),
)


def full_state() -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) for key, tensor in Clip(FULL).state_dict().items()}


@pytest.mark.parametrize("layout", ["official", "hf"])
def test_both_towers_go_out_and_come_back(layout: str):
    rules, ours = LAYOUTS[layout][ARCHITECTURE], full_state()
    official = to_official(ours, rules)
    assert find_layout(official) == (layout, ARCHITECTURE)
    back = to_ours(official, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())


@pytest.mark.parametrize("name", ["clip_b16", "clip_b32", "clip_l14", "clip_l14_336"])
def test_the_shapes_of_a_published_clip_tell_its_config(name: str):
    config = VARIANTS[name]
    assert isinstance(config, ClipConfig)
    with torch.device("meta"):
        ours = Clip(config).state_dict()
    assert config_from_shapes(to_official(ours, LAYOUTS["official"][ARCHITECTURE])) == config
    assert config_from_hf(config_to_hf(config)) == config


def test_texts_of_a_width_that_was_never_published_need_a_config():
    config = replace(FULL, text=replace(FULL.text, dim=32))
    official = to_official(Clip(config).state_dict(), LAYOUTS["official"][ARCHITECTURE])
    with pytest.raises(WeightsError, match="no published CLIP has texts 32 wide; give a config"):
        config_from_shapes(official)
    assert convert_state(official, config)[1] == config


@pytest.mark.parametrize("to", ["official", "hf"])
def test_a_full_clip_comes_back_from_a_file(to: str, tmp_path: Path):
    ours = full_state()
    export(Checkpoint(FULL, ours, facts={"input": CLIP_INPUT}), tmp_path, to)
    found = convert(tmp_path / "checkpoint.pth" if to == "official" else tmp_path)
    assert found.config == FULL
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())
    assert found.facts["input"].items() >= CLIP_INPUT.items()


def test_the_image_tower_of_a_full_clip_computes_the_same():
    whole = Checkpoint(FULL, {key: value * 0.3 for key, value in full_state().items()}, facts={"a": 1})
    tower, images = image_tower(whole), torch.randn(2, 3, 16, 16)
    assert (tower.config, tower.facts) == (TINY, {"a": 1})
    with torch.inference_mode():
        both = whole.build()
        assert isinstance(both, Clip)
        assert torch.equal(tower.build()(images), both.image(images))
    assert image_tower(tower) is tower


class Archived(nn.Module):
    """Something that has a state under OpenAI's names, so that it can be scripted."""

    def __init__(self, state: dict[str, Tensor]):
        super().__init__()
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in state.items():
            first, _, rest = key.partition(".")
            if rest:
                parts.setdefault(first, {})[rest] = value
            elif value.is_floating_point():
                self.register_parameter(first, nn.Parameter(value))
            else:
                self.register_buffer(first, value)
        for name, part in parts.items():
            self.add_module(name, Archived(part))

    def forward(self) -> int:
        return 1


def test_openais_own_archives_are_converted(tmp_path: Path):
    official = to_official(full_state(), LAYOUTS["official"][ARCHITECTURE])
    norms = ("ln_", "logit")  # as OpenAI's files, all else in half precision
    stored = {k: v if any(norm in k for norm in norms) else v.half() for k, v in official.items()}
    sizes = {name: torch.tensor(n) for name, n in (("input_resolution", 16), ("vocab_size", 20))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated
        torch.jit.script(Archived({**stored, **sizes})).save(str(tmp_path / "ViT-tiny.pt"))
    found = convert(tmp_path / "ViT-tiny.pt")
    assert found.config == FULL
    expected = to_ours({k: v.float() for k, v in stored.items()}, LAYOUTS["official"][ARCHITECTURE])
    assert found.state.keys() == expected.keys()
    assert all(torch.equal(found.state[key], value) for key, value in expected.items())
    assert all(value.dtype == torch.float32 for value in found.state.values())
    assert convert(tmp_path / "ViT-tiny.pt", TINY).config == TINY
