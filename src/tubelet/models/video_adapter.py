"""A head that remembers the few videos it was shown: Tip-Adapter (Zhang et al., ECCV 2022) on videos.

The embeddings of the shown videos are keys, their classes the values. A new video asks how near it is to each
key, and what it hears joins what the names of the classes say of it (section 3.1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.models.uniformerv2 import EncoderConfig
from tubelet.models.video_text import VideoTextConfig


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """The model whose videos are embedded, how many of them are remembered, and how loudly they speak.

    `alpha` weighs what the keys say, and `beta` is how fast a key falls silent with distance; both start as in
    the paper. `scale` multiplies the cosines with the texts of the classes, as in the model they come from; it is
    0 where there are no texts.
    """

    video: VideoTextConfig
    num_classes: int
    num_keys: int
    alpha: float = 1.0
    beta: float = 5.5
    scale: float = 0.0

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ConfigError(f"num_classes is {self.num_classes}; there is nothing to tell apart below 2")
        if self.num_keys < 1:
            raise ConfigError(f"num_keys is {self.num_keys}; an adapter remembers 1 video at least")
        for name in ("alpha", "beta", "scale"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be a number of 0 or more")

    @property
    def encoder(self) -> VideoTextConfig | EncoderConfig:
        """What sees the clips."""
        return getattr(self.video, "encoder", self.video)


class AdapterHead(nn.Module):
    """Logits of classes from keys with known classes and, where there are texts of them, from those too.

    Texts are compared as they are. Video-specific prompts would move them, and are left out.
    """

    def __init__(self, config: AdapterConfig):
        super().__init__()
        self.config = config
        dim = config.video.embed_dim
        self.keys = nn.Parameter(F.normalize(torch.randn(config.num_keys, dim), dim=-1))
        self.register_buffer(
            "values", torch.zeros(config.num_keys, dtype=torch.int64)
        )  # the class of each key
        self.values: Tensor
        self.register_buffer("texts", torch.zeros(config.num_classes, dim) if config.scale else None)
        self.texts: Tensor | None

    def forward(self, embedding: Float[Tensor, "batch embed_dim"]) -> Float[Tensor, "batch classes"]:
        """For embeddings of unit length."""
        config = self.config
        near = nearness(embedding @ F.normalize(self.keys, dim=-1).T, config.beta)
        logits = config.alpha * told(near, self.values, config.num_classes)
        if self.texts is None:
            return logits
        return logits + config.scale * embedding @ F.normalize(self.texts, dim=-1).T


def nearness(cosines: Float[Tensor, "*batch keys"], beta: float) -> Float[Tensor, "*batch keys"]:
    """exp(-beta (1 - cosine)): 1 at a key, and less the farther from it."""
    return torch.exp(-beta * (1 - cosines))


def told(
    near: Float[Tensor, "*batch keys"], values: Int64[Tensor, "keys"], num_classes: int
) -> Float[Tensor, "*batch classes"]:
    """What the keys say of every class: the nearness of those that are of it, added up."""
    return near @ F.one_hot(values, num_classes).to(near.dtype)
