"""Published UniFormerV2 checkpoints: the authors' layout, both ways, with and without its prefix."""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.uniformerv2 import ClassifierConfig, EncoderConfig
from tubelet.weights.clip import depth_of, official_block, official_image
from tubelet.weights.rules import Move, Rule

ARCHITECTURE = "uniformerv2_classifier"
PREFIX = "backbone."
# Heads of all published models have so many channels.
HEAD_DIM = 64
# What the files do not say: published models for Something-Something see 16 frames (or 32), all others 8 (or 16
# to 64). Drop path is of training alone.
FRAMES, MOTION_FRAMES = 8, 16


def relation_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """One relation of a local block: its parts have numbers in the files."""
    parts = ("norm", "reduce", "mix", "expand")
    return tuple(
        Move(f"{official}pos_embed.{i}.{{p}}", f"{ours}{part}.{{p}}") for i, part in enumerate(parts)
    )


def encoder_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """A video tower, which InternVideo's multimodal models have as well."""
    blocks, stages = f"{official}transformer.resblocks.{{i}}.", f"{official}transformer.dec.{{i}}."
    fusion = f"{ours}fusion."
    return (
        *official_image(official, ours, unsqueeze=None),
        *relation_rules(f"{blocks}lmhra1.", f"{ours}blocks.{{i}}.relation1."),
        *relation_rules(f"{blocks}lmhra2.", f"{ours}blocks.{{i}}.relation2."),
        Move(f"{official}transformer.temporal_cls_token", f"{fusion}query", squeeze=1),
        Move(f"{official}transformer.dpe.{{i}}.{{p}}", f"{fusion}global_blocks.{{i}}.position.{{p}}"),
        Move(f"{stages}ln_3.{{p}}", f"{fusion}global_blocks.{{i}}.context_norm.{{p}}"),
        *official_block(stages, f"{fusion}global_blocks.{{i}}."),
        Move(f"{official}transformer.balance", f"{ours}balance"),
    )


def classifier_rules(official: str) -> tuple[Rule, ...]:
    """A classifier, whose head is part of the transformer in the files."""
    return (
        Move(f"{official}transformer.proj.0.{{p}}", "norm.{p}"),
        Move(f"{official}transformer.proj.2.{{p}}", "head.{p}"),
        *encoder_rules(official, "encoder."),
    )


LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {ARCHITECTURE: classifier_rules(PREFIX)},
    "official_backbone": {ARCHITECTURE: classifier_rules("")},
}


def published_input(config: ClassifierConfig) -> dict[str, Any]:
    """The views of the published tests; frames have statistics of their own, neither CLIP's nor ImageNet's."""
    encoder = config.encoder
    num_clips, num_crops = 4, 3
    if encoder.local_relations:
        num_clips = 1
    elif encoder.frozen_backbone:
        num_clips, num_crops = 3, 1
    return {
        "sampling": "uniform",
        "num_clips": num_clips,
        "num_crops": num_crops,
        "short_side": encoder.image_size,
        "rounding": "uniformerv2",
        "mean": [0.45, 0.45, 0.45],
        "std": [0.225, 0.225, 0.225],
    }


def official_layout(_config: ClassifierConfig) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no UniFormerV2."""
    names = ("transformer.temporal_cls_token", "transformer.proj.2.weight", "conv1.weight")
    for layout, prefix in (("official", PREFIX), ("official_backbone", "")):
        if all(prefix + name in keys for name in names):
            return layout, ARCHITECTURE
    return None


def config_from_shapes(state: Mapping[str, Tensor]) -> ClassifierConfig:
    """The config of an official checkpoint, read off its tensors.

    Heads have 64 channels and frames are square, as in every published model. No tensor tells the number of
    frames, nor behind which blocks the global ones stand: 8, or 16 with a stride in time, and the last ones, as
    published. Give a config where that is not so.
    """
    prefix = PREFIX if f"{PREFIX}conv1.weight" in state else ""
    return ClassifierConfig(
        encoder=encoder_from_shapes(state, prefix),
        num_classes=len(state[f"{prefix}transformer.proj.2.weight"]),
    )


def encoder_from_shapes(state: Mapping[str, Tensor], prefix: str) -> EncoderConfig:
    """The encoder alone, of which all keys begin with a prefix."""
    dim, _, kernel_frames, patch_size, width = state[f"{prefix}conv1.weight"].shape
    num_places = len(state[f"{prefix}positional_embedding"]) - 1
    side = isqrt(num_places)
    if dim % HEAD_DIM or side * side != num_places or patch_size != width or kernel_frames not in (1, 3):
        raise WeightsError(
            f"no published UniFormerV2 is {dim} wide with {num_places} patches of {kernel_frames} frames and "
            f"{patch_size}×{width} pixels; give a config that says how many heads and pixels it has"
        )
    blocks, stages = f"{prefix}transformer.resblocks.", f"{prefix}transformer.dec."
    depth, num_stages = depth_of(state, blocks), depth_of(state, stages)
    relations = [f"{blocks}0.lmhra{n}.pos_embed.1.weight" for n in (1, 2)]
    motion = kernel_frames == 3
    reduction = EncoderConfig.relation_reduction
    if relations[0] in state:
        reduction = reduction_of(dim, len(state[relations[0]]))
    return EncoderConfig(
        dim=dim,
        depth=depth,
        num_heads=dim // HEAD_DIM,
        patch_size=patch_size,
        image_size=side * patch_size,
        num_frames=MOTION_FRAMES if motion else FRAMES,
        temporal_stride=2 if motion else 1,
        local_relations=sum(name in state for name in relations),
        relation_reduction=reduction,
        global_layers=tuple(range(depth - num_stages, depth)),
        global_mlp_ratio=len(state[f"{stages}0.mlp.c_fc.bias"]) / dim,
        frozen_backbone=f"{prefix}transformer.balance" not in state,
        drop_path=0.2 if motion else 0.0,
        global_drop_path=0.4 if motion else 0.0,
    )


def reduction_of(dim: int, hidden_dim: int) -> float:
    """By how much relations are narrower; the published factor where it fits, since widths are rounded down.

    >>> reduction_of(1024, 682), reduction_of(64, 16)
    (1.5, 4.0)
    """
    published = EncoderConfig.relation_reduction
    return published if int(dim // published) == hidden_dim else dim / hidden_dim


def remarks(config: ClassifierConfig, *, guessed: bool) -> list[str]:
    """What a user has to know of a converted file; `guessed` where its config was read off the tensors."""
    if not guessed:
        return []
    return [
        f"no tensor tells how many frames the model was trained with; taken to be {config.encoder.num_frames} "
        "(say otherwise with --model and encoder.num_frames)"
    ]
