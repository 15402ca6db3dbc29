"""Classifiers on what a model of videos and texts sees: its video tower, frozen, and a small head on top.

The tower of texts is no part of them, nor are prompts, which only move texts.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.uniformerv2 import EncoderConfig
from tubelet.models.video_adapter import AdapterConfig, AdapterHead
from tubelet.models.video_text import VideoTextConfig
from tubelet.models.video_towers import tower_of


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """The model whose videos are embedded, and how many classes a linear map of them tells apart."""

    video: VideoTextConfig
    num_classes: int

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ConfigError(f"num_classes is {self.num_classes}; there is nothing to tell apart below 2")

    @property
    def encoder(self) -> VideoTextConfig | EncoderConfig:
        """What sees the clips."""
        return getattr(self.video, "encoder", self.video)


class VideoProbe(nn.Module):
    """Logits of classes from the unit-length embedding of a clip: a linear map of it, or an adapter's head."""

    def __init__(self, config: ProbeConfig | AdapterConfig):
        super().__init__()
        self.config = config
        self.dim = config.video.embed_dim
        self.video = tower_of(config.video).requires_grad_(False)
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
