"""UniFormerV2 in its authors' layout, and its start from CLIP."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.data.label_sets import label_set
from tubelet.errors import ConfigError, WeightsError
from tubelet.inference.load import input_spec
from tubelet.models import build_model, clip
from tubelet.models.uniformerv2 import VARIANTS, ClassifierConfig, EncoderConfig, UniFormerV2Classifier
from tubelet.weights.convert import convert, recognize
from tubelet.weights.export import export
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


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("source", [TOWER, TINY])
def test_frames_of_another_size_start_as_the_model_would_see_them(source: Any, size: int, tmp_path: Path):
    trained = Checkpoint(source, filled(source))
    config = replace(TINY, encoder=replace(TINY.encoder, image_size=size))
    start, state = started(trained, config, tmp_path)
    side = size // 8
    assert start.remarks == [f"positions resampled from 2 × 2 to {side} × {side} patches"]
    # A model for frames of 16 pixels that meets such frames resamples as it goes.
    _, as_they_are = started(trained, TINY, tmp_path / "again")
    clip = torch.randn(1, 3, 2, size, size)
    patches = []
    for size_of, weights in ((config, state), (TINY, as_they_are)):
        model = UniFormerV2Classifier(size_of)
        model.load_state_dict(weights)
        patches.append(model.encoder.embed(clip))
    torch.testing.assert_close(*patches)


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
        (replace(TOWER, tubelet=(1, 16, 16)), ConfigError, r"patches .* \(16, 16\) and .* \(8, 8\)"),
        (replace(TOWER, num_heads=2), ConfigError, "num_heads 2 and the recipe's model 1; .* CLIP of that"),
        (replace(TOWER, norm_eps=1e-6), ConfigError, "norm_eps 1e-06 and the recipe's model 1e-05"),
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


def mmaction2(config: ClassifierConfig = TINY) -> dict[str, Tensor]:
    """What a file of mmaction2's should be, as far as is known here."""
    return to_official(filled(config), LAYOUTS["mmaction2"][ARCHITECTURE])


def test_mmaction2_has_its_head_elsewhere_and_all_else_as_the_authors():
    theirs = to_official(filled(), LAYOUTS["official"][ARCHITECTURE])
    heads = {"cls_head.fc_cls.weight", "cls_head.fc_cls.bias"}
    norms = {"backbone.transformer.norm.weight", "backbone.transformer.norm.bias"}
    assert mmaction2().keys() - theirs.keys() == heads | norms
    assert {key.rpartition(".")[0] for key in theirs.keys() - mmaction2().keys()} == {
        "backbone.transformer.proj.0",
        "backbone.transformer.proj.2",
    }


def test_a_file_of_mmaction2_is_converted_and_says_that_none_was_seen(tmp_path: Path):
    config = replace(TINY, num_classes=400)
    content = {"meta": {"epoch": 5}, "state_dict": mmaction2(config)}
    torch.save(content, tmp_path / "uniformerv2_u16_kinetics400-rgb.pth")
    found = convert(tmp_path / "uniformerv2_u16_kinetics400-rgb.pth")
    assert found.config == replace(config, encoder=replace(config.encoder, num_frames=16))
    assert all(torch.equal(found.state[key], value) for key, value in filled(config).items())
    assert found.labels == label_set("k400")
    assert found.facts["input"]["mean"] == [0.45, 0.45, 0.45]
    assert "was written without one of its files at hand" in found.facts["source"]["remarks"][0]


def test_what_mmaction2_calls_otherwise_is_listed(tmp_path: Path):
    wrong = mmaction2() | {"backbone.transformer.fuse.weight": torch.zeros(2), "ema.steps": torch.zeros(1)}
    torch.save({"state_dict": wrong}, tmp_path / "port.pth")
    with pytest.raises(
        WeightsError, match=r"port\.pth: no rule claims backbone\.transformer\.fuse\.weight, ema\.steps"
    ):
        convert(tmp_path / "port.pth")
    lacking = mmaction2()
    del lacking["backbone.ln_pre.bias"]
    torch.save({"state_dict": lacking}, tmp_path / "port.pth")
    with pytest.raises(WeightsError, match=r"missing: encoder\.pre_norm\.bias"):
        convert(tmp_path / "port.pth")


def test_statistics_that_a_file_holds_are_its_card(tmp_path: Path):
    held = {"data_preprocessor.mean": [114.75, 102.0, 127.5], "data_preprocessor.std": [57.375] * 3}
    stored = {key: torch.tensor(values).view(3, 1, 1, 1) for key, values in held.items()}
    torch.save({"state_dict": mmaction2() | stored}, tmp_path / "port.pth")
    fed = convert(tmp_path / "port.pth").facts["input"]
    assert (fed["mean"], fed["std"]) == ([0.45, 0.4, 0.5], [0.225] * 3)
    torch.save({"state_dict": mmaction2() | {"data_preprocessor.mean": torch.ones(1)}}, tmp_path / "port.pth")
    with pytest.raises(WeightsError, match=r"data_preprocessor\.mean has 1 numbers, not 3"):
        convert(tmp_path / "port.pth")


def test_the_same_head_has_the_authors_order_in_their_file_and_the_alphabet_in_mmaction2_s(tmp_path: Path):
    config, orders = replace(TINY, num_classes=400), {}
    for layout in ("official", "official_backbone", "mmaction2"):
        state = to_official(filled(config), LAYOUTS[layout][ARCHITECTURE])
        torch.save({"state_dict": state}, tmp_path / "some.pth")
        found = convert(tmp_path / "some.pth")
        orders[layout] = found.labels
        assert any("classes are named in the order of k400" in r for r in found.facts["source"]["remarks"])
    assert orders["official"] == orders["official_backbone"] == label_set("k400_uniformerv2")
    assert orders["official"][0] == "riding a bike"
    assert orders["mmaction2"] == tuple(sorted(orders["official"]))


def test_orders_that_are_not_on_record_are_not_made_up(tmp_path: Path):
    for num_classes in (600, 700, 710, 174):
        config = replace(TINY, num_classes=num_classes)
        torch.save(to_official(filled(config), LAYOUTS["official"][ARCHITECTURE]), tmp_path / "some.pth")
        assert convert(tmp_path / "some.pth").labels == ()


def test_a_card_tells_frames_and_data_set(tmp_path: Path):
    config = replace(TINY, num_classes=200, encoder=replace(TINY.encoder, local_relations=0))
    torch.save(to_official(filled(config), LAYOUTS["official"][ARCHITECTURE]), tmp_path / "mine.pth")
    found = convert(tmp_path / "mine.pth", card="hacs_32x16")
    assert (found.config.encoder.num_frames, found.facts["input"]["num_clips"]) == (32, 10)
    assert found.facts["source"] == {"file": "mine.pth", "layout": "official", "trained_for": "hacs"}
    with pytest.raises(WeightsError, match=r"mine\.pth: card k400: k400 has 400 classes, and the model 200"):
        convert(tmp_path / "mine.pth", card="k400")
    with pytest.raises(WeightsError, match="the card says image_size 224, and the model is made for 16"):
        convert(tmp_path / "mine.pth", card="hacs_32x224")
    with pytest.raises(WeightsError, match="the card says num_frames 32, and the model is made for 8"):
        convert(tmp_path / "mine.pth", config, card="hacs_32x16")
