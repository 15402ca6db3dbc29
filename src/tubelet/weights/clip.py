"""Published CLIPs: OpenAI's layout, image towers taken out of it, and Hugging Face's, both ways.

OpenAI's own `.pt` files are TorchScript archives, of which `torchscript.py` reads the tensors. What a
`config.json` of Hugging Face says is in `clip_hf.py`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isqrt
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.clip import ClipConfig, ImageTowerConfig, TextTowerConfig
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.clip_hf import config_from_hf as config_from_hf  # what `convert` asks of a family
from tubelet.weights.clip_hf import config_to_hf as config_to_hf
from tubelet.weights.files import Checkpoint
from tubelet.weights.rules import Drop, Move, Rule, Split

ARCHITECTURE, TOWER = "clip", "clip_image_tower"
# X-CLIP without what it adds is CLIP on every frame, and has the same tensors.
MEAN_POOLED = "xclip"


def official_block(official: str, ours: str) -> tuple[Rule, ...]:
    """A block of either tower, and of X-CLIP's."""
    return (
        *(
            Split(f"{official}attn.in_proj_{p}", tuple(f"{ours}attn.{x}.{p}" for x in "qkv"))
            for p in ("weight", "bias")
        ),
        Move(f"{official}attn.out_proj.{{p}}", f"{ours}attn.proj.{{p}}"),
        Move(f"{official}ln_1.{{p}}", f"{ours}norm1.{{p}}"),
        Move(f"{official}ln_2.{{p}}", f"{ours}norm2.{{p}}"),
        Move(f"{official}mlp.c_fc.{{p}}", f"{ours}mlp.fc1.{{p}}"),
        Move(f"{official}mlp.c_proj.{{p}}", f"{ours}mlp.fc2.{{p}}"),
    )


def official_image(official: str, ours: str, unsqueeze: int | None = 2) -> tuple[Rule, ...]:
    """The image tower; a kernel of images gets an axis of time at `unsqueeze`."""
    return (
        Move(f"{official}conv1.weight", f"{ours}embed.proj.weight", unsqueeze=unsqueeze),
        Move(f"{official}class_embedding", f"{ours}embed.cls_token"),
        Move(f"{official}positional_embedding", f"{ours}embed.position"),
        Move(f"{official}ln_pre.{{p}}", f"{ours}pre_norm.{{p}}"),
        *official_block(f"{official}transformer.resblocks.{{i}}.", f"{ours}blocks.{{i}}."),
        Move(f"{official}ln_post.{{p}}", f"{ours}post_norm.{{p}}"),
        Move(f"{official}proj", f"{ours}proj.weight", transpose=True),
    )


OFFICIAL_TEXT: tuple[Rule, ...] = (
    Move("token_embedding.weight", "text.embed.token.weight"),
    Move("positional_embedding", "text.embed.position"),
    *official_block("transformer.resblocks.{i}.", "text.blocks.{i}."),
    Move("ln_final.{p}", "text.norm.{p}"),
    Move("text_projection", "text.proj.weight", transpose=True),
    Move("logit_scale", "logit_scale"),
)
# Sizes that OpenAI's archives hold as scalars.
OFFICIAL_SIZES = tuple(Drop(size) for size in ("input_resolution", "context_length", "vocab_size"))


def hf_blocks(hf: str, ours: str) -> tuple[Rule, ...]:
    """The blocks of either tower."""
    theirs, ours = f"{hf}encoder.layers.{{i}}.", f"{ours}blocks.{{i}}."
    return (
        *(Move(f"{theirs}self_attn.{x}_proj.{{p}}", f"{ours}attn.{x}.{{p}}") for x in "qkv"),
        Move(f"{theirs}self_attn.out_proj.{{p}}", f"{ours}attn.proj.{{p}}"),
        Move(f"{theirs}layer_norm1.{{p}}", f"{ours}norm1.{{p}}"),
        Move(f"{theirs}layer_norm2.{{p}}", f"{ours}norm2.{{p}}"),
        Move(f"{theirs}mlp.{{fc}}.{{p}}", f"{ours}mlp.{{fc}}.{{p}}"),
    )


def hf_image(ours: str) -> tuple[Rule, ...]:
    """The image tower."""
    return (
        Move("vision_model.embeddings.class_embedding", f"{ours}embed.cls_token"),
        Move("vision_model.embeddings.patch_embedding.weight", f"{ours}embed.proj.weight", unsqueeze=2),
        Move("vision_model.embeddings.position_embedding.weight", f"{ours}embed.position"),
        Move("vision_model.pre_layrnorm.{p}", f"{ours}pre_norm.{{p}}"),  # spelled so
        *hf_blocks("vision_model.", ours),
        Move("vision_model.post_layernorm.{p}", f"{ours}post_norm.{{p}}"),
        Move("visual_projection.weight", f"{ours}proj.weight"),
    )


HF_TEXT: tuple[Rule, ...] = (
    Move("text_model.embeddings.token_embedding.weight", "text.embed.token.weight"),
    Move("text_model.embeddings.position_embedding.weight", "text.embed.position"),
    *hf_blocks("text_model.", "text."),
    Move("text_model.final_layer_norm.{p}", "text.norm.{p}"),
    Move("text_projection.weight", "text.proj.weight"),
    Move("logit_scale", "logit_scale"),
)
# Numbers from 0 on, which older files hold.
HF_PLACES = tuple(Drop(f"{tower}_model.embeddings.position_ids") for tower in ("vision", "text"))


