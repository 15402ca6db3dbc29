"""Our configs by the names and values that the official constructors have."""

from typing import Any

from tubelet.models import uniformerv2
from tubelet.models.clip import ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import XCLIPConfig


def clip_config(facts: dict[str, Any]) -> ClipConfig:
    """By the official constructor's arguments, which X-CLIP's has too."""
    patch = facts["vision_patch_size"]
    return ClipConfig(
        image=ImageTowerConfig(
            dim=facts["vision_width"],
            depth=facts["vision_layers"],
            num_heads=facts["vision_width"] // 64,
            embed_dim=facts["embed_dim"],
            image_size=facts["image_resolution"],
            tubelet=(1, patch, patch),
        ),
        text=TextTowerConfig(
            dim=facts["transformer_width"],
            depth=facts["transformer_layers"],
            num_heads=facts["transformer_heads"],
            embed_dim=facts["embed_dim"],
            vocab_size=facts["vocab_size"],
            context_length=facts["context_length"],
        ),
    )


def xclip_config(facts: dict[str, Any]) -> XCLIPConfig:
    towers = clip_config(facts)
    return XCLIPConfig(
        image=towers.image,
        text=towers.text,
        num_frames=facts["T"],
        integration_depth=facts["mit_layers"],
        integration_num_heads=facts["embed_dim"] // 64,
        prompt_depth=facts["prompts_layers"],
        prompt_num_heads=facts["embed_dim"] // 64,
        prompt_scale=float(facts["prompts_alpha"]),
        drop_path=float(facts["droppath"]),
    )


def uniformerv2_config(facts: dict[str, Any]) -> uniformerv2.ClassifierConfig:
    """By the official constructor's arguments; the published drop path follows from what a model is for."""
    motion = facts["temporal_downsample"]
    encoder = uniformerv2.EncoderConfig(
        dim=facts["width"],
        depth=facts["layers"],
        num_heads=facts["heads"],
        patch_size=facts["patch_size"],
        image_size=facts["input_resolution"],
        num_frames=facts["t_size"],
        temporal_stride=2 if motion else 1,
        local_relations=0 if facts["no_lmhra"] else 1 + facts["double_lmhra"],
        relation_reduction=float(facts["dw_reduction"]),
        global_layers=tuple(facts["return_list"]),
        global_num_heads=None if facts["n_head"] == facts["heads"] else facts["n_head"],
        global_mlp_ratio=float(facts.get("mlp_factor", 4)),
        frozen_backbone=facts["frozen"],
        drop_path=0.2 if motion else 0.0,
        global_drop_path=0.4 if motion else 0.0,
    )
    return uniformerv2.ClassifierConfig(encoder=encoder, num_classes=facts["num_classes"])
