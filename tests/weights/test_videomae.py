"""Every layout of VideoMAE by values, and its configs there and back."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.models import architecture_of, build_model
from tubelet.models.detector import DetectorConfig
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.weights.convert import FAMILIES, convert_state
from tubelet.weights.rules import to_official
from tubelet.weights.videomae import (
    AVA_INPUT,
    LAYOUTS,
    config_from_hf,
    config_to_hf,
    find_layout,
)

TINY = EncoderConfig(dim=16, depth=2, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8))
CONFIGS: dict[str, Any] = {
    "mean": ClassifierConfig(encoder=TINY, num_classes=3),
    "first": ClassifierConfig(encoder=TINY, num_classes=3, pool="first"),
    "every option": ClassifierConfig(
        encoder=replace(TINY, layer_scale=0.1, position="frozen"), num_classes=3
    ),
    "no biases": ClassifierConfig(encoder=replace(TINY, qv_bias=False), num_classes=3),
    "pretrainer": PretrainerConfig(encoder=TINY, decoder_dim=8, decoder_depth=1, decoder_num_heads=2),
    "detector": DetectorConfig(encoder=TINY, num_classes=4),
}


def filled(config: Any) -> dict[str, torch.Tensor]:
    return {key: torch.randn_like(tensor) for key, tensor in build_model(config).state_dict().items()}


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        (name, layout)
        for name in CONFIGS
        for layout in LAYOUTS
        # Hugging Face has no detectors, no layer scale and no stored positions.
        if layout == "official" or name not in ("every option", "detector")
    ],
)
def test_values_go_out_and_come_back(name: str, layout: str):
    config = CONFIGS[name]
    rules = LAYOUTS[layout][architecture_of(config)]
    ours = filled(config)
    official = to_official(ours, rules)
    back, found = convert_state(official, config)
    assert found == config
    assert back.keys() == ours.keys()
    for key, value in ours.items():
        assert torch.equal(back[key], value), key
    again = to_official(back, rules)
    assert all(torch.equal(again[key], value) for key, value in official.items())


def test_queries_keys_and_values_are_thirds_of_one_tensor_in_this_order():
    ours = filled(CONFIGS["mean"])
    official = to_official(ours, LAYOUTS["official"]["videomae_classifier"])
    name = "blocks.1.attn.qkv.weight"
    expected = torch.cat([ours[f"encoder.blocks.1.attn.{x}.weight"] for x in "qkv"])
    assert torch.equal(official[name], expected)


def test_stored_positions_and_layer_scale_are_found_by_their_keys():
    config = CONFIGS["every option"]
    official = to_official(filled(config), LAYOUTS["official"]["videomae_classifier"])
    assert official["pos_embed"].shape == (1, 8, 16)
    assert {"blocks.0.gamma_1", "blocks.1.gamma_2"} <= official.keys()


def test_a_width_that_was_never_published_needs_a_config():
    official = to_official(filled(CONFIGS["mean"]), LAYOUTS["official"]["videomae_classifier"])
    with pytest.raises(WeightsError, match="no published VideoMAE is 16 wide; give a config"):
        convert_state(official)


def test_a_surplus_key_is_refused_by_name():
    config = CONFIGS["mean"]
    official = to_official(filled(config), LAYOUTS["official"]["videomae_classifier"])
    with pytest.raises(WeightsError, match=r"no rule claims blocks\.0\.attn\.k_bias, wheel\.weight"):
        convert_state(
            {**official, "blocks.0.attn.k_bias": torch.zeros(16), "wheel.weight": torch.zeros(1)}, config
        )


def test_missing_and_misshapen_keys_are_listed_in_one_line():
    config = CONFIGS["mean"]
    official = to_official(filled(config), LAYOUTS["official"]["videomae_classifier"])
    del official["head.bias"], official["blocks.0.attn.qkv.weight"]
    official["fc_norm.weight"] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        convert_state(official, config)
    message = str(caught.value)
    assert "\n" not in message
    assert "missing: encoder.blocks.0.attn.q.weight" in message
    assert "head.bias" in message
    assert "wrong shape: pool_norm.weight (7,) instead of (16,)" in message


def test_keys_of_something_else_are_not_a_videomae():
    with pytest.raises(
        WeightsError,
        match=rf"a model known here \({', '.join(FAMILIES)}\): conv1\.weight, fc\.bias",
    ):
        convert_state({"conv1.weight": torch.zeros(1), "fc.bias": torch.zeros(1)})
    # The image transformers that VideoMAE was written from have a class token.
    assert find_layout(dict.fromkeys(("patch_embed.proj.weight", "head.weight", "cls_token"))) is None


def test_a_file_of_another_architecture_than_the_config_is_refused():
    official = to_official(filled(CONFIGS["pretrainer"]), LAYOUTS["official"]["videomae_pretrainer"])
    with pytest.raises(WeightsError):
        convert_state(official, CONFIGS["mean"])


def test_the_hubs_small_model_gets_its_published_heads_unless_told_otherwise():
    hf = {
        "architectures": ["VideoMAEForVideoClassification"],
        "hidden_size": 384,
        "num_attention_heads": 16,
        "num_hidden_layers": 12,
        "intermediate_size": 1536,
    }
    assert config_from_hf(hf).encoder.num_heads == 6
    assert config_from_hf(hf, published_heads=False).encoder.num_heads == 16


def test_an_architecture_that_is_neither_is_refused():
    with pytest.raises(WeightsError, match=r"architecture 'VideoMAEModel' in config\.json"):
        config_from_hf({"architectures": ["VideoMAEModel"]})


@pytest.mark.parametrize("architecture", ["VideoMAEForPreTraining", "VideoMAEForVideoClassification"])
def test_what_a_hugging_face_config_leaves_out_has_their_default(architecture: str):
    transformers = pytest.importorskip("transformers")
    everything = transformers.VideoMAEConfig(architectures=[architecture]).to_dict()
    assert config_from_hf({"architectures": [architecture]}) == config_from_hf(everything)


@pytest.mark.parametrize("name", ["mean", "first", "no biases", "pretrainer"])
def test_a_config_goes_to_hugging_face_and_back(name: str):
    config = CONFIGS[name]
    found = config_from_hf(config_to_hf(config))
    # transformers fixes the eps of the last norm, and knows no initial scale of the head.
    if isinstance(config, PretrainerConfig):
        assert found == replace(config, last_norm_eps=1e-5, decoder_mlp_ratio=4.0)
    else:
        assert found == replace(config, last_norm_eps=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_scale": 0.1}, "layer scale"),
        ({"position": "learned"}, "stored positions"),
        ({"attention_scale": 0.2}, "its own attention scale"),
        ({"tubelet": (2, 8, 4)}, "another tubelet than square patches"),
    ],
)
def test_what_transformers_lacks_is_not_exported(change: dict[str, Any], message: str):
    config = replace(CONFIGS["mean"], encoder=replace(TINY, **change))
    with pytest.raises(WeightsError, match=f"this model has {message}"):
        config_to_hf(config)


def test_detectors_have_statistics_of_their_own():
    assert [round(255 * mean, 4) for mean in AVA_INPUT["mean"]] == [122.7717, 115.9465, 102.9801]
    assert [round(255 * std, 4) for std in AVA_INPUT["std"]] == [57.375] * 3
