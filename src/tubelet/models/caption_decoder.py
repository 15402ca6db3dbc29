"""The decoder that describes a video in words, as contrastive captioners have it (CoCa, Yu et al. 2022).

Learned queries gather what matters of all tokens of a video (CoCa, section 3.2). A text, which its own tower has
read from left to right, then asks them layer after layer, and every token predicts the one that follows it.
InternVideo (Wang et al. 2022) trains it beside the contrast of videos and texts. Heads share keys and values
(Shazeer 2019), attention and MLP of a layer work side by side (PaLM, Chowdhery et al. 2022), and texts know their
order by rotation (Su et al. 2021).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.ops.attention import attention, causal_attention

NORM_EPS = 1e-5
ROTARY_BASE = 10000.0


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """Sizes of a decoder; it is as wide as the texts it reads."""

    num_heads: int
    head_dim: int = 64
    depth: int = 4
    num_queries: int = 256  # that gather the tokens of a video
    mlp_ratio: float = 4.0

    def __post_init__(self) -> None:
        for name in ("num_heads", "head_dim", "depth", "num_queries"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; a caption decoder needs at least 1")
        if not self.mlp_ratio > 0:
            raise ConfigError(f"mlp_ratio is {self.mlp_ratio}; an MLP needs some width")
        if self.head_dim % 2:
            raise ConfigError(
                f"head_dim is {self.head_dim}; channels are rotated in pairs, so it must be even"
            )


class GainNorm(nn.Module):
    """A layer norm that learns its scale alone: the shift is stored, but never trained."""

    shift: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))
        self.register_buffer("shift", torch.zeros(dim))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        return F.layer_norm(tokens, self.scale.shape, self.scale, self.shift, NORM_EPS)


class SharedKeyAttention(nn.Module):
    """Queries of several heads gather from one key and one value per token of a context."""

    def __init__(self, dim: int, context_dim: int, num_heads: int, head_dim: int):
        super().__init__()
        self.num_heads = num_heads
        self.scale = head_dim**-0.5
        self.q = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.k = nn.Linear(context_dim, head_dim, bias=False)
        self.v = nn.Linear(context_dim, head_dim, bias=False)
        self.proj = nn.Linear(num_heads * head_dim, dim, bias=False)

    def forward(
        self,
        tokens: Float[Tensor, "batch queries dim"],
        context: Float[Tensor, "batch keys context_dim"],
    ) -> Float[Tensor, "batch queries dim"]:
        # With the same keys for all of them, the heads' queries are just more queries of one head.
        q = self.q(tokens).unflatten(-1, (self.num_heads, -1)).flatten(1, 2)
        k, v = self.k(context), self.v(context)
        answers = attention(q[:, None], k[:, None], v[:, None], self.scale)
        return self.proj(answers.squeeze(1).unflatten(1, (-1, self.num_heads)).flatten(2))


class VideoPooler(nn.Module):
    """As many vectors as there are learned queries for a video of any number of tokens."""

    def __init__(self, config: CaptionConfig, dim: int, video_dim: int):
        super().__init__()
        self.queries = nn.Parameter(torch.randn(config.num_queries, dim) * dim**-0.5)
        self.norm = GainNorm(dim)
        self.video_norm = GainNorm(video_dim)
        self.attn = SharedKeyAttention(dim, video_dim, config.num_heads, config.head_dim)
        self.pooled_norm = nn.LayerNorm(dim, eps=NORM_EPS)

    def forward(self, video: Float[Tensor, "batch tokens video_dim"]) -> Float[Tensor, "batch queries dim"]:
        queries = self.norm(self.queries.expand(len(video), -1, -1))
        return self.pooled_norm(self.attn(queries, self.video_norm(video)))


class ParallelSelfAttention(nn.Module):
    """Texts look back at themselves, and a gated MLP works on the same normed tokens; one matrix feeds both."""

    def __init__(self, config: CaptionConfig, dim: int):
        super().__init__()
        self.num_heads = config.num_heads
        self.scale = config.head_dim**-0.5
        width, hidden = config.num_heads * config.head_dim, int(dim * config.mlp_ratio)
        self.widths = (width, config.head_dim, config.head_dim, 2 * hidden)
        self.norm = GainNorm(dim)
        self.widen = nn.Linear(
            dim, sum(self.widths), bias=False
        )  # queries, a key, a value, the MLP's two halves
        self.proj = nn.Linear(width, dim, bias=False)
        self.narrow = nn.Linear(hidden, dim, bias=False)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], angles: Float[Tensor, "tokens head_dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        q, k, v, hidden = self.widen(self.norm(tokens)).split(self.widths, dim=-1)
        q = rotate(q.unflatten(-1, (self.num_heads, -1)).transpose(1, 2), angles)
        k, v = (x[:, None].expand(-1, self.num_heads, -1, -1) for x in (rotate(k, angles), v))
        answers = causal_attention(q, k, v, self.scale).transpose(1, 2).flatten(2)
        return self.proj(answers) + self.narrow(gated(hidden))


class ParallelCrossAttention(nn.Module):
    """Texts look at what was gathered of a video, and a gated MLP works on the same normed tokens."""

    def __init__(self, config: CaptionConfig, dim: int):
        super().__init__()
        hidden = int(dim * config.mlp_ratio)
        self.norm = GainNorm(dim)
        self.attn = SharedKeyAttention(dim, dim, config.num_heads, config.head_dim)
        self.widen = nn.Linear(dim, 2 * hidden, bias=False)
        self.narrow = nn.Linear(hidden, dim, bias=False)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], video: Float[Tensor, "batch queries dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        tokens = self.norm(tokens)
        return self.attn(tokens, video) + self.narrow(gated(self.widen(tokens)))


class CaptionLayer(nn.Module):
    """A look back at the text, then one at the video."""

    def __init__(self, config: CaptionConfig, dim: int):
        super().__init__()
        self.text = ParallelSelfAttention(config, dim)
        self.video = ParallelCrossAttention(config, dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        video: Float[Tensor, "batch queries dim"],
        angles: Float[Tensor, "tokens head_dim"],
    ) -> Float[Tensor, "batch tokens dim"]:
        tokens = tokens + self.text(tokens, angles)
        return tokens + self.video(tokens, video)


class CaptionDecoder(nn.Module):
    """Texts that have looked at their videos; no token has seen what follows it."""

    def __init__(self, config: CaptionConfig, dim: int, video_dim: int):
        super().__init__()
        self.config = config
        self.pooler = VideoPooler(config, dim, video_dim)
        self.text_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.layers = nn.ModuleList([CaptionLayer(config, dim) for _ in range(config.depth)])

    def forward(
        self,
        text: Float[Tensor, "batch tokens dim"],
        video: Float[Tensor, "batch video_tokens video_dim"],
    ) -> Float[Tensor, "batch tokens dim"]:
        """`text` holds the tokens that the text tower has read, `video` all tokens of a video, in any order."""
        pooled, tokens = self.pooler(video), self.text_norm(text)
        angles = rotary_angles(text.shape[1], self.config.head_dim).to(text.device)
        for layer in self.layers:
            tokens = layer(tokens, pooled, angles)
        return tokens


class WordPredictor(nn.Module):
    """Scores of every word of the vocabulary for what comes next."""

    def __init__(self, dim: int, vocab_size: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.fc1 = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.fc2 = nn.Linear(dim, vocab_size)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens words"]:
        return self.fc2(self.norm2(F.gelu(self.fc1(self.norm1(tokens)))))


def gated(hidden: Float[Tensor, "batch tokens both"]) -> Float[Tensor, "batch tokens hidden"]:
    """The first half of the channels, each as far as its partner in the second half lets it through (SwiGLU)."""
    values, gates = hidden.chunk(2, dim=-1)
    return values * F.silu(gates)


def rotary_angles(length: int, head_dim: int) -> Float[Tensor, "length head_dim"]:
    """By how much each channel turns at each place; channel i and its partner i + head_dim/2 turn together.

    >>> rotary_angles(3, 4)[:, 0].tolist()
    [0.0, 1.0, 2.0]
    """
    frequencies = ROTARY_BASE ** -(torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles, angles], dim=-1)


def rotate(
    x: Float[Tensor, "*batch tokens head_dim"], angles: Float[Tensor, "tokens head_dim"]
) -> Float[Tensor, "*batch tokens head_dim"]:
    """Channels turned in pairs, so that scores depend on how far apart two tokens are (Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    return x * angles.cos().to(x.dtype) + torch.cat([-second, first], dim=-1) * angles.sin().to(x.dtype)
