"""Published VideoMAE checkpoints: the official `.pth` layouts and the Hugging Face layouts, both ways."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from tubelet.errors import WeightsError
from tubelet.models.detector import DetectorConfig
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.weights.cards import Card
from tubelet.weights.rules import Move, Rule, Split


def _official_blocks(official: str, ours: str) -> tuple[Rule, ...]:
    qkv = tuple(f"{ours}blocks.{{i}}.attn.{x}.weight" for x in "qkv")
    return (
        Split(f"{official}blocks.{{i}}.attn.qkv.weight", qkv),
        Move(f"{official}blocks.{{i}}.attn.q_bias", f"{ours}blocks.{{i}}.attn.q.bias"),
        Move(f"{official}blocks.{{i}}.attn.v_bias", f"{ours}blocks.{{i}}.attn.v.bias"),
        Move(f"{official}blocks.{{i}}.attn.proj.{{p}}", f"{ours}blocks.{{i}}.attn.proj.{{p}}"),
        Move(f"{official}blocks.{{i}}.norm1.{{p}}", f"{ours}blocks.{{i}}.norm1.{{p}}"),
        Move(f"{official}blocks.{{i}}.norm2.{{p}}", f"{ours}blocks.{{i}}.norm2.{{p}}"),
        Move(f"{official}blocks.{{i}}.mlp.{{fc}}.{{p}}", f"{ours}blocks.{{i}}.mlp.{{fc}}.{{p}}"),
        Move(f"{official}blocks.{{i}}.gamma_1", f"{ours}blocks.{{i}}.scale1.scale"),
        Move(f"{official}blocks.{{i}}.gamma_2", f"{ours}blocks.{{i}}.scale2.scale"),
    )


def _official_encoder(official: str) -> tuple[Rule, ...]:
    return (
        Move(f"{official}patch_embed.proj.{{p}}", "encoder.embed.proj.{p}"),
        Move(f"{official}pos_embed", "encoder.position", squeeze=1),
        *_official_blocks(official, "encoder."),
        Move(f"{official}norm.{{p}}", "encoder.norm.{p}"),
    )


def _hf_blocks(hf: str, ours: str, qv_bias: tuple[str, str]) -> tuple[Rule, ...]:
    attention = f"{hf}.{{i}}.attention.attention"
    return (
        Move(f"{attention}.query.weight", f"{ours}blocks.{{i}}.attn.q.weight"),
        Move(f"{attention}.key.weight", f"{ours}blocks.{{i}}.attn.k.weight"),
        Move(f"{attention}.value.weight", f"{ours}blocks.{{i}}.attn.v.weight"),
        Move(f"{attention}.{qv_bias[0]}", f"{ours}blocks.{{i}}.attn.q.bias"),
        Move(f"{attention}.{qv_bias[1]}", f"{ours}blocks.{{i}}.attn.v.bias"),
        Move(f"{hf}.{{i}}.attention.output.dense.{{p}}", f"{ours}blocks.{{i}}.attn.proj.{{p}}"),
        Move(f"{hf}.{{i}}.layernorm_before.{{p}}", f"{ours}blocks.{{i}}.norm1.{{p}}"),
        Move(f"{hf}.{{i}}.layernorm_after.{{p}}", f"{ours}blocks.{{i}}.norm2.{{p}}"),
        Move(f"{hf}.{{i}}.intermediate.dense.{{p}}", f"{ours}blocks.{{i}}.mlp.fc1.{{p}}"),
        Move(f"{hf}.{{i}}.output.dense.{{p}}", f"{ours}blocks.{{i}}.mlp.fc2.{{p}}"),
    )


def _hf_encoder(qv_bias: tuple[str, str]) -> tuple[Rule, ...]:
    return (
        Move("videomae.embeddings.patch_embeddings.projection.{p}", "encoder.embed.proj.{p}"),
        *_hf_blocks("videomae.encoder.layer", "encoder.", qv_bias),
        Move("videomae.layernorm.{p}", "encoder.norm.{p}"),
    )


# Hub files and transformers 4 store the two biases as bare parameters, transformers 5 inside Linear layers.
HUB_BIAS = ("q_bias", "v_bias")
V5_BIAS = ("query.bias", "value.bias")

_DECODER: tuple[Rule, ...] = (
    Move("mask_token", "mask_token", squeeze=2),
    Move("encoder_to_decoder.weight", "to_decoder.weight"),
    Move("decoder.norm.{p}", "decoder.norm.{p}"),
    Move("decoder.head.{p}", "decoder.head.{p}"),
)
OFFICIAL_CLASSIFIER: tuple[Rule, ...] = (
    *_official_encoder(""),
    Move("fc_norm.{p}", "pool_norm.{p}"),
    Move("head.{p}", "head.{p}"),
)
OFFICIAL_PRETRAINER: tuple[Rule, ...] = (
    *_official_encoder("encoder."),
    *_official_blocks("decoder.", "decoder."),
    *_DECODER,
)


def _hf_classifier(qv_bias: tuple[str, str]) -> tuple[Rule, ...]:
    return (
        *_hf_encoder(qv_bias),
        Move("fc_norm.{p}", "pool_norm.{p}"),
        Move("classifier.{p}", "head.{p}"),
    )


def _hf_pretrainer(qv_bias: tuple[str, str]) -> tuple[Rule, ...]:
    return (
        *_hf_encoder(qv_bias),
        *_hf_blocks("decoder.decoder_layers", "decoder.", qv_bias),
        *_DECODER,
    )


# Rules by layout, then by the architecture's name in `tubelet.models`.
LAYOUTS: dict[str, dict[str, tuple[Rule, ...]]] = {
    "official": {
        "videomae_classifier": OFFICIAL_CLASSIFIER,
        "videomae_detector": OFFICIAL_CLASSIFIER,
        "videomae_pretrainer": OFFICIAL_PRETRAINER,
    },
    "hf": {
        "videomae_classifier": _hf_classifier(HUB_BIAS),
        "videomae_pretrainer": _hf_pretrainer(HUB_BIAS),
    },
    "hf_v5": {
        "videomae_classifier": _hf_classifier(V5_BIAS),
        "videomae_pretrainer": _hf_pretrainer(V5_BIAS),
    },
}


HF_PROCESSOR = "VideoMAEImageProcessor"

# On a scale from 0 to 1. The published detectors were trained with other statistics than the classifiers.
AVA_INPUT: dict[str, Any] = {
    "mean": [122.7717 / 255, 115.9465 / 255, 102.9801 / 255],
    "std": [57.375 / 255, 57.375 / 255, 57.375 / 255],
}


def published_input(config: Any, dataset: str | None = None) -> dict[str, Any]:
    """What published models were fed where it is not their recipe for Kinetics, and how they were tested."""
    if isinstance(config, DetectorConfig):
        return dict(AVA_INPUT)
    if dataset not in ("ssv1", "ssv2"):
        return {}
    if isinstance(config, PretrainerConfig):
        return {"stride": 2}
    return {"sampling": "segments", "num_clips": 2, "num_crops": 3}


def with_card(config: ClassifierConfig | PretrainerConfig, card: Card) -> ClassifierConfig | PretrainerConfig:
    """The config for as many frames and pixels as a file's card says, which no tensor tells.

    Positions are those of 16 frames of 224 pixels resampled, as InternVideo trained such models.
    """
    encoder = config.encoder
    sizes = (card.num_frames or encoder.num_frames, card.image_size or encoder.image_size)
    if sizes == (encoder.num_frames, encoder.image_size) or encoder.position != "sincos":
        return config
    resized = replace(encoder, num_frames=sizes[0], image_size=sizes[1], position_grid=encoder.grid)
    return replace(config, encoder=resized)


def remarks(config: Any) -> list[str]:
    """What a user has to know of a converted file."""
    if config.encoder.position_grid is None:
        return []
    return [
        "positions are those of 16 frames of 224 pixels resampled, in space as InternVideo trained models of "
        "other sizes and in time linearly; for a model with a table of its own give --model and "
        "encoder.num_frames"
    ]


def official_layout(_config: Any) -> str:
    """The layout of the authors' files for a config."""
    return "official"


