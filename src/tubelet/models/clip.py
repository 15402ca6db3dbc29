"""CLIP: transferable visual models from natural language supervision (Radford et al., ICML 2021).

The image tower (section 2.4): a ViT with a class token, a norm before its blocks as well as after them, and a
linear map of the class token into the space that images share with texts. Video models start from it, or learn
from it as a teacher (`clip_teacher.py`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, run_blocks
from tubelet.layers.embed import patch_tubelets
from tubelet.ops.resample import resize_positions


@dataclass(frozen=True, kw_only=True)
class ImageTowerConfig:
    """A ViT over the patches of one image.

    `tubelet` is (frames, rows, columns). With more than one frame, as a teacher for models of longer tubelets
    has, so many frames of a clip together are one image; the published towers have 1.
    """

    dim: int
    depth: int
    num_heads: int
    embed_dim: int  # of the space shared with texts
    image_size: int = 224
    tubelet: tuple[int, int, int] = (1, 16, 16)
    channels: int = 3
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.dim % self.num_heads:
            raise ConfigError(f"dim {self.dim} does not divide into {self.num_heads} heads")
        if min(self.tubelet) < 1 or self.image_size < max(self.tubelet[1:]):
            raise ConfigError(f"image_size {self.image_size} has no room for a tubelet {self.tubelet}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens of one image along time (always 1), rows and columns, the class token aside."""
        return 1, self.image_size // self.tubelet[1], self.image_size // self.tubelet[2]


class FrameEmbed(nn.Module):
    """Every frame on its own: a class token, then its patches, each with its learned position."""

    def __init__(self, config: ImageTowerConfig):
        super().__init__()
        self.config = config
        dim, tubelet = config.dim, config.tubelet
        # The weights keep the shape of a convolution. It has no bias, because a norm follows at once.
        self.proj = nn.Conv3d(config.channels, dim, kernel_size=tubelet, stride=tubelet, bias=False)
        num_tokens = 1 + config.grid[1] * config.grid[2]
        self.cls_token = nn.Parameter(torch.randn(dim) * dim**-0.5)
        self.position = nn.Parameter(torch.randn(num_tokens, dim) * dim**-0.5)

    def grid(self, clip: Float[Tensor, "batch channels frames rows columns"]) -> tuple[int, int, int]:
        """Tokens along time, rows and columns; a ConfigError where the clip does not fit the tower."""
        config = self.config
        if clip.shape[1] != config.channels:
            raise ConfigError(f"the clip has {clip.shape[1]} channels; the model takes {config.channels}")
        t, h, w = (size // step for size, step in zip(clip.shape[2:], config.tubelet, strict=True))
        if min(t, h, w) < 1:
            raise ConfigError(
                f"a clip of {tuple(clip.shape[2:])} frames, rows and columns has no room for a tubelet "
                f"{config.tubelet}"
            )
        return t, h, w

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "images tokens dim"]:
        """The tokens of all frames of all clips; the frames of a clip are neighbours.

        Images of another size than the configured one get the table of positions resampled.
        """
        frames, rows, columns = self.grid(clip)
        tubelets = patch_tubelets(clip, self.config.tubelet).flatten(2)
        patches = F.linear(tubelets, self.proj.weight.flatten(1)).unflatten(1, (frames, -1)).flatten(0, 1)
        table = resize_positions(self.position[1:], self.config.grid, (1, rows, columns))
        first = (self.cls_token + self.position[0]).expand(len(patches), 1, -1)
        return torch.cat([first, patches + table], dim=1)


class QuickGeluMlp(nn.Module):
    """Widen, x · sigmoid(1.702 x), narrow: CLIP was trained with this approximation of GELU."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        hidden = self.fc1(tokens)
        return self.fc2(hidden * torch.sigmoid(1.702 * hidden))


def clip_block(dim: int, num_heads: int, mlp_ratio: float, norm_eps: float) -> Block:
    """A pre-norm block as both towers have it."""
    mlp = QuickGeluMlp(dim, int(dim * mlp_ratio))
    return Block(dim, Attention(dim, num_heads), mlp, norm_eps=norm_eps)


class ImageTower(nn.Module):
    """Images to embeddings. A clip is so many images: each frame is seen on its own."""

    def __init__(self, config: ImageTowerConfig):
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.recompute = False
        self.embed = FrameEmbed(config)
        self.pre_norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            [
                clip_block(config.dim, config.num_heads, config.mlp_ratio, config.norm_eps)
                for _ in range(config.depth)
            ]
        )
        self.post_norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.proj = nn.Linear(config.dim, config.embed_dim, bias=False)
        nn.init.normal_(self.proj.weight, std=config.dim**-0.5)

    def forward(
        self, images: Float[Tensor, "images channels rows columns"]
    ) -> Float[Tensor, "images embed_dim"]:
        """The embedding of every image, not of unit length."""
        if self.config.tubelet[0] != 1:
            raise ConfigError(f"a tower with tubelets {self.config.tubelet} takes clips, not single images")
        return self.proj(self.post_norm(self._stream(images[:, :, None])[:, 0]))

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame after the last norm, in (t h w) order, without class tokens."""
        patches = self.post_norm(self._stream(clip)[:, 1:])
        return patches.unflatten(0, (len(clip), -1)).flatten(1, 2)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The class token after the last norm, the mean over the frames: what `proj` maps to an embedding."""
        return self.post_norm(self._stream(clip)[:, 0]).unflatten(0, (len(clip), -1)).mean(dim=1)

    def _stream(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "images tokens dim"]:
        return run_blocks(self.blocks, self.pre_norm(self.embed(clip)), recompute=self.recompute)


BASE_16 = ImageTowerConfig(dim=768, depth=12, num_heads=12, embed_dim=512)
BASE_32 = ImageTowerConfig(dim=768, depth=12, num_heads=12, embed_dim=512, tubelet=(1, 32, 32))
LARGE_14 = ImageTowerConfig(dim=1024, depth=24, num_heads=16, embed_dim=768, tubelet=(1, 14, 14))
LARGE_14_336 = ImageTowerConfig(
    dim=1024, depth=24, num_heads=16, embed_dim=768, tubelet=(1, 14, 14), image_size=336
)

VARIANTS: dict[str, ImageTowerConfig] = {
    "clip_b16_image": BASE_16,
    "clip_b32_image": BASE_32,
    "clip_l14_image": LARGE_14,
    "clip_l14_336_image": LARGE_14_336,
}
