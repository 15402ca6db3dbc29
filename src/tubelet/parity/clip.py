"""Recorded CLIP: as a whole, with prompts, and as the teacher of masked video models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.models.clip import Clip, ClipConfig, ImageTower, ImageTowerConfig
from tubelet.models.clip_teacher import TeacherConfig, teacher_targets
from tubelet.parity.agreement import assert_close, assert_gradients_close, gradients, recorded_outputs
from tubelet.parity.case import Case, read_case
from tubelet.parity.official_configs import clip_config
from tubelet.text.prompts import ensemble
from tubelet.weights.clip import LAYOUTS, find_layout
from tubelet.weights.files import load_strict
from tubelet.weights.rules import to_official, to_ours


def build(config: ClipConfig, state: dict[str, Tensor], rules: list[Any]) -> Clip:
    model = Clip(config).eval()
    load_strict(model, to_ours(state, rules))
    return model


def rules_of(state: dict[str, Tensor]) -> list[Any]:
    layout = find_layout(state)
    assert layout is not None
    return list(LAYOUTS[layout[0]][layout[1]])


def check_clip(case: Case) -> None:
    state, inputs, recorded = case.tensors("state"), case.tensors("in"), case.tensors("out")
    rules = rules_of(state)
    model = build(clip_config(case.config), state, rules)
    towers = {"visual": model.image.blocks, "text": model.text.blocks}
    blocks = {f"{tower}.block{i}": block for tower, each in towers.items() for i, block in enumerate(each)}
    with recorded_outputs(blocks) as seen:
        logits = model(inputs["image"], inputs["text"])
    square = min(logits.shape)
    target = torch.arange(square)
    both = [F.cross_entropy(each[:square, :square], target) for each in (logits, logits.T)]
    loss = sum(both, torch.zeros(())) / 2
    seen |= {
        "image_features": model.image(inputs["image"]),
        "text_features": model.text(inputs["text"]),
        "logits_per_image": logits,
        "logits_per_text": logits.T,
        "loss_contrastive": loss,
    }
    assert recorded.keys() <= seen.keys(), sorted(recorded.keys() - seen.keys())
    for name, tensor in recorded.items():
        if name.startswith("text.block"):  # ours stop where the longest text ends
            tensor = tensor[:, : seen[name].shape[1]]
        assert_close(seen[name], tensor, name)
    expected = case.tensors("grad")
    if expected:
        loss.backward()
        assert_gradients_close(to_official(gradients(model), rules), expected)


def check_ensemble(case: Case) -> None:
    stored = read_case((case.path.parent / case.facts["state_from"]).with_suffix(".json"))
    recorded, state = case.tensors("out"), stored.tensors("state")
    model = build(clip_config(stored.config), state, rules_of(state))
    ids = case.tensors("in")["ids"]
    features = model.text(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])
    assert_close(features, recorded["features"], "features")
    embedding = ensemble(features)
    assert_close(embedding, recorded["class_embedding"], "class_embedding")
    logits = model.logits(model.image(stored.tensors("in")["image"]), embedding)
    assert_close(logits, recorded["logits"], "logits")


def check_clip_teacher(case: Case) -> None:
    config, state = case.config, case.tensors("state")
    patch = config["patch_size"]
    tower = ImageTower(
        ImageTowerConfig(
            dim=config["width"],
            depth=config["layers"],
            num_heads=config["heads"],
            embed_dim=config["output_dim"],
            image_size=config["input_resolution"],
            tubelet=(config["kernel_size"], patch, patch),
        )
    )
    layout = find_layout(state)
    assert layout is not None, f"{case.path}: the layout of its keys is not known"
    load_strict(tower, to_ours(state, LAYOUTS[layout[0]][layout[1]]))
    teacher = TeacherConfig(
        num_layers=config["clip_return_layer"],
        interval=float(config["clip_return_interval"]),
        cls_token=config["clip_return_cls"],
        normalize=config["clip_norm_type"] == "l2",
    )
    targets = teacher_targets(tower, case.tensors("in")["video"], teacher)
    seen = {
        "features": targets.features,
        "attention_cls_to_patches": targets.attention.flatten(0, 1),
    }
    recorded = case.tensors("out")
    assert recorded.keys() <= seen.keys(), sorted(recorded.keys() - seen.keys())
    for name, tensor in recorded.items():
        assert_close(seen[name], tensor, name)


CHECKS: dict[str, Callable[[Case], None]] = {
    "clip.model": check_clip,
    "clip.prompt_ensemble": check_ensemble,
    "videomamba.clip_teacher": check_clip_teacher,
}
