"""Video transformers with attention as torch has it, to measure a state-space model against.

Both cut a clip into 16×16 patches of single frames and have the width and depth of DeiT-Tiny. `JointAttention`
lets every token attend to every other, as a ViT does; `DividedAttention` first to the same place in all frames,
then to its own frame (TimeSformer, Bertasius et al. 2021, section 3). Neither is trained here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM, DEPTH, HEADS, PATCH = 192, 12, 3, 16


class FusedAttention(nn.Module):
    """Self-attention over the last but one axis, by torch's fused kernel."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm, self.qkv, self.proj = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(tokens)).unflatten(-1, (3, self.num_heads, -1)).transpose(1, 3).unbind(2)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class UnfusedAttention(FusedAttention):
    """The same with the matrix of probabilities in memory, as the paper's own speed comparison has it."""

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(tokens)).unflatten(-1, (3, self.num_heads, -1)).transpose(1, 3).unbind(2)
        shares = torch.matmul(q * q.shape[-1] ** -0.5, k.transpose(-2, -1)).softmax(dim=-1)
        return self.proj(torch.matmul(shares, v).transpose(1, 2).flatten(2))


class Widen(nn.Sequential):
    """The perceptron of a block."""

    def __init__(self, dim: int):
        super().__init__(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class Embed(nn.Module):
    """Patches as (batch, frames, places, dim); positions cost nothing worth measuring and are left out."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(3 * PATCH**2, dim)

    def forward(self, clip: Tensor) -> Tensor:
        patches = clip.unfold(3, PATCH, PATCH).unfold(4, PATCH, PATCH)
        return self.proj(patches.permute(0, 2, 3, 4, 1, 5, 6).flatten(4).flatten(2, 3))


class JointAttention(nn.Module):
    """All tokens of a clip attend to one another: cost grows with the square of the number of frames."""

    def __init__(self, *, fused: bool = True):
        super().__init__()
        kind = FusedAttention if fused else UnfusedAttention
        self.embed = Embed(DIM)
        self.attention = nn.ModuleList([kind(DIM, HEADS) for _ in range(DEPTH)])
        self.widen = nn.ModuleList([Widen(DIM) for _ in range(DEPTH)])
        self.head = nn.Linear(DIM, 400)

    def forward(self, clip: Tensor) -> Tensor:
        tokens = self.embed(clip).flatten(1, 2)
        for attention, widen in zip(self.attention, self.widen, strict=True):
            tokens = tokens + attention(tokens)
            tokens = tokens + widen(tokens)
        return self.head(tokens.mean(dim=1))


class DividedAttention(nn.Module):
    """Attention along time, then within frames: linear in frames but for the short sequences along time."""

    def __init__(self):
        super().__init__()
        self.embed = Embed(DIM)
        self.along_time = nn.ModuleList([FusedAttention(DIM, HEADS) for _ in range(DEPTH)])
        self.within_frames = nn.ModuleList([FusedAttention(DIM, HEADS) for _ in range(DEPTH)])
        self.widen = nn.ModuleList([Widen(DIM) for _ in range(DEPTH)])
        self.head = nn.Linear(DIM, 400)

    def forward(self, clip: Tensor) -> Tensor:
        tokens = self.embed(clip)
        batch, frames, places = tokens.shape[:3]
        for along, within, widen in zip(self.along_time, self.within_frames, self.widen, strict=True):
            by_place = tokens.transpose(1, 2).flatten(0, 1)
            by_place = by_place + along(by_place)
            by_frame = by_place.view(batch, places, frames, -1).transpose(1, 2).flatten(0, 1)
            by_frame = by_frame + within(by_frame)
            tokens = (by_frame + widen(by_frame)).view(batch, frames, places, -1)
        return self.head(tokens.mean(dim=(1, 2)))
