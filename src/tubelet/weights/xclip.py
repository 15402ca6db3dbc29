"""Published X-CLIP checkpoints: the official `.pth` layout and Hugging Face's, both ways.

Both hold a CLIP, whose tensors have the names of a CLIP of ours, and beside it messages, integration and prompts.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.xclip import XCLIPConfig
from tubelet.weights.clip import (
    HF_PLACES,
    HF_TEXT,
    OFFICIAL_TEXT,
    depth_of,
    hf_blocks,
    hf_image,
    image_from_shapes,
    official_block,
    official_image,
    text_from_shapes,
)
from tubelet.weights.clip_hf import (
    check_activation,
    image_from_hf,
    image_to_hf,
    text_from_hf,
    text_to_hf,
)
from tubelet.weights.rules import Move, Rule, Split

ARCHITECTURE = "xclip"


def packed_attention(official: str, ours: str) -> tuple[Rule, ...]:
    """An attention as PyTorch has it: queries, keys and values in one matrix."""
    return (
        *(
            Split(f"{official}.in_proj_{p}", tuple(f"{ours}.{x}.{p}" for x in "qkv"))
            for p in ("weight", "bias")
        ),
        Move(f"{official}.out_proj.{{p}}", f"{ours}.proj.{{p}}"),
    )


def parted_attention(hf: str, ours: str, out: str = "out_proj") -> tuple[Rule, ...]:
    """An attention as transformers has it, and the official prompts."""
    return (
        *(Move(f"{hf}.{x}_proj.{{p}}", f"{ours}.{x}.{{p}}") for x in "qkv"),
        Move(f"{hf}.{out}.{{p}}", f"{ours}.proj.{{p}}"),
    )


def message_rules(
    theirs: str, ours: str, attention: Callable[[str, str], tuple[Rule, ...]]
) -> tuple[Rule, ...]:
    """What a block has for messages between frames."""
    return (
        Move(f"{theirs}message_fc.{{p}}", f"{ours}message.proj.{{p}}"),
        Move(f"{theirs}message_ln.{{p}}", f"{ours}message.norm.{{p}}"),
        *attention(f"{theirs}message_attn", f"{ours}message.attn"),
    )


def prompt_rules(theirs: str, ours: str, norm: str) -> tuple[Rule, ...]:
    """The generator of prompts, which both layouts name alike but for its norm."""
    decoder, blocks = f"{theirs}decoder.{{i}}.", f"{ours}blocks.{{i}}."
    return (
        Move(f"{theirs}alpha", f"{ours}scale"),
        Move(f"{theirs}{norm}.{{p}}", f"{ours}norm.{{p}}"),
        *parted_attention(f"{decoder}cross_attn", f"{blocks}attn", out="proj"),
        # The published block skips a number.
        *(Move(f"{decoder}norm{n}.{{p}}", f"{blocks}norm{m}.{{p}}") for n, m in ((1, 1), (3, 2))),
        # In between are the activation and a dropout.
        *(Move(f"{decoder}mlp.{n}.{{p}}", f"{blocks}mlp.{fc}.{{p}}") for n, fc in ((0, "fc1"), (3, "fc2"))),
    )


def integration_rules(official: str, ours: str) -> tuple[Rule, ...]:
    """The official multi-frame integration transformer."""
    return (
        Move(f"{official}positional_embedding", f"{ours}position", squeeze=1),
        *official_block(f"{official}resblocks.{{i}}.", f"{ours}blocks.{{i}}."),
    )


OFFICIAL: tuple[Rule, ...] = (
    *official_image("visual.", "image."),
    *OFFICIAL_TEXT,
    *message_rules("visual.transformer.resblocks.{i}.", "image.blocks.{i}.", packed_attention),
    *integration_rules("mit.", "integration."),
    Move("prompts_visual_ln.{p}", "prompts.place_norm.{p}"),
    Move("prompts_visual_proj", "prompts.place_proj.weight", transpose=True),
    *prompt_rules("prompts_generator.", "prompts.", norm="norm"),
)
HF: tuple[Rule, ...] = (
    Move("vision_model.pre_layernorm.{p}", "image.pre_norm.{p}"),  # spelled as it should be, unlike in CLIP
    *hf_image("image."),
    *HF_TEXT,
    *HF_PLACES,
    *message_rules("vision_model.encoder.layers.{i}.", "image.blocks.{i}.", parted_attention),
    Move("mit.position_embedding", "integration.position", squeeze=1),
    *hf_blocks("mit.", "integration."),
    Move("prompts_visual_layernorm.{p}", "prompts.place_norm.{p}"),
    Move("prompts_visual_projection", "prompts.place_proj.weight", transpose=True),
    *prompt_rules("prompts_generator.", "prompts.", norm="layernorm"),
)
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {ARCHITECTURE: OFFICIAL},
    "hf": {ARCHITECTURE: HF},
}

HF_PROCESSOR = "VideoMAEImageProcessor"


def published_input(config: XCLIPConfig, _dataset: str | None = None) -> dict[str, Any]:
    """One view of a published validation, with ImageNet's statistics and not CLIP's, for all data sets.

    Published tests look at 4 clips of 3 crops, at random places of the video.
    """
    size = config.image.image_size
    short_side = size * 256 // 224
    return {
        "sampling": "middles",
        "num_clips": 1,
        "num_crops": 1,
        "short_side": short_side,
        "rounding": "xclip",
    }


def official_layout(_config: XCLIPConfig) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no X-CLIP."""
    if {"mit.position_embedding", "prompts_visual_projection"} <= keys.keys():
        return "hf", ARCHITECTURE
    if {"mit.positional_embedding", "prompts_visual_proj"} <= keys.keys():
        return "official", ARCHITECTURE
    return None


