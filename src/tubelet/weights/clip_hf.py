"""The `config.json` of a CLIP on the Hugging Face hub, read and written."""

from collections.abc import Mapping
from typing import Any

from tubelet.errors import WeightsError
from tubelet.models.clip import ClipConfig, ImageTowerConfig, TextTowerConfig


def config_from_hf(hf: Mapping[str, Any]) -> ClipConfig | ImageTowerConfig:
    """Our config for the `config.json` of a CLIP or of its image tower; what it lacks has their default."""
    kind = hf.get("model_type")
    if kind not in ("clip", "clip_vision_model"):
        raise WeightsError(f"model_type {kind!r} in config.json; a clip was expected")
    embed_dim = hf.get("projection_dim", 512)
    if kind == "clip_vision_model":
        return image_from_hf(hf, embed_dim)
    return ClipConfig(
        image=image_from_hf(hf.get("vision_config") or {}, embed_dim),
        text=text_from_hf(hf.get("text_config") or {}, embed_dim),
    )


def image_from_hf(vision: Mapping[str, Any], embed_dim: int) -> ImageTowerConfig:
    """The image tower of a CLIP, or of an X-CLIP, for the settings of their `vision_config`."""
    check_activation(vision)
    dim, patch = vision.get("hidden_size", 768), vision.get("patch_size", 32)
    return ImageTowerConfig(
        dim=dim,
        depth=vision.get("num_hidden_layers", 12),
        num_heads=vision.get("num_attention_heads", 12),
        embed_dim=embed_dim,
        image_size=vision.get("image_size", 224),
        tubelet=(1, patch, patch),
        channels=vision.get("num_channels", 3),
        mlp_ratio=vision.get("intermediate_size", 3072) / dim,
        norm_eps=vision.get("layer_norm_eps", 1e-5),
    )


def text_from_hf(text: Mapping[str, Any], embed_dim: int) -> TextTowerConfig:
    """The text tower of a CLIP, or of an X-CLIP, for the settings of their `text_config`."""
    check_activation(text)
    dim, vocab_size = text.get("hidden_size", 512), text.get("vocab_size", 49408)
    end = text.get("eos_token_id", vocab_size - 1)
    # With 2, which the published configs say by mistake, transformers looks for the largest id, too.
    if end not in (2, vocab_size - 1):
        raise WeightsError(
            f"eos_token_id {end} in config.json; the end token of OpenAI's CLIP is the last of the vocabulary, "
            f"{vocab_size - 1}"
        )
    return TextTowerConfig(
        dim=dim,
        depth=text.get("num_hidden_layers", 12),
        num_heads=text.get("num_attention_heads", 8),
        embed_dim=embed_dim,
        vocab_size=vocab_size,
        context_length=text.get("max_position_embeddings", 77),
        mlp_ratio=text.get("intermediate_size", 2048) / dim,
        norm_eps=text.get("layer_norm_eps", 1e-5),
    )


def check_activation(tower: Mapping[str, Any]) -> None:
    """Refuse the exact GELU, which some towers that are not OpenAI's have."""
    activation = tower.get("hidden_act", "quick_gelu")
    if activation != "quick_gelu":
        raise WeightsError(f"hidden_act {activation!r} in config.json; OpenAI's towers have quick_gelu")


def config_to_hf(config: ClipConfig | ImageTowerConfig) -> dict[str, Any]:
    """The `config.json` with which transformers loads an exported CLIP or tower; the inverse of the above."""
    if isinstance(config, ImageTowerConfig):
        return {
            "model_type": "clip_vision_model",
            "architectures": ["CLIPVisionModelWithProjection"],
            "projection_dim": config.embed_dim,
            **image_to_hf(config),
        }
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": config.image.embed_dim,
        "vision_config": {"model_type": "clip_vision_model", **image_to_hf(config.image)},
        "text_config": {"model_type": "clip_text_model", **text_to_hf(config.text)},
    }


def image_to_hf(config: ImageTowerConfig) -> dict[str, Any]:
    """The settings of an image tower; the inverse of `image_from_hf`."""
    t, h, w = config.tubelet
    if t != 1 or h != w:
        raise WeightsError(f"transformers' CLIP has square patches of one frame, not {config.tubelet}")
    return {
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": int(config.dim * config.mlp_ratio),
        "image_size": config.image_size,
        "patch_size": h,
        "num_channels": config.channels,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": config.norm_eps,
    }


def text_to_hf(config: TextTowerConfig) -> dict[str, Any]:
    """The settings of a text tower; the inverse of `text_from_hf`."""
    return {
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": int(config.dim * config.mlp_ratio),
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "bos_token_id": config.vocab_size - 2,
        "eos_token_id": config.vocab_size - 1,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": config.norm_eps,
    }