def dropped(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Rules that leave out what the given ones convert."""
    return tuple(Drop(rule.official) for rule in rules)


# Rules by layout, then by the architecture's name in `tubelet.models`. A tower on its own has no prefix; the
# teachers of video models have moreover a kernel with an axis of time. Of a full CLIP, either both towers are
# taken or that of images.
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {
        ARCHITECTURE: (*official_image("visual.", "image."), *OFFICIAL_TEXT, *OFFICIAL_SIZES),
        TOWER: (*official_image("visual.", ""), *dropped(OFFICIAL_TEXT), *OFFICIAL_SIZES),
        MEAN_POOLED: (*official_image("visual.", "image."), *OFFICIAL_TEXT, *OFFICIAL_SIZES),
    },
    "official_tower": {TOWER: official_image("", "")},
    "official_teacher": {TOWER: official_image("", "", unsqueeze=None)},
    "hf": {
        ARCHITECTURE: (*hf_image("image."), *HF_TEXT, *HF_PLACES),
        TOWER: (*hf_image(""), *dropped(HF_TEXT), *HF_PLACES),
        MEAN_POOLED: (*hf_image("image."), *HF_TEXT, *HF_PLACES),
    },
}

HF_PROCESSOR = "CLIPImageProcessor"

# On a scale from 0 to 1: what CLIP was trained with. An image is one view; of a video it sees the middle.
CLIP_INPUT: dict[str, Any] = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "sampling": "uniform",
    "num_clips": 1,
    "num_crops": 1,
    "antialias": True,
}


def published_input(
    config: ClipConfig | ImageTowerConfig | XCLIPConfig, _dataset: str | None = None
) -> dict[str, Any]:
    """What the published towers were fed; a model of videos sees frames from all over."""
    return {**CLIP_INPUT, "sampling": "middles"} if isinstance(config, XCLIPConfig) else dict(CLIP_INPUT)


def official_layout(config: ClipConfig | ImageTowerConfig) -> str:
    """The layout of the authors' files for a config; for several frames that of video models' teachers."""
    tower = config.image if isinstance(config, ClipConfig) else config
    return "official" if tower.tubelet[0] == 1 else "official_teacher"


def find_layout(state: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no CLIP image tower.

    Whether a tower's kernel is of images or of clips, its shape tells.
    """
    if {"vision_model.pre_layrnorm.weight", "visual_projection.weight"} <= state.keys():
        return "hf", ARCHITECTURE if "text_projection.weight" in state else TOWER
    names = ("class_embedding", "ln_pre.weight", "conv1.weight", "proj")
    if all(f"visual.{name}" in state for name in names):
        return "official", ARCHITECTURE if "text_projection" in state else TOWER
    if all(name in state for name in names):
        clips = getattr(state["conv1.weight"], "ndim", 4) == 5
        return "official_teacher" if clips else "official_tower", TOWER
    return None


def image_tower(checkpoint: Checkpoint) -> Checkpoint:
    """The image tower of a full CLIP as a model of its own; what has no text tower as it is."""
    if not isinstance(checkpoint.config, ClipConfig):
        return checkpoint
    prefix = "image."
    state = {k.removeprefix(prefix): v for k, v in checkpoint.state.items() if k.startswith(prefix)}
    return replace(checkpoint, config=checkpoint.config.image, state=state)


def config_from_shapes(state: Mapping[str, Tensor]) -> ClipConfig | ImageTowerConfig:
    """The config of a CLIP or an image tower in one of OpenAI's layouts, read off its tensors.

    Heads have 64 channels, as in every published CLIP, and images are square. Give a config where that is not
    so.
    """
    if "text_projection" not in state:
        return image_from_shapes(state)
    return ClipConfig(image=image_from_shapes(state), text=text_from_shapes(state))


def image_from_shapes(state: Mapping[str, Tensor]) -> ImageTowerConfig:
    """The image tower alone."""
    prefix = "visual." if "visual.class_embedding" in state else ""
    kernel = state[f"{prefix}conv1.weight"]
    dim, channels, *patch = kernel.shape
    t, h, w = patch if kernel.ndim == 5 else (1, *patch)
    num_places = len(state[f"{prefix}positional_embedding"]) - 1
    side = isqrt(num_places)
    if dim % 64 or side * side != num_places or h != w:
        raise WeightsError(
            f"no published CLIP is {dim} wide with {num_places} patches of {h}×{w} pixels; give a config "
            "that says how many heads and pixels it has"
        )
    blocks = f"{prefix}transformer.resblocks."
    return ImageTowerConfig(
        dim=dim,
        depth=depth_of(state, blocks),
        num_heads=dim // 64,
        embed_dim=state[f"{prefix}proj"].shape[1],
        image_size=side * h,
        tubelet=(t, h, w),
        channels=channels,
        mlp_ratio=len(state[f"{blocks}0.mlp.c_fc.bias"]) / dim,
    )


def text_from_shapes(state: Mapping[str, Tensor]) -> TextTowerConfig:
    """The text tower alone."""
    vocab_size, dim = state["token_embedding.weight"].shape
    if dim % 64:
        raise WeightsError(
            f"no published CLIP has texts {dim} wide; give a config that says how many heads there are"
        )
    return TextTowerConfig(
        dim=dim,
        depth=depth_of(state, "transformer.resblocks."),
        num_heads=dim // 64,
        embed_dim=state["text_projection"].shape[1],
        vocab_size=vocab_size,
        context_length=len(state["positional_embedding"]),
        mlp_ratio=len(state["transformer.resblocks.0.mlp.c_fc.bias"]) / dim,
    )


def depth_of(state: Mapping[str, Any], blocks: str) -> int:
    """How many blocks there are whose keys begin like this."""
    return 1 + max(int(key[len(blocks) :].split(".")[0]) for key in state if key.startswith(blocks))