def config_from_shapes(state: Mapping[str, Tensor]) -> XCLIPConfig:
    """The config of an official checkpoint, read off its tensors.

    All heads have 64 channels, as in every published model. Give a config where that is not so.
    """
    _, num_frames, embed_dim = state["mit.positional_embedding"].shape
    if embed_dim % 64:
        raise WeightsError(
            f"no published X-CLIP embeds in {embed_dim} dimensions; give a config that says how many heads it has"
        )
    return XCLIPConfig(
        image=image_from_shapes(state),
        text=text_from_shapes(state),
        num_frames=num_frames,
        integration_depth=depth_of(state, "mit.resblocks."),
        integration_num_heads=embed_dim // 64,
        integration_mlp_ratio=len(state["mit.resblocks.0.mlp.c_fc.bias"]) / embed_dim,
        prompt_depth=depth_of(state, "prompts_generator.decoder."),
        prompt_num_heads=embed_dim // 64,
    )


def config_from_hf(hf: Mapping[str, Any], *, published_heads: bool = True) -> XCLIPConfig:
    """Our config for a Hugging Face `config.json`; what it does not say has transformers' default.

    The hub's large models were written with 8 heads for integration and prompts where they were trained with 12,
    which no shape tells. `published_heads` puts the heads right; False computes what transformers computes.
    """
    if hf.get("model_type") != "xclip":
        raise WeightsError(f"model_type {hf.get('model_type')!r} in config.json; an xclip was expected")
    vision, text = hf.get("vision_config") or {}, hf.get("text_config") or {}
    check_activation({"hidden_act": hf.get("prompt_hidden_act", "quick_gelu")})
    embed_dim = hf.get("projection_dim", 512)
    mit_dim = vision.get("mit_hidden_size", 512)
    if mit_dim != embed_dim:
        raise WeightsError(
            f"config.json integrates frames in {mit_dim} dimensions and projects to {embed_dim}; "
            "an X-CLIP does both in the same"
        )
    heads = heads_of_hf(hf)
    if published_heads and embed_dim == 768 and heads == (8, 8):
        heads = 12, 12
    return XCLIPConfig(
        image=image_from_hf(vision, embed_dim),
        text=text_from_hf(text, embed_dim),
        num_frames=vision.get("num_frames", 8),
        integration_depth=vision.get("mit_num_hidden_layers", 1),
        integration_num_heads=heads[0],
        integration_mlp_ratio=vision.get("mit_intermediate_size", 2048) / embed_dim,
        prompt_depth=hf.get("prompt_layers", 2),
        prompt_num_heads=heads[1],
        prompt_scale=float(hf.get("prompt_alpha", 0.1)),
    )


def heads_of_hf(hf: Mapping[str, Any]) -> tuple[int, int]:
    """How many heads a `config.json` says that integration and prompts have."""
    vision = hf.get("vision_config") or {}
    return vision.get("mit_num_attention_heads", 8), hf.get("prompt_num_attention_heads", 8)


def remarks(hf: Mapping[str, Any] | None, config: XCLIPConfig) -> list[str]:
    """What a user has to know of a converted file."""
    ours = config.integration_num_heads, config.prompt_num_heads
    if hf is None or heads_of_hf(hf) == ours:
        return []
    theirs = " and ".join(map(str, heads_of_hf(hf)))
    return [
        f"config.json says {theirs} heads for integration and prompts; the model was trained with {ours[0]} and "
        f"{ours[1]} and has them here, so transformers computes something else from the same file"
    ]


def config_to_hf(config: XCLIPConfig) -> dict[str, Any]:
    """The `config.json` that lets transformers load an exported model; models it does not know are refused."""
    lacking = {
        "no messages between frames": not config.cross_frame,
        "no integration of frames": not config.integration_depth,
        "no prompts": not config.prompt_depth,
    }
    for feature, used in lacking.items():
        if used:
            raise WeightsError(f"this model has {feature}, which transformers' X-CLIP does not know")
    return {
        "model_type": "xclip",
        "architectures": ["XCLIPModel"],
        "projection_dim": config.embed_dim,
        "prompt_layers": config.prompt_depth,
        "prompt_alpha": config.prompt_scale,
        "prompt_hidden_act": "quick_gelu",
        "prompt_num_attention_heads": config.prompt_num_heads,
        "vision_config": {
            "model_type": "xclip_vision_model",
            **image_to_hf(config.image),
            "num_frames": config.num_frames,
            "mit_hidden_size": config.embed_dim,
            "mit_intermediate_size": int(config.embed_dim * config.integration_mlp_ratio),
            "mit_num_hidden_layers": config.integration_depth,
            "mit_num_attention_heads": config.integration_num_heads,
        },
        "text_config": {"model_type": "xclip_text_model", **text_to_hf(config.text)},
    }
