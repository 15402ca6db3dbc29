"""VideoMAE: masked autoencoders are data-efficient learners for video (Tong et al., NeurIPS 2022).

A clip is cut into tubelets (section 3.3). In pre-training a tube mask hides nine tenths of them at the same
places in every frame (section 3.2); a plain ViT encodes what is left, and a light decoder predicts the pixels
of what is hidden. For recognition the decoder goes and the mean of all tokens is classified.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import Block, run_blocks
from tubelet.layers.drop import drop_path_rates
from tubelet.layers.embed import TubeletEmbed, keep, keep_rows, patch_tubelets
from tubelet.layers.mlp import Mlp
from tubelet.layers.position import sincos_positions
from tubelet.ops.resample import resize_positions


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A plain ViT over tubelets.

    `position` is the table added to the tokens: "sincos" is fixed, "learned" trains, and "frozen" is stored but
    never trained, which is what the published code does when asked for learned positions (it detaches them).
    A fixed table is computed for clips of these sizes, or for `position_grid` and resampled, which is how
    InternVideo trained models for longer and larger clips.
    """

    dim: int
    depth: int
    num_heads: int
    mlp_ratio: float = 4.0
    num_frames: int = 16
    image_size: int = 224
    tubelet: tuple[int, int, int] = (2, 16, 16)  # frames, rows, columns
    channels: int = 3
    position: Literal["sincos", "learned", "frozen"] = "sincos"
    position_grid: tuple[int, int, int] | None = None
    qv_bias: bool = True
    attention_scale: float | None = None  # 1/√head_dim where None
    layer_scale: float | None = None
    norm_eps: float = 1e-6
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        check_heads(self.dim, self.num_heads)
        for name, size, step in (
            ("num_frames", self.num_frames, self.tubelet[0]),
            ("image_size", self.image_size, self.tubelet[1]),
            ("image_size", self.image_size, self.tubelet[2]),
        ):
            if size < step or step < 1:
                raise ConfigError(f"{name} {size} is smaller than a tubelet {self.tubelet}")
        if self.position_grid is not None and (self.position != "sincos" or min(self.position_grid) < 1):
            raise ConfigError(
                f"position_grid is {self.position_grid} with position={self.position}; it is for "
                "position=sincos, and has frames, rows and columns of 1 or more"
            )
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"drop_path {self.drop_path} is not a share from 0 up to 1")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns."""
        t, h, w = self.tubelet
        return self.num_frames // t, self.image_size // h, self.image_size // w


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """An encoder and a linear head.

    `pool` is "mean" over all tokens followed by a norm, as published, or "first": the norm of all tokens, then
    the token at the top left of the first frames (VideoMAE has no class token).
    """

    encoder: EncoderConfig
    num_classes: int = 400
    pool: Literal["mean", "first"] = "mean"
    dropout: float = 0.0
    last_norm_eps: float | None = None  # of the norm after the mean; the encoder's where None
    head_init_scale: float = 0.001

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; a classifier needs at least 1")


@dataclass(frozen=True, kw_only=True)
class PretrainerConfig:
    """An encoder that sees visible tubelets and a narrow decoder that predicts the masked ones."""

    encoder: EncoderConfig
    decoder_dim: int
    decoder_depth: int
    decoder_num_heads: int
    decoder_mlp_ratio: float | None = None  # the encoder's where None
    normalize_target: bool = True
    last_norm_eps: float | None = None  # of the decoder's last norm; the encoder's where None

    def __post_init__(self) -> None:
        check_heads(self.decoder_dim, self.decoder_num_heads)


def check_heads(dim: int, num_heads: int) -> None:
    """Raise a ConfigError unless `dim` divides into heads."""
    if num_heads < 1 or dim % num_heads:
        raise ConfigError(f"dim {dim} does not divide into {num_heads} heads")


class Encoder(nn.Module):
    """Embedded tubelets + positions, then blocks.

    `last_norm` adds the norm after the last block, which pre-training and token-wise use have and mean pooling
    replaces by its own.
    """

    position: Tensor

    def __init__(self, config: EncoderConfig, *, last_norm: bool):
        super().__init__()
        self.config = config
        self.recompute = False
        self.embed = TubeletEmbed(config.dim, config.tubelet, config.channels)
        if config.position == "sincos":
            grid = config.position_grid or config.grid
            table = resize_positions(sincos_positions(prod(grid), config.dim), grid, config.grid)
            self.register_buffer("position", table, persistent=False)
        else:
            table = torch.empty(prod(config.grid), config.dim)
            nn.init.trunc_normal_(table, std=0.02, a=-2.0, b=2.0)
            self.position = nn.Parameter(table, requires_grad=config.position == "learned")
        rates = drop_path_rates(config.drop_path, config.depth)
        self.blocks = nn.ModuleList([encoder_block(config, rate) for rate in rates])
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps) if last_norm else nn.Identity()

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch kept dim"]:
        """Tokens of the tubelets (only of the visible ones where a mask is given), in (t h w) order.

        A clip of another size or length than the configured one gets the table of positions resampled.
        """
        return self.norm(run_blocks(self.blocks, self.embedded(clip, visible), recompute=self.recompute))

    def embedded(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch kept dim"]:
        """What the first block is given."""
        if clip.shape[1] != self.config.channels:
            raise ConfigError(
                f"the clip has {clip.shape[1]} channels; the model takes {self.config.channels}"
            )
        position = resize_positions(self.position, self.config.grid, self.embed.grid(clip))
        if visible is not None:
            position = keep_rows(position, visible)
        return self.embed(clip, visible) + position


def encoder_block(config: EncoderConfig, drop_path: float) -> Block:
    """A block of the encoder. Keys have no bias, as in BEiT: softmax would ignore it."""
    return Block(
        config.dim,
        Attention(
            config.dim,
            config.num_heads,
            q_bias=config.qv_bias,
            k_bias=False,
            v_bias=config.qv_bias,
            scale=config.attention_scale,
        ),
        Mlp(config.dim, int(config.dim * config.mlp_ratio)),
        norm_eps=config.norm_eps,
        layer_scale=config.layer_scale,
        drop_path=drop_path,
    )


class VideoMAEClassifier(nn.Module):
    """Action recognition: the mean of all tokens, a norm, a linear head (section 3.3, fine-tuning)."""

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        mean = config.pool == "mean"
        self.encoder = Encoder(config.encoder, last_norm=not mean)
        eps = config.last_norm_eps or config.encoder.norm_eps
        self.pool_norm = nn.LayerNorm(self.dim, eps=eps) if mean else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.dim, config.num_classes)
        self.apply(init_classifier_part)
        with torch.no_grad():
            self.head.weight.mul_(config.head_init_scale)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per tubelet, in (t h w) order."""
        return self.encoder(clip)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """What the head classifies: one vector per clip."""
        tokens = self.tokens(clip)
        return self.pool_norm(tokens.mean(dim=1) if self.config.pool == "mean" else tokens[:, 0])

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch classes"]:
        return self.head(self.dropout(self.features(clip)))


