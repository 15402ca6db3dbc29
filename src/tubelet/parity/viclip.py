"""Recorded ViCLIP: whole models on videos, single images and what masks leave."""

from collections.abc import Callable
from typing import Any

import torch

from tubelet.losses import contrastive_loss
from tubelet.models.clip import ImageTowerConfig, TextTowerConfig
from tubelet.models.viclip import ViCLIP, ViCLIPConfig
from tubelet.models.xclip import VideoFeatures
from tubelet.parity.agreement import assert_close, assert_gradients_close, gradients
from tubelet.parity.case import Case
from tubelet.weights.files import load_strict
from tubelet.weights.rules import to_official, to_ours
from tubelet.weights.viclip import LAYOUTS, find_layout


def tiny_config(facts: dict[str, Any]) -> ViCLIPConfig:
    patch = facts["patch"]
    return ViCLIPConfig(
        image=ImageTowerConfig(
            dim=facts["width"],
            depth=facts["layers"],
            num_heads=facts["heads"],
            embed_dim=facts["embed_dim"],
            image_size=facts["res"],
            tubelet=(facts.get("kernel_size", 1), patch, patch),
        ),
        text=TextTowerConfig(
            dim=facts["t_width"],
            depth=facts["t_layers"],
            num_heads=facts["t_heads"],
            embed_dim=facts["embed_dim"],
            vocab_size=facts["vocab_size"],
            context_length=facts["context_length"],
        ),
        num_frames=facts["T"],
        drop_path=float(facts["drop_path"]),
        tune_text=True,
        min_temperature=float(facts["temp_min"]),
    )


def check_model(case: Case) -> None:
    config, inputs, state = tiny_config(case.config), case.tensors("in"), case.tensors("state")
    recorded = case.tensors("out")
    layout = find_layout(state)
    assert layout is not None
    rules = LAYOUTS[layout[0]][layout[1]]
    model = ViCLIP(config).eval()
    load_strict(model, to_ours(state, rules))
    model.bound_temperature()  # as training does before each step
    clip = inputs["video"].transpose(1, 2)
    texts = model.text_features(inputs["text_ids"].long())
    whole = model.features(clip)
    named = {"video_feats": whole, "text_feats": texts}
    if "image" in inputs:
        named["image_feats"] = model.features(inputs["image"][:, :, None])
    if "dropped" in inputs:
        # Recorded masks go through the frames of one place before those of the next one.
        frames, rows, columns = config.grid
        masked = inputs["dropped"].unflatten(1, (rows * columns, frames)).transpose(1, 2).flatten(1)
        named["video_feats_masked"] = model.features(clip, masked)
    cosine = model.logits(VideoFeatures(whole, None), texts) / model.scale()
    named["cosine"] = cosine
    if "topk_prob" in recorded:
        # The published demo's scale, whatever the temperature.
        top = (100 * cosine).softmax(dim=-1).topk(recorded["topk_prob"].shape[1])
        named |= {"topk_prob": top.values, "topk_index": top.indices}
    named["vtc_loss_full_noidx"] = contrastive_loss(whole, texts, model.scale())
    if "video_feats_masked" in named:
        shown = named["video_feats_masked"]
        named["vtc_loss_masked_dup"] = contrastive_loss(shown, texts, model.scale(), inputs.get("idx"))
    assert recorded.keys() <= named.keys(), sorted(recorded.keys() - named.keys())
    for name, tensor in recorded.items():
        if tensor.is_floating_point():
            assert_close(named[name], tensor, name)
        else:
            assert torch.equal(named[name], tensor), name
    if case.tensors("grad"):
        named["vtc_loss_masked_dup"].backward()
        assert_gradients_close(to_official(gradients(model), rules), case.tensors("grad"))


CHECKS: dict[str, Callable[[Case], None]] = {
    "viclip.model": check_model,
}
