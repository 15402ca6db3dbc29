"""Our configs by what manifests say of their models, independently of their keys."""

from typing import Any

from tests.weights.manifest_files import Manifest
from tests.weights.manifest_internvideo import internvideo_config
from tubelet.models import videomae, videomamba, videomamba_pretrain
from tubelet.models.clip import ImageTowerConfig, TextTowerConfig
from tubelet.models.detector import DetectorConfig
from tubelet.models.viclip import ViCLIPConfig
from tubelet.parity.official_configs import clip_config, uniformerv2_config, xclip_config
from tubelet.weights import xclip
from tubelet.weights.videomae import config_from_hf


def is_hf(manifest: Manifest) -> bool:
    return "architecture" in manifest.config or "model_type" in manifest.config


def config_of(manifest: Manifest) -> Any:
    facts = manifest.config
    if facts.get("model_type") == "xclip":
        return xclip.config_from_hf(facts)
    if is_hf(manifest):
        return config_from_hf({**facts, "architectures": [facts["architecture"]]})
    if "bimamba" in facts.get("vision", facts):
        return videomamba_config(facts.get("vision", facts))
    if manifest.name.startswith("internvideo1__"):
        return internvideo_config(manifest)
    if "text_width" in facts and "resolution" in facts:
        return viclip_config(facts)
    if "no_lmhra" in facts:
        return uniformerv2_config(facts)
    if "mit_layers" in facts:
        return xclip_config(facts)
    if "vision_patch_size" in facts:
        return clip_config(facts)
    return videomae_config(facts)


def viclip_config(facts: dict[str, Any]) -> ViCLIPConfig:
    return ViCLIPConfig(
        image=ImageTowerConfig(
            dim=facts["width"],
            depth=facts["layers"],
            num_heads=facts["heads"],
            embed_dim=facts["embed_dim"],
            image_size=facts["resolution"],
            tubelet=(1, facts["patch"], facts["patch"]),
        ),
        text=TextTowerConfig(
            dim=facts["text_width"],
            depth=facts["text_layers"],
            num_heads=facts["text_heads"],
            embed_dim=facts["embed_dim"],
            vocab_size=facts["vocab"],
            context_length=facts["context_length"],
        ),
        num_frames=facts["frames"],
    )


def videomae_config(facts: dict[str, Any]) -> Any:
    patch = facts.get("patch_size", 16)
    side = "encoder_" if "encoder_embed_dim" in facts else ""
    encoder = videomae.EncoderConfig(
        dim=facts[f"{side}embed_dim"],
        depth=facts[f"{side}depth"],
        num_heads=facts[f"{side}num_heads"],
        mlp_ratio=float(facts.get("mlp_ratio", 4)),
        num_frames=facts.get("all_frames") or facts["num_frames"],
        image_size=facts.get("img_size", 224),
        tubelet=(facts["tubelet_size"], patch, patch),
        qv_bias=facts["qkv_bias"],
        norm_eps=facts["norm_eps"],
    )
    if side:
        return videomae.PretrainerConfig(
            encoder=encoder,
            decoder_dim=facts["decoder_embed_dim"],
            decoder_depth=facts["decoder_depth"],
            decoder_num_heads=facts["decoder_num_heads"],
        )
    if "use_mean_pooling" not in facts:  # the action detectors
        return DetectorConfig(encoder=encoder, num_classes=facts["num_classes"])
    pool = "mean" if facts["use_mean_pooling"] else "first"
    return videomae.ClassifierConfig(encoder=encoder, num_classes=facts["num_classes"], pool=pool)


def videomamba_config(facts: dict[str, Any]) -> Any:
    patch, video = facts["patch_size"], "num_frames" in facts
    encoder = videomamba.EncoderConfig(
        dim=facts["embed_dim"],
        depth=facts["depth"],
        num_frames=facts["num_frames"] if video else 1,
        image_size=facts["img_size"],
        tubelet=(facts["kernel_size"] if video else 1, patch, patch),
        channels=facts.get("channels", 3),
        time_position=video,
        # The published code of VideoMambaPro computes its mode "v2".
        mixer=videomamba.PRO_V2 if "bimamba_type" in facts else videomamba.VIDEOMAMBA,
        norm="rms" if facts["rms_norm"] else "layer",
        norm_eps=facts["norm_epsilon"],
    )
    if "clip_output_dim" in facts:
        return videomamba_pretrain.PretrainerConfig(
            encoder=encoder,
            target_dim=facts["clip_output_dim"],
            num_aligned=facts["clip_return_layer"],
            interval=float(facts["clip_student_return_interval"]),
            last_feature="before_last_block" if facts["fused_add_norm"] else "stream",
        )
    return videomamba.ClassifierConfig(encoder=encoder, num_classes=facts["num_classes"])