def find_layout(keys: Mapping[str, Any]) -> tuple[str, str] | None:
    """(layout, architecture) of a checkpoint by its keys, or None when it is not a VideoMAE.

    A detector's keys are those of a classifier that pools the first token, so the config has to tell.
    """
    hf = "videomae.embeddings.patch_embeddings.projection.weight" in keys
    if hf:
        layout = "hf_v5" if any(key.endswith(".attention.query.bias") for key in keys) else "hf"
        if "mask_token" in keys:
            return layout, "videomae_pretrainer"
        return (layout, "videomae_classifier") if "classifier.weight" in keys else None
    if "encoder.patch_embed.proj.weight" in keys and "encoder_to_decoder.weight" in keys:
        return "official", "videomae_pretrainer"
    if "patch_embed.proj.weight" in keys and "head.weight" in keys and "cls_token" not in keys:
        return "official", "videomae_classifier"
    return None


def config_from_hf(
    hf: Mapping[str, Any], *, architecture: str | None = None, published_heads: bool = True
) -> ClassifierConfig | PretrainerConfig:
    """Our config for a Hugging Face `config.json`; what it does not say has transformers' default.

    The hub's ViT-S configs were written with 16 heads (and 12 decoder blocks) where the models were trained
    with 6. `published_heads` puts the heads right; False computes what transformers computes.
    """
    dim, heads = hf.get("hidden_size", 768), hf.get("num_attention_heads", 12)
    if published_heads and dim == 384 and heads == 16:
        heads = 6
    patch = hf.get("patch_size", 16)
    encoder = EncoderConfig(
        dim=dim,
        depth=hf.get("num_hidden_layers", 12),
        num_heads=heads,
        mlp_ratio=hf.get("intermediate_size", 3072) / dim,
        num_frames=hf.get("num_frames", 16),
        image_size=hf.get("image_size", 224),
        tubelet=(hf.get("tubelet_size", 2), patch, patch),
        channels=hf.get("num_channels", 3),
        qv_bias=hf.get("qv_bias", hf.get("qkv_bias", True)),
        norm_eps=hf.get("layer_norm_eps", 1e-12),
    )
    # The pooled norm and the decoder's last norm are built with PyTorch's own eps in transformers.
    architecture = architecture or (hf.get("architectures") or [None])[0]
    if architecture == "VideoMAEForPreTraining":
        decoder_dim = hf.get("decoder_hidden_size", 384)
        return PretrainerConfig(
            encoder=encoder,
            decoder_dim=decoder_dim,
            decoder_depth=hf.get("decoder_num_hidden_layers", 4),
            decoder_num_heads=hf.get("decoder_num_attention_heads", 6),
            decoder_mlp_ratio=hf.get("decoder_intermediate_size", 1536) / decoder_dim,
            normalize_target=hf.get("norm_pix_loss", True),
            last_norm_eps=1e-5,
        )
    if architecture != "VideoMAEForVideoClassification":
        raise WeightsError(
            f"architecture {architecture!r} in config.json; VideoMAEForPreTraining and "
            "VideoMAEForVideoClassification can be converted"
        )
    num_classes = hf.get("num_labels") or len(hf.get("id2label", {})) or 2
    pool = "mean" if hf.get("use_mean_pooling", True) else "first"
    return ClassifierConfig(encoder=encoder, num_classes=num_classes, pool=pool, last_norm_eps=1e-5)