class VideoMAEPretrainer(nn.Module):
    """Masked video autoencoding (section 3.1): an encoder of what is visible, a decoder of what is masked."""

    def __init__(self, config: PretrainerConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = Encoder(config.encoder, last_norm=True)
        self.to_decoder = nn.Linear(self.dim, config.decoder_dim, bias=False)
        self.mask_token = nn.Parameter(torch.empty(config.decoder_dim))
        self.decoder = Decoder(config)
        self.encoder.apply(init_pretrainer_part)
        self.decoder.apply(init_pretrainer_part)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per tubelet of an unmasked clip, in (t h w) order."""
        return self.encoder(clip)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The mean of the tokens of an unmasked clip."""
        return self.tokens(clip).mean(dim=1)

    def decoder_input(
        self,
        encoded: Float[Tensor, "batch visible dim"],
        masked: Bool[Tensor, "batch tokens"],
        grid: tuple[int, int, int],
    ) -> Float[Tensor, "batch tokens decoder_dim"]:
        """Visible tokens first, then one mask token per masked place; each with its position."""
        position = resize_positions(self.decoder.position, self.config.encoder.grid, grid)
        shown = self.to_decoder(encoded) + keep_rows(position, ~masked)
        hidden = self.mask_token + keep_rows(position, masked)
        return torch.cat([shown, hidden], dim=1)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch masked pixels"]:
        """Predicted pixels of the masked tubelets in the order of `tubelet_targets`.

        Every sample masks the same number of tubelets. Where nothing is masked, all are predicted.
        """
        grid = self.encoder.embed.grid(clip)
        num_masked = check_mask(masked, grid)
        tokens = self.decoder_input(self.encoder(clip, ~masked), masked, grid)
        return self.decoder(tokens, num_predicted=num_masked or tokens.shape[1])


class Decoder(nn.Module):
    """A few narrow blocks over all tokens and a linear map to the pixels of a tubelet."""

    position: Tensor

    def __init__(self, config: PretrainerConfig):
        super().__init__()
        encoder, dim = config.encoder, config.decoder_dim
        self.recompute = False
        grid = encoder.grid
        self.register_buffer("position", sincos_positions(grid[0] * grid[1] * grid[2], dim), persistent=False)
        # The decoder is an encoder without stochastic depth, of another width.
        block = replace(
            encoder,
            dim=dim,
            depth=config.decoder_depth,
            num_heads=config.decoder_num_heads,
            mlp_ratio=config.decoder_mlp_ratio or encoder.mlp_ratio,
        )
        self.blocks = nn.ModuleList([encoder_block(block, 0.0) for _ in range(config.decoder_depth)])
        self.norm = nn.LayerNorm(dim, eps=config.last_norm_eps or encoder.norm_eps)
        t, h, w = encoder.tubelet
        self.head = nn.Linear(dim, t * h * w * encoder.channels)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], num_predicted: int
    ) -> Float[Tensor, "batch predicted pixels"]:
        """Pixels of the last `num_predicted` tokens."""
        tokens = run_blocks(self.blocks, tokens, recompute=self.recompute)
        return self.head(self.norm(tokens[:, -num_predicted:]))


