"""Recorded UniFormerV2: whole models with all that is in between, in both modes, and their start from CLIP."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.models.uniformerv2 import ClassifierConfig, UniFormerV2Classifier
from tubelet.models.uniformerv2_parts import overlapping_windows
from tubelet.parity.agreement import assert_close, assert_official_gradients, compare, recorded_outputs
from tubelet.parity.case import Case
from tubelet.parity.official_configs import uniformerv2_config
from tubelet.weights.clip import LAYOUTS as CLIP_LAYOUTS
from tubelet.weights.clip import find_layout as find_clip
from tubelet.weights.clip import image_from_shapes
from tubelet.weights.files import Checkpoint, load_strict
from tubelet.weights.rules import Rule, rename, to_official, to_ours
from tubelet.weights.uniformerv2 import LAYOUTS, find_layout
from tubelet.weights.uniformerv2_start import fill_uniformerv2


def rules_for(state: dict[str, Tensor]) -> tuple[Rule, ...]:
    layout = find_layout(state)
    assert layout is not None
    return LAYOUTS[layout[0]][layout[1]]


def config_of(facts: dict[str, Any]) -> ClassifierConfig:
    """As recorded, with the dropout of training, which manifests do not need."""
    config = uniformerv2_config(facts)
    encoder = replace(
        config.encoder,
        drop_path=float(facts.get("backbone_drop_path_rate", 0)),
        global_drop_path=float(facts.get("drop_path_rate", 0)),
        global_dropout=float(facts["mlp_dropout"][0]),
    )
    return replace(config, encoder=encoder, head_dropout=float(facts["cls_dropout"]))


def check_video(case: Case) -> None:
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    rules = rules_for(state)
    model = UniFormerV2Classifier(config_of(case.config)).train(case.config["mode"] == "train")
    load_strict(model, to_ours(state, rules))
    encoder = model.encoder
    modules: dict[str, nn.Module] = {"ln_pre": encoder.pre_norm, "fused": model.norm}
    modules |= {f"block{i}": block for i, block in enumerate(encoder.blocks)}
    for j, block in enumerate(encoder.fusion.global_blocks):
        modules |= {f"query_after_global{j}": block, f"dpe{j}": getattr(block, "position")}  # noqa: B009
    with recorded_outputs(modules) as seen:
        # Hooks see what modules return; the head's norm is what takes the fused vector.
        found = model.backbone_features(inputs["video"])
        seen["logits"] = model.logits(found)
    seen["fused"] = encoder.summary(found)
    named = {name: official_form(name, value) for name, value in seen.items()}
    windows = overlapping_windows(inputs["video"])
    strided = encoder.config.temporal_stride == 2
    named["stem"] = encoder.embed.proj(windows if strided else inputs["video"])
    named["loss"] = F.cross_entropy(named["logits"], inputs["labels"])
    after = {name: x for name, x in recorded.items() if name.startswith("buffer_after/")}
    compare(named, {name: x for name, x in recorded.items() if name not in after})
    official = to_official(model.state_dict(), rules)
    for name, value in after.items():
        assert_close(official[name.removeprefix("buffer_after/")], value, name)
    named["loss"].backward()
    assert_official_gradients(model, rules, case.tensors("grad"))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {ours for name in case.tensors("grad") for ours in rename(name, rules) or ()}


def official_form(name: str, value: Tensor) -> Tensor:
    """Tokens come before samples in what blocks were recorded to return."""
    if name.startswith("block"):
        return value.flatten(0, 1).transpose(0, 1)
    return value.transpose(0, 1) if name.startswith("query") else value


def check_inflation(case: Case) -> None:
    """The published start: all keys that come from CLIP, and nothing of CLIP in the others."""
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    clip = {name.removeprefix("clip/"): x for name, x in inputs.items() if name.startswith("clip/")}
    layout = find_clip(clip)
    assert layout is not None
    pretrained = Checkpoint(image_from_shapes(clip), to_ours(clip, CLIP_LAYOUTS[layout[0]][layout[1]]))
    model = UniFormerV2Classifier(config_of(case.config)).eval()
    rules = LAYOUTS["official_backbone"]["uniformerv2_classifier"]
    fresh = model.state_dict()
    filled = fill_uniformerv2(pretrained, model.config, fresh, Path("clip"))
    official = to_official(filled.state, rules)
    expected = {name.removeprefix("state/"): x for name, x in recorded.items() if name.startswith("state/")}
    assert expected.keys() == set(case.facts["keys_from_clip"])
    for name, value in expected.items():
        assert torch.equal(official[name], value), name
    assert official.keys() - expected.keys() == set(case.facts["keys_at_init"])
    for name in case.facts["keys_at_init"]:
        assert all(filled.state[ours] is fresh[ours] for ours in rename(name, rules) or ()), name
    load_strict(model, filled.state | to_ours(state | expected, rules))
    assert_close(model(inputs["video"]), recorded["logits"], "logits")


CHECKS: dict[str, Callable[[Case], None]] = {
    "uniformerv2.video": check_video,
    "uniformerv2.inflation": check_inflation,
}