def config_from_shapes(state: Mapping[str, Tensor]) -> ClassifierConfig | PretrainerConfig:
    """The config of an official checkpoint, read off its tensors.

    Shapes do not tell the number of heads, frames or pixels: heads have 64 channels (80 in ViT-H), as in every
    published model, and clips 16 frames of 224² pixels. Give a config where that is not so.
    """
    pretrain = "encoder_to_decoder.weight" in state
    prefix = "encoder." if pretrain else ""
    dim, channels, t, h, w = state[f"{prefix}patch_embed.proj.weight"].shape
    depth = _depth(state, f"{prefix}blocks.")
    position = state.get(f"{prefix}pos_embed")
    encoder = EncoderConfig(
        dim=dim,
        depth=depth,
        num_heads=_published_heads(dim),
        mlp_ratio=state[f"{prefix}blocks.0.mlp.fc1.weight"].shape[0] / dim,
        tubelet=(t, h, w),
        channels=channels,
        position="sincos" if position is None else "frozen",
        qv_bias=f"{prefix}blocks.0.attn.q_bias" in state,
        layer_scale=0.1 if f"{prefix}blocks.0.gamma_1" in state else None,
    )
    if pretrain:
        decoder_dim = state["encoder_to_decoder.weight"].shape[0]
        return PretrainerConfig(
            encoder=encoder,
            decoder_dim=decoder_dim,
            decoder_depth=_depth(state, "decoder.blocks."),
            decoder_num_heads=_published_heads(decoder_dim),
        )
    pool = "mean" if "fc_norm.weight" in state else "first"
    return ClassifierConfig(encoder=encoder, num_classes=state["head.weight"].shape[0], pool=pool)


