"""Masked pre-training of VideoMamba: its visible tokens learn to match a frozen CLIP's (section 3.4; UMT)."""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.config import check_choices
from tubelet.errors import ConfigError
from tubelet.layers.embed import keep_rows
from tubelet.layers.position import sincos_positions
from tubelet.models.clip_teacher import aligned_layers
from tubelet.models.videomamba import SIZES, Encoder, EncoderConfig, normalize


@dataclass(frozen=True, kw_only=True)
class PretrainerConfig:
    """An encoder of visible tubelets and one small decoder for each aligned block.

    Aligned are the last block and, with more `num_aligned`, blocks `interval` apart before it. Every aligned
    feature is normed by the encoder's last norm. The published code treats the last block otherwise:
    "before_last_block" takes the sum that enters it, not normed, so that neither it nor the norm ever trains
    (as in every published checkpoint); "stream" takes what leaves it, not normed.
    """

    encoder: EncoderConfig
    target_dim: int = 512
    num_aligned: int = 1
    interval: float = 1.0
    normalize: bool = True
    last_feature: Literal["norm", "stream", "before_last_block"] = "norm"

    def __post_init__(self) -> None:
        check_choices(self)
        if self.target_dim < 1 or self.num_aligned < 1:
            raise ConfigError(
                f"target_dim is {self.target_dim} and num_aligned {self.num_aligned}; both must be at least 1"
            )
        aligned_layers(self.encoder.depth, self.num_aligned, self.interval)


class AlignedDecoder(nn.Module):
    """From the student's features, with their positions, to the teacher's: a linear map and a norm."""

    def __init__(self, dim: int, target_dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, target_dim)
        self.norm = nn.LayerNorm(target_dim)
        nn.init.trunc_normal_(self.proj.weight, std=0.02, a=-2.0, b=2.0)
        nn.init.zeros_(self.proj.bias)

    def forward(
        self, features: Float[Tensor, "batch length dim"]
    ) -> Float[Tensor, "batch length target_dim"]:
        return self.norm(self.proj(features.to(self.proj.weight.dtype)))


class VideoMambaPretrainer(nn.Module):
    """Visible tubelets in, one prediction of the teacher's feature for each of them out."""

    def __init__(self, config: PretrainerConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = Encoder(config.encoder)
        self.decoders = nn.ModuleList(
            [AlignedDecoder(self.dim, config.target_dim) for _ in range(config.num_aligned)]
        )
        table = sincos_positions(1 + prod(config.encoder.grid), self.dim)
        self.register_buffer("position", table, persistent=False)
        self.position: Tensor

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per tubelet of an unmasked clip, in (t h w) order."""
        return self.encoder(clip)[:, 1:]

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The class token of an unmasked clip."""
        return self.encoder(clip)[:, 0]

    def aligned(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None,
    ) -> list[Float[Tensor, "batch length dim"]]:
        """Features of the aligned blocks, shallow ones first, before their decoders."""
        config = self.config
        last = config.encoder.depth - 1
        wanted = aligned_layers(config.encoder.depth, config.num_aligned, config.interval)
        streams = list(self.encoder.streams(clip, visible))
        features = [normalize(self.encoder.norm, streams[layer + 1]) for layer in wanted if layer != last]
        if config.last_feature == "norm":
            return [*features, normalize(self.encoder.norm, streams[last + 1])]
        return [*features, streams[last + (config.last_feature == "stream")]]

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "aligned batch length target_dim"]:
        """Predictions for the class token and the visible tubelets; unit vectors where `normalize` is set."""
        visible = None if masked is None else ~masked
        features = self.aligned(clip, visible)
        position = self.decoder_position(clip, visible)
        predicted = torch.stack(
            [decoder(feature + position) for decoder, feature in zip(self.decoders, features, strict=True)]
        )
        return F.normalize(predicted, dim=-1) if self.config.normalize else predicted

    def decoder_position(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None,
    ) -> Float[Tensor, "batch length dim"]:
        """A fixed sine-cosine table over the whole sequence, the class token at position 0."""
        frames, rows, columns = self.encoder.embed.grid(clip)
        length = 1 + frames * rows * columns
        fits = length == len(self.position)
        table = self.position if fits else sincos_positions(length, self.dim).to(clip.device)
        if visible is None:
            return table.expand(len(clip), -1, -1)
        return torch.cat([table[:1].expand(len(clip), 1, -1), keep_rows(table[1:], visible)], dim=1)


VARIANTS: dict[str, PretrainerConfig] = {
    **{f"videomamba_{size}_pretrain": PretrainerConfig(encoder=encoder) for size, encoder in SIZES.items()},
}
VARIANTS["videomamba_nano_pretrain"] = replace(VARIANTS["videomamba_nano_pretrain"], target_dim=64)
