"""Published CLIP image towers: OpenAI's layout, towers taken out of it, and Hugging Face's, both ways.

OpenAI's own `.pt` files are TorchScript archives, which `torch.load(weights_only=True)` does not open; these
rules are for their state dicts. Of a full CLIP the text tower is dropped.
"""

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.clip import ImageTowerConfig
from tubelet.weights.rules import Drop, Move, Rule, Split

ARCHITECTURE = "clip_image_tower"


def _official_tower(official: str, kernel: Move) -> tuple[Rule, ...]:
    blocks = f"{official}transformer.resblocks.{{i}}"
    return (
        kernel,
        Move(f"{official}class_embedding", "embed.cls_token"),
        Move(f"{official}positional_embedding", "embed.position"),
        Move(f"{official}ln_pre.{{p}}", "pre_norm.{p}"),
        *(
            Split(f"{blocks}.attn.in_proj_{p}", tuple(f"blocks.{{i}}.attn.{x}.{p}" for x in "qkv"))
            for p in ("weight", "bias")
        ),
        Move(f"{blocks}.attn.out_proj.{{p}}", "blocks.{i}.attn.proj.{p}"),
        Move(f"{blocks}.ln_1.{{p}}", "blocks.{i}.norm1.{p}"),
        Move(f"{blocks}.ln_2.{{p}}", "blocks.{i}.norm2.{p}"),
        Move(f"{blocks}.mlp.c_fc.{{p}}", "blocks.{i}.mlp.fc1.{p}"),
        Move(f"{blocks}.mlp.c_proj.{{p}}", "blocks.{i}.mlp.fc2.{p}"),
        Move(f"{official}ln_post.{{p}}", "post_norm.{p}"),
        Move(f"{official}proj", "proj.weight", transpose=True),
    )


OFFICIAL_TEXT: tuple[Rule, ...] = (
    Drop("token_embedding.weight"),
    Drop("positional_embedding"),
    Drop("transformer.resblocks.{i}.attn.{in_proj}"),
    Drop("transformer.resblocks.{i}.attn.out_proj.{p}"),
    Drop("transformer.resblocks.{i}.{norm}.{p}"),
    Drop("transformer.resblocks.{i}.mlp.{fc}.{p}"),
    Drop("ln_final.{p}"),
    Drop("text_projection"),
    Drop("logit_scale"),
    # Sizes that OpenAI's archives hold as scalars.
    Drop("input_resolution"),
    Drop("context_length"),
    Drop("vocab_size"),
)

HF_TOWER: tuple[Rule, ...] = (
    Move("vision_model.embeddings.class_embedding", "embed.cls_token"),
    Move("vision_model.embeddings.patch_embedding.weight", "embed.proj.weight", unsqueeze=2),
    Move("vision_model.embeddings.position_embedding.weight", "embed.position"),
    Move("vision_model.pre_layrnorm.{p}", "pre_norm.{p}"),  # spelled so
    *(
        Move(f"vision_model.encoder.layers.{{i}}.self_attn.{x}_proj.{{p}}", f"blocks.{{i}}.attn.{x}.{{p}}")
        for x in "qkv"
    ),
    Move("vision_model.encoder.layers.{i}.self_attn.out_proj.{p}", "blocks.{i}.attn.proj.{p}"),
    Move("vision_model.encoder.layers.{i}.layer_norm1.{p}", "blocks.{i}.norm1.{p}"),
    Move("vision_model.encoder.layers.{i}.layer_norm2.{p}", "blocks.{i}.norm2.{p}"),
    Move("vision_model.encoder.layers.{i}.mlp.{fc}.{p}", "blocks.{i}.mlp.{fc}.{p}"),
    Move("vision_model.post_layernorm.{p}", "post_norm.{p}"),
    Move("visual_projection.weight", "proj.weight"),
    Drop("vision_model.embeddings.position_ids"),  # in older files
)
HF_TEXT: tuple[Rule, ...] = (
    Drop("text_model.embeddings.token_embedding.weight"),
    Drop("text_model.embeddings.position_embedding.weight"),
    Drop("text_model.embeddings.position_ids"),
    Drop("text_model.encoder.layers.{i}.self_attn.{proj}.{p}"),
    Drop("text_model.encoder.layers.{i}.{norm}.{p}"),
    Drop("text_model.encoder.layers.{i}.mlp.{fc}.{p}"),
    Drop("text_model.final_layer_norm.{p}"),
    Drop("text_projection.weight"),
    Drop("logit_scale"),
)