def tubelet_targets(
    clip: Float[Tensor, "batch channels frames rows columns"],
    masked: Bool[Tensor, "batch tokens"],
    tubelet: tuple[int, int, int],
    *,
    normalize: bool,
) -> Float[Tensor, "batch masked pixels"]:
    """What the decoder has to predict: pixels of the masked tubelets (of all where nothing is masked).

    `clip` holds values from 0 to 1. Pixels are ordered (frame, row, column, channel). `normalize` standardizes
    each channel of each tubelet with its own mean and (unbiased) deviation, which the paper found to help.
    """
    tubelets = patch_tubelets(clip, tubelet)
    if masked.any():
        tubelets = keep(tubelets, masked)
    pixels = tubelets.flatten(3)  # (batch, masked, channels, pixels of one channel)
    if normalize:
        # torch's own variance takes ten times as long on a CPU.
        centred = pixels - pixels.mean(dim=-1, keepdim=True)
        deviation = torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / (pixels.shape[-1] - 1) ** 0.5
        pixels = centred / (deviation + 1e-6)
    return pixels.transpose(2, 3).flatten(2)


def check_mask(masked: Bool[Tensor, "batch tokens"], grid: tuple[int, int, int]) -> int:
    """How many tubelets each sample masks; a ConfigError where samples differ or the mask does not fit."""
    num_tokens = grid[0] * grid[1] * grid[2]
    if masked.shape[1] != num_tokens:
        raise ConfigError(f"the mask covers {masked.shape[1]} tubelets; the clip has {num_tokens} {grid}")
    counts = masked.sum(dim=1).tolist()
    if len(set(counts)) > 1:
        raise ConfigError(
            f"samples mask {min(counts)} to {max(counts)} tubelets; all must mask the same number"
        )
    if counts[0] == num_tokens:
        raise ConfigError(f"all {num_tokens} tubelets are masked; the encoder needs at least 1")
    return counts[0]


def init_classifier_part(module: nn.Module) -> None:
    """Linear weights from a normal of deviation 0.02. Convolutions keep PyTorch's own start, as published."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-2.0, b=2.0)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_pretrainer_part(module: nn.Module) -> None:
    """Xavier-uniform linear weights; q, k and v as the one (3·dim, dim) matrix they were published as."""
    if isinstance(module, Attention):
        dim = module.q.in_features
        for linear in (module.q, module.k, module.v):
            bound = (6 / (dim + 3 * dim)) ** 0.5
            nn.init.uniform_(linear.weight, -bound, bound)
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


TINY = EncoderConfig(dim=96, depth=4, num_heads=3, num_frames=8, image_size=32, tubelet=(2, 8, 8))
SMALL = EncoderConfig(dim=384, depth=12, num_heads=6)
BASE = EncoderConfig(dim=768, depth=12, num_heads=12)
LARGE = EncoderConfig(dim=1024, depth=24, num_heads=16)
HUGE = EncoderConfig(dim=1280, depth=32, num_heads=16)

VARIANTS: dict[str, ClassifierConfig | PretrainerConfig] = {
    "videomae_tiny": ClassifierConfig(encoder=TINY),
    "videomae_small": ClassifierConfig(encoder=SMALL),
    "videomae_base": ClassifierConfig(encoder=BASE),
    "videomae_large": ClassifierConfig(encoder=LARGE),
    "videomae_huge": ClassifierConfig(encoder=HUGE),
    "videomae_tiny_pretrain": PretrainerConfig(
        encoder=TINY, decoder_dim=48, decoder_depth=2, decoder_num_heads=3
    ),
    "videomae_small_pretrain": PretrainerConfig(
        encoder=SMALL, decoder_dim=192, decoder_depth=4, decoder_num_heads=3
    ),
    "videomae_base_pretrain": PretrainerConfig(
        encoder=BASE, decoder_dim=384, decoder_depth=4, decoder_num_heads=6
    ),
    "videomae_large_pretrain": PretrainerConfig(
        encoder=LARGE, decoder_dim=512, decoder_depth=12, decoder_num_heads=8
    ),
    "videomae_huge_pretrain": PretrainerConfig(
        encoder=HUGE, decoder_dim=640, decoder_depth=12, decoder_num_heads=8
    ),
}
