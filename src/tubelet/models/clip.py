"""CLIP: transferable visual models from natural language supervision (Radford et al., ICML 2021).

Two towers (section 2.4) map into one space. That of images is a ViT with a class token, a norm before its blocks
as well as after them, and a linear map of the class token; that of texts a transformer whose tokens see only what
stands before them, with a linear map of the end token. Video models start from them, or learn from the image
tower as a teacher (`clip_teacher.py`).
"""

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, run_blocks
from tubelet.layers.embed import patch_tubelets
from tubelet.ops.linear import scaled_linear
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
        first = (self.cls_token + self.position[0]).expand(patches.shape[0], 1, -1)
        return torch.cat([first, patches + table], dim=1)


class QuickGeluMlp(nn.Module):
    """Widen, x · sigmoid(1.702 x), narrow: CLIP was trained with this approximation of GELU."""

    def __init__(self, dim: int, hidden_dim: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        # x · sigmoid(1.702 x) is silu(1.702 x) / 1.702. One pass does it, since products take factors along.
        hidden = F.silu(scaled_linear(tokens, self.fc1.weight, 1.702 * self.fc1.bias, 1.702))
        return scaled_linear(hidden, self.fc2.weight, self.fc2.bias, 1 / 1.702)


def clip_block(
    dim: int,
    num_heads: int,
    mlp_ratio: float,
    norm_eps: float,
    *,
    causal: bool = False,
    drop_path: float = 0.0,
) -> Block:
    """A pre-norm block as both towers have it; `causal` in that of texts."""
    attn, mlp = Attention(dim, num_heads, causal=causal), QuickGeluMlp(dim, int(dim * mlp_ratio))
    return Block(dim, attn, mlp, norm_eps=norm_eps, drop_path=drop_path)


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


@dataclass(frozen=True, kw_only=True)
class TextTowerConfig:
    """A transformer over the tokens of one text, at most `context_length` of them with both markers."""

    dim: int
    depth: int
    num_heads: int
    embed_dim: int  # of the space shared with images
    vocab_size: int = 49408
    context_length: int = 77
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.num_heads < 1 or self.dim % self.num_heads:
            raise ConfigError(f"dim {self.dim} does not divide into {self.num_heads} heads")
        if min(self.vocab_size, self.context_length) < 1:
            raise ConfigError(
                f"a vocabulary of {self.vocab_size} tokens and a context of {self.context_length} hold no text"
            )


class TextEmbed(nn.Module):
    """The vector of every token, and of its place in the text."""

    def __init__(self, config: TextTowerConfig):
        super().__init__()
        self.token = nn.Embedding(config.vocab_size, config.dim)
        self.position = nn.Parameter(torch.randn(config.context_length, config.dim) * 0.01)
        nn.init.normal_(self.token.weight, std=0.02)

    def forward(self, tokens: Int64[Tensor, "texts length"]) -> Float[Tensor, "texts length dim"]:
        return self.token(tokens) + self.position[: tokens.shape[1]]


class TextTower(nn.Module):
    """Texts to embeddings, read off the end token: it has the largest id, and alone has seen all of its text."""

    def __init__(self, config: TextTowerConfig):
        super().__init__()
        self.config = config
        self.recompute = False
        self.embed = TextEmbed(config)
        self.blocks = nn.ModuleList(
            [
                clip_block(config.dim, config.num_heads, config.mlp_ratio, config.norm_eps, causal=True)
                for _ in range(config.depth)
            ]
        )
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.proj = nn.Linear(config.dim, config.embed_dim, bias=False)
        nn.init.normal_(self.proj.weight, std=config.dim**-0.5)

    def forward(self, tokens: Int64[Tensor, "texts length"]) -> Float[Tensor, "texts embed_dim"]:
        """The embedding of every text, not of unit length.

        A text ends at the first of its tokens with the largest id, so what pads it does not matter. Nothing after
        the longest text is computed: no token sees what follows it, so the result is the same. Token ids beyond
        the vocabulary and texts beyond the context are ConfigErrors.
        """
        tokens, ends = trimmed_texts(tokens, self.config)
        stream = run_blocks(self.blocks, self.embed(tokens), recompute=self.recompute)
        return self.proj(self.norm(stream[torch.arange(len(ends), device=ends.device), ends]))


def trimmed_texts(
    tokens: Int64[Tensor, "texts length"], config: TextTowerConfig
) -> tuple[Int64[Tensor, "texts trimmed"], Int64[Tensor, " texts"]]:
    """The tokens up to the end of the longest text, and where each text ends: at its first largest id.

    Token ids beyond the vocabulary and texts beyond the context are ConfigErrors.
    """
    if not len(tokens):
        return tokens[:, :0], tokens.new_zeros(0)
    if not tokens.shape[1]:
        raise ConfigError(f"{len(tokens)} texts without any token; each needs an end token at least")
    ends = tokens.argmax(dim=1)
    last = tokens.gather(1, ends[:, None])
    # One wait for the device instead of three.
    length, lowest, highest = torch.stack([ends.max() + 1, tokens.min(), last.max()]).tolist()
    if length > config.context_length:
        raise ConfigError(
            f"a text has {length} tokens; the model's context has room for {config.context_length}"
        )
    if lowest < 0 or highest >= config.vocab_size:
        raise ConfigError(
            f"token ids go from {lowest} to {highest}; the model's vocabulary has {config.vocab_size} tokens"
        )
    return tokens[:, :length], ends


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Both towers, which share one space."""

    image: ImageTowerConfig
    text: TextTowerConfig

    def __post_init__(self) -> None:
        if self.image.embed_dim != self.text.embed_dim:
            raise ConfigError(
                f"images have embeddings of {self.image.embed_dim} numbers, texts of {self.text.embed_dim}; "
                "both towers must share one space"
            )

    @property
    def encoder(self) -> ImageTowerConfig:
        """What looks at pixels."""
        return self.image


class Clip(nn.Module):
    """Images and texts that mean the same have embeddings of the same direction."""

    def __init__(self, config: ClipConfig):
        super().__init__()
        self.config = config
        self.dim = config.image.dim
        self.image = ImageTower(config.image)
        self.text = TextTower(config.text)
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))  # its logarithm; section 2.5

    def forward(
        self,
        images: Float[Tensor, "images channels rows columns"],
        tokens: Int64[Tensor, "texts length"],
    ) -> Float[Tensor, "images texts"]:
        """exp(logit_scale) · cosine of every image with every text."""
        return self.logits(self.image(images), self.text(tokens))

    def logits(
        self,
        image_embeddings: Float[Tensor, "images embed_dim"],
        text_embeddings: Float[Tensor, "texts embed_dim"],
    ) -> Float[Tensor, "images texts"]:
        """The same for embeddings, of any length, that both towers made before."""
        return scaled_cosines(self.logit_scale, image_embeddings, text_embeddings)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """The image tower's tokens."""
        return self.image.tokens(clip)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The image tower's features."""
        return self.image.features(clip)


def scaled_cosines(
    log_scale: Float[Tensor, ""],
    seen: Float[Tensor, "batch embed_dim"],
    texts: Float[Tensor, "classes embed_dim"] | Float[Tensor, "batch classes embed_dim"],
) -> Float[Tensor, "batch classes"]:
    """exp(log_scale) · cosine of all images or videos with all texts, or with each one's own.

    Always in float32: a scale of 100 would make steps of half a logit of what bfloat16 leaves of a cosine.
    """
    with torch.autocast(seen.device.type, enabled=False):
        seen, texts = F.normalize(seen.float(), dim=-1), F.normalize(texts.float(), dim=-1)
        cosines = seen @ texts.T if texts.ndim == 2 else (texts @ seen[:, :, None]).squeeze(-1)
        return log_scale.float().exp() * cosines


BASE_16 = ImageTowerConfig(dim=768, depth=12, num_heads=12, embed_dim=512)
BASE_32 = ImageTowerConfig(dim=768, depth=12, num_heads=12, embed_dim=512, tubelet=(1, 32, 32))
LARGE_14 = ImageTowerConfig(dim=1024, depth=24, num_heads=16, embed_dim=768, tubelet=(1, 14, 14))
LARGE_14_336 = ImageTowerConfig(
    dim=1024, depth=24, num_heads=16, embed_dim=768, tubelet=(1, 14, 14), image_size=336
)

BASE_TEXT = TextTowerConfig(dim=512, depth=12, num_heads=8, embed_dim=512)
LARGE_TEXT = TextTowerConfig(dim=768, depth=12, num_heads=12, embed_dim=768)

VARIANTS: dict[str, ClipConfig | ImageTowerConfig] = {
    "clip_b32": ClipConfig(image=BASE_32, text=BASE_TEXT),
    "clip_b16": ClipConfig(image=BASE_16, text=BASE_TEXT),
    "clip_l14": ClipConfig(image=LARGE_14, text=LARGE_TEXT),
    "clip_l14_336": ClipConfig(image=LARGE_14_336, text=LARGE_TEXT),
    "clip_b16_image": BASE_16,
    "clip_b32_image": BASE_32,
    "clip_l14_image": LARGE_14,
    "clip_l14_336_image": LARGE_14_336,
}
