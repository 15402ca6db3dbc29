"""Published UniFormerV2 checkpoints: the authors' layout both ways, with and without its prefix, and mmaction2's.

Most of the authors' files are not to be had any more, and OpenMMLab's mmaction2 has copies. **Its layout here has
never met a real file**: no list of its keys was at hand, and its code was not looked at. It is the authors'
layout with the head, and the norm before it, where mmaction2 is known to keep them. So it is strict: whatever is
called otherwise is an error that lists it, and nothing converts by mistake.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.uniformerv2 import ClassifierConfig, EncoderConfig
from tubelet.weights.cards import Card
from tubelet.weights.clip import depth_of, official_block, official_image
from tubelet.weights.rules import Drop, Move, Rule

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


def classifier_rules(
    official: str, norm: str = "transformer.proj.0", head: str | None = None
) -> tuple[Rule, ...]:
    """A classifier, whose head is part of the transformer in the authors' files."""
    return (
        Move(f"{official}{norm}.{{p}}", "norm.{p}"),
        Move(f"{head or official + PROJECTION}.{{p}}", "head.{p}"),
        *encoder_rules(official, "encoder."),
    )


PROJECTION, MMACTION2_HEAD = "transformer.proj.2", "cls_head.fc_cls"
# What mmaction2 normalises pixels from 0 to 255 with, where a file holds it.
MMACTION2_STATISTICS = {name: f"data_preprocessor.{name}" for name in ("mean", "std")}
MMACTION2: tuple[Rule, ...] = (
    *classifier_rules(PREFIX, norm="transformer.norm", head=MMACTION2_HEAD),
    *(Drop(key) for key in MMACTION2_STATISTICS.values()),
)
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {ARCHITECTURE: classifier_rules(PREFIX)},
    "official_backbone": {ARCHITECTURE: classifier_rules("")},
    "mmaction2": {ARCHITECTURE: MMACTION2},
}
# Names of heads' classes by the data set. Of the authors' own orders that of Kinetics-400 alone is on record;
# mmaction2 sorts.
LABEL_SETS: dict[str, dict[str, str]] = {
    "official": {"k400": "k400_uniformerv2"},
    "official_backbone": {"k400": "k400_uniformerv2"},
    "mmaction2": {name: name for name in ("k400", "k600", "k700", "k710")},
}


def published_views(config: ClassifierConfig, dataset: str | None) -> tuple[int, int]:
    """Clips and crops of the test that the model zoo's accuracy is of.

    Of 32 and more frames the zoo names other views than the published settings (4 × 3, frozen 3 × 1) do.
    """
    encoder = config.encoder
    long = encoder.num_frames >= 32
    if encoder.local_relations:
        return 1, 3
    if dataset in ("anet", "hacs"):
        return 10, 3
    if encoder.frozen_backbone:
        return (4, 3) if long else (3, 1)
    return (2, 3) if long else (4, 3)


def published_input(config: ClassifierConfig, dataset: str | None = None) -> dict[str, Any]:
    """The views of the published tests; frames have statistics of their own, neither CLIP's nor ImageNet's."""
    encoder = config.encoder
    num_clips, num_crops = published_views(config, dataset)
    return {
        "sampling": "uniform",
        "num_clips": num_clips,
        "num_crops": num_crops,
        "short_side": encoder.image_size,
        "rounding": "uniformerv2",
        "mean": [0.45, 0.45, 0.45],
        "std": [0.225, 0.225, 0.225],
    }


def stored_input(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Mean and deviation of pixels from 0 to 1 that a file itself holds."""
    found = {name: state[key] for name, key in MMACTION2_STATISTICS.items() if key in state}
    wrong = [MMACTION2_STATISTICS[name] for name, values in found.items() if values.numel() != 3]
    if wrong:
        raise WeightsError(f"{wrong[0]} has {found[wrong[0].rpartition('.')[2]].numel()} numbers, not 3")
    return {name: [float(value) / 255 for value in values.flatten()] for name, values in found.items()}


def with_card(config: ClassifierConfig, card: Card) -> ClassifierConfig:
    """The config for as many frames as a file's card says, which no tensor tells."""
    num_frames = card.num_frames or config.encoder.num_frames
    return replace(config, encoder=replace(config.encoder, num_frames=num_frames))


def official_layout(_config: ClassifierConfig) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no UniFormerV2."""
    for layout, prefix in (("official", PREFIX), ("official_backbone", ""), ("mmaction2", PREFIX)):
        head = MMACTION2_HEAD if layout == "mmaction2" else prefix + PROJECTION
        names = (f"{prefix}transformer.temporal_cls_token", f"{prefix}conv1.weight", f"{head}.weight")
        if all(name in keys for name in names):
            return layout, ARCHITECTURE
    return None


def config_from_shapes(state: Mapping[str, Tensor]) -> ClassifierConfig:
    """The config of an official checkpoint, or one of mmaction2's, read off its tensors.

    Heads have 64 channels and frames are square, as in every published model. No tensor tells the number of
    frames, nor behind which blocks the global ones stand: 8, or 16 with a stride in time, and the last ones, as
    published. Give a config where that is not so.
    """
    prefix = PREFIX if f"{PREFIX}conv1.weight" in state else ""
    head = MMACTION2_HEAD if f"{MMACTION2_HEAD}.weight" in state else prefix + PROJECTION
    return ClassifierConfig(
        encoder=encoder_from_shapes(state, prefix),
        num_classes=len(state[f"{head}.weight"]),
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


def remarks(config: ClassifierConfig, layout: str, card: Card, *, guessed: bool) -> list[str]:
    """What a user has to know of a converted file; `guessed` where its frames were read off the tensors."""
    said = []
    if guessed:
        said.append(
            "no tensor tells how many frames the model was trained with; taken to be "
            f"{config.encoder.num_frames} (say otherwise with --card 32x224, or --model and encoder.num_frames)"
        )
    if layout == "mmaction2":
        said.append(
            "this layout of mmaction2's was written without one of its files at hand; every tensor has found its "
            "place, but compare an accuracy with the published one before you rely on it"
        )
    if (name := LABEL_SETS[layout].get(card.dataset or "")) is not None:
        said.append(f"classes are named in the order of {name}; --labels gives others")
    return said
