"""The parts of models of videos and texts that embed videos, on their own: their tensors keep their names.

No tower of texts belongs to them, nor prompts, which only move texts.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.models import viclip
from tubelet.models.internvideo import InternVideoConfig, shared_space
from tubelet.models.uniformerv2 import Encoder
from tubelet.models.viclip import ViCLIPConfig
from tubelet.models.video_text import VideoTextConfig, VideoTextModel
from tubelet.models.xclip import XCLIPConfig, integration
from tubelet.models.xclip_parts import FrameTower

Clip: TypeAlias = Float[Tensor, "batch channels frames rows columns"]
Embeddings: TypeAlias = Float[Tensor, "batch embed_dim"]
Tokens: TypeAlias = Float[Tensor, "batch tokens embed_dim"]


class XCLIPTower(nn.Module):
    """What sees videos in an X-CLIP, or in a mean-pooled CLIP."""

    def __init__(self, config: XCLIPConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.image = FrameTower(config.image, cross_frame=config.cross_frame, drop_path=config.drop_path)
        self.integration = integration(config) if config.integration_depth else None

    def forward(self, clip: Clip) -> Embeddings:
        """Embeddings of unit length."""
        return F.normalize(self.features(clip), dim=-1)

    def features(self, clip: Clip) -> Embeddings:
        """Embeddings, not of unit length."""
        frames = self.image.embedded(self.image(clip, cls_only=True))[:, :, 0]
        return frames.mean(dim=1) if self.integration is None else self.integration(frames)

    def tokens(self, clip: Clip) -> Tokens:
        """One vector per patch of every frame, in (t h w) order."""
        return self.image.embedded(self.image(clip)[:, :, 1:]).flatten(1, 2)


class ViCLIPTower(nn.Module):
    """What sees videos in a ViCLIP."""

    def __init__(self, config: ViCLIPConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.image = viclip.VideoTower(config)

    def forward(self, clip: Clip) -> Embeddings:
        """Embeddings of unit length."""
        return F.normalize(self.features(clip), dim=-1)

    def features(self, clip: Clip) -> Embeddings:
        """Embeddings, not of unit length."""
        return self.image.projected(self.image(clip)[:, 0])

    def tokens(self, clip: Clip) -> Tokens:
        """One vector per patch of every frame, in (t h w) order."""
        return self.image.projected(self.image(clip)[:, 1:])


class InternVideoTower(nn.Module):
    """What sees videos in an InternVideo."""

    def __init__(self, config: InternVideoConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.video = Encoder(config.video)
        self.video_norm = nn.LayerNorm(config.video.dim, eps=config.video.norm_eps)
        self.video_proj = shared_space(config.video.dim, config.embed_dim)

    def forward(self, clip: Clip) -> Embeddings:
        """Embeddings of unit length."""
        return F.normalize(self.features(clip), dim=-1)

    def features(self, clip: Clip) -> Embeddings:
        """Embeddings, not of unit length."""
        return self.video_proj(self.video_norm(self.video.features(clip)))

    def tokens(self, clip: Clip) -> Tokens:
        """One vector per patch of every frame, in (t h w) order."""
        return self.video_proj(self.video_norm(self.video.tokens(clip)))


VideoTower: TypeAlias = InternVideoTower | ViCLIPTower | XCLIPTower


def tower_of(config: VideoTextConfig) -> VideoTower:
    """A tower with fresh weights for a model's config."""
    if isinstance(config, XCLIPConfig):
        return XCLIPTower(config)
    return ViCLIPTower(config) if isinstance(config, ViCLIPConfig) else InternVideoTower(config)


def video_tower(model: VideoTextModel) -> VideoTower:
    """The video tower of a model, frozen; the two share their tensors."""
    with torch.device("meta"):
        tower = tower_of(model.config)
    names = tower.state_dict().keys()
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name in names}
    tower.load_state_dict(tensors, assign=True)
    return tower.requires_grad_(False).eval()