# Rules by layout, then by the architecture's name in `tubelet.models`. A tower on its own has no prefix; the
# teachers of video models have moreover a kernel with an axis of time.
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {
        ARCHITECTURE: (
            *_official_tower("visual.", Move("visual.conv1.weight", "embed.proj.weight", unsqueeze=2)),
            *OFFICIAL_TEXT,
        )
    },
    "official_tower": {
        ARCHITECTURE: _official_tower("", Move("conv1.weight", "embed.proj.weight", unsqueeze=2))
    },
    "official_teacher": {ARCHITECTURE: _official_tower("", Move("conv1.weight", "embed.proj.weight"))},
    "hf": {ARCHITECTURE: (*HF_TOWER, *HF_TEXT)},
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


def published_input(_config: ImageTowerConfig) -> dict[str, Any]:
    """What the published towers were fed."""
    return dict(CLIP_INPUT)


def official_layout(config: ImageTowerConfig) -> str:
    """The layout of the authors' files for a config; for several frames that of video models' teachers."""
    return "official" if config.tubelet[0] == 1 else "official_teacher"


def find_layout(state: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it holds no CLIP image tower.

    Whether a tower's kernel is of images or of clips, its shape tells.
    """
    if {"vision_model.pre_layrnorm.weight", "visual_projection.weight"} <= state.keys():
        return "hf", ARCHITECTURE
    names = ("class_embedding", "ln_pre.weight", "conv1.weight", "proj")
    if all(f"visual.{name}" in state for name in names):
        return "official", ARCHITECTURE
    if all(name in state for name in names):
        clips = getattr(state["conv1.weight"], "ndim", 4) == 5
        return "official_teacher" if clips else "official_tower", ARCHITECTURE
    return None


def config_from_shapes(state: Mapping[str, Tensor]) -> ImageTowerConfig:
    """The config of a tower in one of OpenAI's layouts, read off its tensors.

    Heads have 64 channels, as in every published CLIP, and images are square. Give a config where that is not
    so.
    """
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
        depth=1 + max(int(key[len(blocks) :].split(".")[0]) for key in state if key.startswith(blocks)),
        num_heads=dim // 64,
        embed_dim=state[f"{prefix}proj"].shape[1],
        image_size=side * h,
        tubelet=(t, h, w),
        channels=channels,
        mlp_ratio=len(state[f"{blocks}0.mlp.c_fc.bias"]) / dim,
    )


def config_from_hf(hf: Mapping[str, Any]) -> ImageTowerConfig:
    """Our config for the `config.json` of a CLIP or of its image tower; what it lacks has their default."""
    if hf.get("model_type") not in ("clip", "clip_vision_model"):
        raise WeightsError(f"model_type {hf.get('model_type')!r} in config.json; a clip was expected")
    vision: Mapping[str, Any] = hf.get("vision_config") or ({} if hf["model_type"] == "clip" else hf)
    activation = vision.get("hidden_act", "quick_gelu")
    if activation != "quick_gelu":
        raise WeightsError(f"hidden_act {activation!r} in config.json; OpenAI's towers have quick_gelu")
    dim, patch = vision.get("hidden_size", 768), vision.get("patch_size", 32)
    return ImageTowerConfig(
        dim=dim,
        depth=vision.get("num_hidden_layers", 12),
        num_heads=vision.get("num_attention_heads", 12),
        embed_dim=hf.get("projection_dim", 512),
        image_size=vision.get("image_size", 224),
        tubelet=(1, patch, patch),
        channels=vision.get("num_channels", 3),
        mlp_ratio=vision.get("intermediate_size", 3072) / dim,
        norm_eps=vision.get("layer_norm_eps", 1e-5),
    )


def config_to_hf(config: ImageTowerConfig) -> dict[str, Any]:
    """The `config.json` with which transformers loads an exported tower; the inverse of the above."""
    t, h, w = config.tubelet
    if t != 1 or h != w:
        raise WeightsError(f"transformers' CLIP has square patches of one frame, not {config.tubelet}")
    return {
        "model_type": "clip_vision_model",
        "architectures": ["CLIPVisionModelWithProjection"],
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": int(config.dim * config.mlp_ratio),
        "projection_dim": config.embed_dim,
        "image_size": config.image_size,
        "patch_size": h,
        "num_channels": config.channels,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": config.norm_eps,
    }