def _depth(state: Mapping[str, Tensor], prefix: str) -> int:
    return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))


def _published_heads(dim: int) -> int:
    head_dim = 80 if dim in (1280, 640) else 64  # ViT-H and its decoder
    if dim % head_dim:
        raise WeightsError(
            f"no published VideoMAE is {dim} wide; give a config that says how many heads it has"
        )
    return dim // head_dim


def config_to_hf(config: ClassifierConfig | PretrainerConfig) -> dict[str, Any]:
    """The `config.json` that lets transformers load an exported model.

    transformers fixes some norms' eps at 1e-5 where ours are 1e-6; outputs agree within about 1e-5. Models
    that use what transformers lacks are refused.
    """
    encoder = config.encoder
    t, h, w = encoder.tubelet
    lacking = {
        "another tubelet than square patches": h != w,
        "stored positions": encoder.position != "sincos",
        "resampled positions": encoder.position_grid not in (None, encoder.grid),
        "layer scale": encoder.layer_scale is not None,
        "its own attention scale": encoder.attention_scale is not None,
    }
    for feature, used in lacking.items():
        if used:
            raise WeightsError(f"this model has {feature}, which transformers' VideoMAE does not know")
    shared = {
        "model_type": "videomae",
        "image_size": encoder.image_size,
        "patch_size": h,
        "num_channels": encoder.channels,
        "num_frames": encoder.num_frames,
        "tubelet_size": t,
        "hidden_size": encoder.dim,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": int(encoder.dim * encoder.mlp_ratio),
        "hidden_act": "gelu",
        "layer_norm_eps": encoder.norm_eps,
        "qv_bias": encoder.qv_bias,
        "qkv_bias": encoder.qv_bias,  # its name in transformers 4
    }
    if isinstance(config, PretrainerConfig):
        return shared | {
            "architectures": ["VideoMAEForPreTraining"],
            "decoder_hidden_size": config.decoder_dim,
            "decoder_num_hidden_layers": config.decoder_depth,
            "decoder_num_attention_heads": config.decoder_num_heads,
            "decoder_intermediate_size": int(
                config.decoder_dim * (config.decoder_mlp_ratio or encoder.mlp_ratio)
            ),
            "norm_pix_loss": config.normalize_target,
            "use_mean_pooling": False,
        }
    labels = {str(i): f"LABEL_{i}" for i in range(config.num_classes)}
    return shared | {
        "architectures": ["VideoMAEForVideoClassification"],
        "use_mean_pooling": config.pool == "mean",
        "id2label": labels,
        "label2id": {name: int(i) for i, name in labels.items()},
    }
