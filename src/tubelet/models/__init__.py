"""Model families: one file each, holding its configs, its modules and its variants."""

from typing import Any

from torch import nn

from tubelet.config import unknown_key
from tubelet.errors import ConfigError
from tubelet.models import (
    clip,
    cross_model,
    detector,
    internvideo,
    internvideo_qa,
    uniformerv2,
    viclip,
    video_adapter,
    video_probe,
    videomae,
    videomamba,
    videomamba_pretrain,
    xclip,
)
from tubelet.models.backbone import Backbone

__all__ = ["ARCHITECTURES", "VARIANTS", "Backbone", "architecture_of", "build_model", "variant"]

# The name an architecture has in a checkpoint's config.toml: its config and its module.
ARCHITECTURES: dict[str, tuple[type, type[nn.Module]]] = {
    "videomae_classifier": (videomae.ClassifierConfig, videomae.VideoMAEClassifier),
    "videomae_pretrainer": (videomae.PretrainerConfig, videomae.VideoMAEPretrainer),
    "videomae_detector": (detector.DetectorConfig, detector.VideoMAEDetector),
    "videomamba_classifier": (videomamba.ClassifierConfig, videomamba.VideoMambaClassifier),
    "videomamba_pretrainer": (videomamba_pretrain.PretrainerConfig, videomamba_pretrain.VideoMambaPretrainer),
    "clip": (clip.ClipConfig, clip.Clip),
    "clip_image_tower": (clip.ImageTowerConfig, clip.ImageTower),
    "uniformerv2_classifier": (uniformerv2.ClassifierConfig, uniformerv2.UniFormerV2Classifier),
    "xclip": (xclip.XCLIPConfig, xclip.XCLIP),
    "viclip": (viclip.ViCLIPConfig, viclip.ViCLIP),
    "internvideo": (internvideo.InternVideoConfig, internvideo.InternVideo),
    "internvideo_answerer": (internvideo_qa.AnswererConfig, internvideo_qa.InternVideoAnswerer),
    "cross_model": (cross_model.CrossModelConfig, cross_model.CrossModel),
    "video_probe": (video_probe.ProbeConfig, video_probe.VideoProbe),
    "video_adapter": (video_adapter.AdapterConfig, video_probe.VideoProbe),
}

# Every size of every family, by the name that commands and recipes use.
VARIANTS: dict[str, Any] = {
    **videomae.VARIANTS,
    **detector.VARIANTS,
    **videomamba.VARIANTS,
    **videomamba_pretrain.VARIANTS,
    **clip.VARIANTS,
    **xclip.VARIANTS,
    **uniformerv2.VARIANTS,
    **cross_model.VARIANTS,
    **viclip.VARIANTS,
    **internvideo.VARIANTS,
    **internvideo_qa.VARIANTS,
}


def variant(name: str) -> Any:
    """The config of a variant such as "videomae_base"."""
    if name not in VARIANTS:
        raise unknown_key(name, list(VARIANTS))
    return VARIANTS[name]


def architecture_of(config: Any) -> str:
    """The name under which a checkpoint stores the architecture of this config."""
    for name, (config_type, _) in ARCHITECTURES.items():
        if type(config) is config_type:
            return name
    raise ConfigError(f"{type(config).__name__} is not the config of a model")


def build_model(config: Any) -> nn.Module:
    """A model with fresh weights for any family's config."""
    return ARCHITECTURES[architecture_of(config)][1](config)
