"""CLIP image towers in OpenAI's layouts and in Hugging Face's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.clip import VARIANTS, ImageTower, ImageTowerConfig
from tubelet.weights.clip import (
    ARCHITECTURE,
    CLIP_INPUT,
    LAYOUTS,
    config_from_hf,
    config_from_shapes,
    config_to_hf,
    find_layout,
)
from tubelet.weights.convert import convert, export
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import to_official, to_ours

TINY = ImageTowerConfig(dim=64, depth=2, num_heads=1, embed_dim=6, image_size=16, tubelet=(1, 8, 8))
OFFICIAL = ("official", "official_tower", "official_teacher")


def filled(config: ImageTowerConfig = TINY) -> dict[str, Tensor]:
    return {key: torch.randn_like(tensor) for key, tensor in ImageTower(config).state_dict().items()}


def text_tower(dim: int = 8) -> dict[str, Tensor]:
    """What a full CLIP of OpenAI's holds beside its image tower."""
    block = {
        "attn.in_proj_weight": (3 * dim, dim),
        "attn.in_proj_bias": (3 * dim,),
        "attn.out_proj.weight": (dim, dim),
        "attn.out_proj.bias": (dim,),
        "ln_1.weight": (dim,),
        "ln_1.bias": (dim,),
        "mlp.c_fc.weight": (4 * dim, dim),
        "mlp.c_fc.bias": (4 * dim,),
        "mlp.c_proj.weight": (dim, 4 * dim),
        "mlp.c_proj.bias": (dim,),
        "ln_2.weight": (dim,),
        "ln_2.bias": (dim,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (77, dim),
        "token_embedding.weight": (20, dim),
        "ln_final.weight": (dim,),
        "ln_final.bias": (dim,),
        "text_projection": (dim, 6),
        "logit_scale": (),
        "input_resolution": (),
        "context_length": (),
        "vocab_size": (),
        **{f"transformer.resblocks.{i}.{key}": shape for i in range(11) for key, shape in block.items()},
    }
    return {key: torch.zeros(shape) for key, shape in shapes.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_go_out_and_come_back(layout: str):
    rules, ours = LAYOUTS[layout][ARCHITECTURE], filled()
    official = to_official(ours, rules)
    assert find_layout(official) == (layout, ARCHITECTURE)
    back = to_ours(official, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())
    again = to_official(back, rules)
    assert all(torch.equal(again[key], value) for key, value in official.items())


@pytest.mark.parametrize("layout", OFFICIAL)
@pytest.mark.parametrize("name", VARIANTS)
def test_the_shapes_of_a_published_tower_tell_its_config(name: str, layout: str):
    with torch.device("meta"):
        ours = ImageTower(VARIANTS[name]).state_dict()
    official = to_official(ours, LAYOUTS[layout][ARCHITECTURE])
    assert config_from_shapes(official) == VARIANTS[name]


def test_kernels_of_images_and_of_clips_become_the_same():
    ours = filled()
    images = to_official(ours, LAYOUTS["official_tower"][ARCHITECTURE])
    clips = to_official(ours, LAYOUTS["official_teacher"][ARCHITECTURE])
    assert images["conv1.weight"].shape == (64, 3, 8, 8)
    assert clips["conv1.weight"].shape == (64, 3, 1, 8, 8)
    assert torch.equal(images["conv1.weight"], clips["conv1.weight"][:, :, 0])


def test_a_kernel_of_two_frames_has_no_place_in_a_layout_of_images():
    ours = filled(replace(TINY, tubelet=(2, 8, 8)))
    assert config_from_shapes(to_official(ours, LAYOUTS["official_teacher"][ARCHITECTURE])).tubelet[0] == 2
    with pytest.raises(WeightsError, match=r"embed\.proj\.weight has shape \(64, 3, 2, 8, 8\)"):
        to_official(ours, LAYOUTS["official_tower"][ARCHITECTURE])


def test_the_text_tower_of_a_full_clip_is_left_out():
    ours, rules = filled(), LAYOUTS["official"][ARCHITECTURE]
    full = {**to_official(ours, rules), **text_tower()}
    assert find_layout(full) == ("official", ARCHITECTURE)
    assert config_from_shapes(full) == TINY
    assert to_ours(full, rules).keys() == ours.keys()
    with pytest.raises(WeightsError, match=r"no rule claims visual\.wheel"):
        to_ours({**full, "visual.wheel": torch.zeros(1)}, rules)


def test_the_text_tower_of_transformers_is_left_out():
    transformers = pytest.importorskip("transformers")
    vision = config_to_hf(TINY)
    text = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1}
    hf = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=6)
    full = transformers.CLIPModel(hf).state_dict()
    assert find_layout(full) == ("hf", ARCHITECTURE)
    assert config_from_hf(hf.to_dict()) == TINY
    older = {f"{tower}_model.embeddings.position_ids": torch.arange(5)[None] for tower in ("vision", "text")}
    converted = to_ours({**full, **older}, LAYOUTS["hf"][ARCHITECTURE])
    ImageTower(TINY).load_state_dict(converted, strict=True)


def test_queries_keys_and_values_are_thirds_in_this_order():
    ours = filled()
    official = to_official(ours, LAYOUTS["official"][ARCHITECTURE])
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
    official = to_official(filled(config), LAYOUTS["official"][ARCHITECTURE])
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
    assert config_from_hf({"model_type": model_type}) == VARIANTS["clip_b32_image"]


@pytest.mark.parametrize(
    ("hf", "message"),
    [
        ({}, r"model_type None in config\.json"),
        ({"model_type": "clip", "vision_config": {"hidden_act": "gelu"}}, "hidden_act 'gelu'"),
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
    torch.save(to_official(ours, LAYOUTS[layout][ARCHITECTURE]), tmp_path / "clip.pt")
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
