"""Classifiers on what a model of videos and texts sees: its video tower, frozen, and a small head on top.

The tower of texts is no part of them, nor are prompts, which only move texts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.models.xclip import XCLIP, XCLIPConfig, integration
from tubelet.models.xclip_adapter import AdapterConfig, AdapterHead
from tubelet.models.xclip_parts import FrameTower


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The model whose videos are embedded, and how many classes a linear map of them tells apart."""

    video: XCLIPConfig
    num_classes: int

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ConfigError(f"num_classes is {self.num_classes}; there is nothing to tell apart below 2")

    @property
    def encoder(self) -> XCLIPConfig:
        """What sees the clips."""
        return self.video


class VideoTower(nn.Module):
    """The part of an X-CLIP, or of a mean-pooled CLIP, that embeds videos; its tensors have their names there."""

    def __init__(self, config: XCLIPConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.image = FrameTower(config.image, cross_frame=config.cross_frame, drop_path=config.drop_path)
        self.integration = integration(config) if config.integration_depth else None

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch embed_dim"]:
        """Embeddings of unit length."""
        return F.normalize(self.features(clip), dim=-1)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch embed_dim"]:
        """Embeddings, not of unit length."""
        frames = self.image.embedded(self.image(clip, cls_only=True))[:, :, 0]
        return frames.mean(dim=1) if self.integration is None else self.integration(frames)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens embed_dim"]:
        """One vector per patch of every frame, in (t h w) order."""
        return self.image.embedded(self.image(clip)[:, :, 1:]).flatten(1, 2)


def video_tower(model: XCLIP) -> VideoTower:
    """The video tower of a model, frozen; the two share their tensors."""
    with torch.device("meta"):
        tower = VideoTower(model.config)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name in tower.state_dict()}
    tower.load_state_dict(tensors, assign=True)
    return tower.requires_grad_(False).eval()


class XCLIPProbe(nn.Module):
    """Logits of classes from the unit-length embedding of a clip: a linear map of it, or an adapter's head."""

    def __init__(self, config: ProbeConfig | AdapterConfig):
        super().__init__()
        self.config = config
        self.dim = config.video.embed_dim
        self.video = VideoTower(config.video).requires_grad_(False)
        linear = isinstance(config, ProbeConfig)
        self.head = nn.Linear(self.dim, config.num_classes) if linear else AdapterHead(config)

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch classes"]:
        return self.head(self.video(clip))

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame, in (t h w) order."""
        return self.video.tokens(clip)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The embedding of each clip, not of unit length."""
        return self.video.features(clip)
