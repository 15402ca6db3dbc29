"""UniFormerV2 in its authors' layout, and its start from CLIP."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError, WeightsError
from tubelet.inference.load import input_spec
from tubelet.models import build_model, clip
from tubelet.models.uniformerv2 import VARIANTS, ClassifierConfig, EncoderConfig, UniFormerV2Classifier
from tubelet.weights.convert import convert, export, recognize
from tubelet.weights.files import Checkpoint, load_strict, save_checkpoint
from tubelet.weights.finetune import Start, fill_from
from tubelet.weights.rules import to_official, to_ours
from tubelet.weights.uniformerv2 import (
    ARCHITECTURE,
    LAYOUTS,
    config_from_shapes,
    find_layout,
    published_input,
)

TINY = ClassifierConfig(
    encoder=EncoderConfig(
        dim=64,
        depth=3,
        num_heads=1,
        patch_size=8,
        image_size=16,
        local_relations=1,
        global_layers=(1, 2),
    ),
    num_classes=5,
)
MOTION = replace(
    TINY,
    encoder=replace(
        TINY.encoder,
        num_frames=16,
        temporal_stride=2,
        local_relations=2,
        drop_path=0.2,
        global_drop_path=0.4,
    ),
)
FROZEN = replace(TINY, encoder=replace(TINY.encoder, frozen_backbone=True))
TOWER = clip.ImageTowerConfig(dim=64, depth=3, num_heads=1, embed_dim=32, image_size=16, tubelet=(1, 8, 8))


def filled(config: Any = TINY) -> dict[str, Tensor]:
    torch.manual_seed(0)
    state = build_model(config).state_dict()
    return {k: torch.randn_like(v) * 0.2 if v.is_floating_point() else v for k, v in state.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("config", [TINY, MOTION, FROZEN])
def test_values_go_out_and_come_back(layout: str, config: ClassifierConfig):
    rules, ours = LAYOUTS[layout][ARCHITECTURE], filled(config)
    official = to_official(ours, rules)
    assert find_layout(official) == (layout, ARCHITECTURE)
    assert recognize(official)[2] == ARCHITECTURE
    assert config_from_shapes(official) == config
    back = to_ours(official, rules)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], value) for key, value in ours.items())


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.endswith("_nano")])
def test_the_shapes_of_a_published_file_tell_its_config(name: str):
    with torch.device("meta"):
        ours = UniFormerV2Classifier(VARIANTS[name]).state_dict()
    assert config_from_shapes(to_official(ours, LAYOUTS["official"][ARCHITECTURE])) == VARIANTS[name]


def test_a_size_that_was_never_published_needs_a_config():
    config = replace(TINY, encoder=replace(TINY.encoder, dim=48, num_heads=3))
    with pytest.raises(WeightsError, match=r"no published UniFormerV2 is 48 wide .* give a config"):
        config_from_shapes(to_official(filled(config), LAYOUTS["official"][ARCHITECTURE]))


def test_other_fusions_have_no_published_layout():
    config = replace(TINY, encoder=replace(TINY.encoder, fusion="parallel"))
    with pytest.raises(WeightsError, match=r"no rule claims encoder\.fusion\.merge"):
        to_official(filled(config), LAYOUTS["official"][ARCHITECTURE])


@pytest.mark.parametrize("wrapper", [None, "model_state"])
def test_an_official_file_is_converted_with_what_it_is_fed(wrapper: str | None, tmp_path: Path):
    ours = filled()
    official = to_official(ours, LAYOUTS["official"][ARCHITECTURE])
    torch.save({wrapper: official, "epoch": 3} if wrapper else official, tmp_path / "k400.pth")
    found = convert(tmp_path / "k400.pth")
    assert found.config == TINY
    assert all(torch.equal(found.state[key], value) for key, value in ours.items())
    assert "taken to be 8 (say otherwise" in found.facts["source"]["remarks"][0]
    assert input_spec(found.config, found.facts["input"]) == InputSpec(
        num_frames=8,
        sampling="uniform",
        image_size=16,
        short_side=16,
        num_clips=1,  # as published for models with relations
        num_crops=3,
        mean=(0.45, 0.45, 0.45),
        std=(0.225, 0.225, 0.225),
        rounding="uniformerv2",
    )
    told = convert(tmp_path / "k400.pth", replace(TINY, encoder=replace(TINY.encoder, num_frames=32)))
    assert "remarks" not in told.facts["source"]
    assert input_spec(told.config, told.facts["input"]).num_frames == 32
    export(found, tmp_path / "again", "official")
    assert convert(tmp_path / "again" / "checkpoint.pth").config == TINY


def test_views_are_those_of_the_published_tests():
    views = {
        name: (fed["num_clips"], fed["num_crops"])
        for name, fed in ((name, published_input(config)) for name, config in VARIANTS.items())
    }
    assert views["uniformerv2_b16"] == (4, 3)
    assert views["uniformerv2_l14_336_frozen"] == (3, 1)
    assert views["uniformerv2_l14_ssv2"] == (1, 3)


def started(trained: Checkpoint, config: ClassifierConfig, folder: Path) -> tuple[Start, dict[str, Tensor]]:
    save_checkpoint(folder, trained)
    model = build_model(config)
    return fill_from(model, config, folder), model.state_dict()


@pytest.mark.parametrize("config", [TINY, MOTION])
def test_clip_s_tower_is_taken_whole_and_its_kernel_put_in_the_middle(
    config: ClassifierConfig, tmp_path: Path
):
    tower = Checkpoint(TOWER, filled(TOWER))
    start, state = started(tower, config, tmp_path)
    kernel = state["encoder.embed.proj.weight"]
    middle = kernel.shape[2] // 2
    assert torch.equal(kernel[:, :, middle], tower.state["embed.proj.weight"][:, :, 0])
    assert kernel.count_nonzero() == kernel[:, :, middle].count_nonzero()
    for key, value in tower.state.items():
        if not key.startswith(("post_norm.", "proj.", "embed.proj.")):
            assert torch.equal(state[f"encoder.{key}"], value)
    assert set(start.unused) == {"post_norm.weight", "post_norm.bias", "proj.weight"}
    assert {part.split(" ")[0] for part in start.fresh} == {"relations", "fusion", "balance", "norm", "head"}
    assert bool(start.remarks) == (config is MOTION)


def test_of_a_full_clip_the_image_tower_is_taken(tmp_path: Path):
    text = clip.TextTowerConfig(dim=8, depth=1, num_heads=1, embed_dim=32, vocab_size=9, context_length=4)
    both = clip.ClipConfig(image=TOWER, text=text)
    full = Checkpoint(both, filled(both))
    start, state = started(full, TINY, tmp_path)
    assert torch.equal(state["encoder.pre_norm.weight"], full.state["image.pre_norm.weight"])
    assert "text tower" in start.unused
    assert not any(key.startswith(("text.", "image.")) for key in start.unused)


def test_another_uniformerv2_is_taken_whole_but_for_a_head_of_other_classes(tmp_path: Path):
    trained = Checkpoint(TINY, filled())
    start, state = started(trained, TINY, tmp_path / "same")
    assert start == Start(fresh=[], unused=[], remarks=[])
    assert all(torch.equal(state[key], value) for key, value in trained.state.items())
    start, state = started(trained, replace(TINY, num_classes=7), tmp_path / "other")
    assert start.fresh == ["head (2 tensors)"]
    assert set(start.unused) == {"head.weight", "head.bias"}
    load_strict(UniFormerV2Classifier(replace(TINY, num_classes=7)), state)


@pytest.mark.parametrize(
    ("found", "error", "message"),
    [
        (
            replace(TOWER, image_size=24),
            ConfigError,
            r"image_size 24 and the recipe's model 16; .* CLIP of that",
        ),
        (replace(TOWER, tubelet=(1, 16, 16)), ConfigError, r"patches .* \(16, 16\) and .* \(8, 8\)"),
        (replace(TOWER, num_heads=2), ConfigError, "num_heads 2 and the recipe's model 1"),
        (replace(TOWER, depth=2), WeightsError, "lacks parts of CLIP's image tower: encoder.blocks.2"),
        (replace(TOWER, dim=128), WeightsError, r"of another size: .*\(128,\) instead of \(64,\)"),
        (replace(TOWER, tubelet=(2, 8, 8)), ConfigError, "starts from a tower of images"),
        (MOTION, ConfigError, "temporal_stride 2, the recipe's model has 1"),
    ],
)
def test_what_cannot_be_started_from_is_refused(found: Any, error: type, message: str, tmp_path: Path):
    with pytest.raises(error, match=message) as caught:
        started(Checkpoint(found, filled(found)), TINY, tmp_path)
    assert "\n" not in str(caught.value)
