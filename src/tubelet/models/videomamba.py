"""VideoMamba: state-space model for efficient video understanding (Li et al., ECCV 2024), and VideoMambaPro.

A clip is cut into patches frame by frame, a class token goes in front, and every block mixes the whole sequence
by scanning it in both directions (section 3.2). There is neither attention nor an MLP, so cost grows linearly
with the number of frames. VideoMambaPro (Lu et al. 2024) is the same model with another mixer
(`layers.ssm.MixerConfig`).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tubelet.config import check_choices
from tubelet.errors import ConfigError
from tubelet.layers.drop import DropPath, drop_path_rates
from tubelet.layers.embed import TubeletEmbed, keep_rows
from tubelet.layers.scan_order import Order, in_order, inverse, temporal_order, with_cls
from tubelet.layers.ssm import Mixer, MixerConfig, init_mixer
from tubelet.ops.resample import resize_positions

# VideoMamba, and VideoMambaPro as the paper means it and as its published code computes it in two modes.
VIDEOMAMBA = MixerConfig()
PRO_INTENDED = MixerConfig(initial_state="first", mask_backward_diagonal=True)
PRO_V1 = MixerConfig(
    initial_state="first",
    mask_backward_diagonal=True,
    scan_input="raw",
    share_directions=True,
    conv_gradient=False,
)
PRO_V2 = MixerConfig(initial_state="first", scan_input="raw", conv_gradient=False)

ScanOrder = Literal["spatial", "temporal", "spacetime_half", "spacetime_both"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A stack of mixers over tubelets and a class token.

    `scan_order` is the order of tokens in a scan (figure 4): "spatial" goes through one frame after the other,
    as published; "temporal" through one place after the other; "spacetime_half" takes turns from block to block,
    so that half of all scans have either order; "spacetime_both" scans in both orders in every block, with the
    same weights, and averages, at twice the cost.

    `cls_position` "first" is published; it leaves the class token blind in the forward direction, where it
    has nothing before it. "middle" puts it between the two halves of the sequence.
    """

    dim: int
    depth: int
    num_frames: int = 8
    image_size: int | tuple[int, int] = 224  # rows and columns where they differ
    tubelet: tuple[int, int, int] = (1, 16, 16)  # frames, rows, columns
    channels: int = 3
    time_position: bool = True  # image models have none
    mixer: MixerConfig = VIDEOMAMBA
    scan_order: ScanOrder = "spatial"
    cls_position: Literal["first", "middle"] = "first"
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        check_choices(self)
        for name, size, step in zip(
            ("num_frames", "image_size", "image_size"), self.clip_size, self.tubelet, strict=True
        ):
            if size < step or step < 1:
                raise ConfigError(f"{name} {size} is smaller than a tubelet {self.tubelet}")
        for name in ("dim", "depth", "channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.norm_eps <= 0:
            raise ConfigError(f"norm_eps is {self.norm_eps}; it must be positive")
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"drop_path {self.drop_path} is not a share from 0 up to 1")

    @property
    def clip_size(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a clip."""
        size = self.image_size
        return self.num_frames, *((size, size) if isinstance(size, int) else size)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns; frames that fill no tubelet are left out."""
        t, h, w = (size // step for size, step in zip(self.clip_size, self.tubelet, strict=True))
        return t, h, w


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """An encoder and a linear head on the class token.

    `teacher_dim` adds the map to a teacher's features that self-distillation trains; it is the teacher's width.
    """

    encoder: EncoderConfig
    num_classes: int = 400
    dropout: float = 0.0
    teacher_dim: int | None = None

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; a classifier needs at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}; it is a share from 0 up to 1")
        if self.teacher_dim is not None and self.teacher_dim < 1:
            raise ConfigError(f"teacher_dim is {self.teacher_dim}; it must be at least 1, or none")


class MambaBlock(nn.Module):
    """tokens + mixer(norm(tokens)). The sum stays in float32, whatever the mixer computes in."""

    def __init__(self, config: EncoderConfig, drop_path: float):
        super().__init__()
        self.norm = fresh_norm(config)
        self.mixer = Mixer(config.dim, config.mixer)
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Float[Tensor, "batch length dim"], orders: tuple[Order, ...] = (None,)
    ) -> Float[Tensor, "batch length dim"]:
        """The mean over one or more scan orders, added to the tokens where they stand."""
        normed = normalize(self.norm, tokens).to(self.mixer.in_proj.weight.dtype)
        mixed = [in_order(self.mixer(in_order(normed, order)), inverse(order)) for order in orders]
        return tokens + self.drop_path(torch.stack(mixed).mean(dim=0) if len(mixed) > 1 else mixed[0])


class Encoder(nn.Module):
    """Embedded tubelets, positions in space and time, a class token, and blocks that scan all of them."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.recompute = False
        frames, rows, columns = config.grid
        self.embed = TubeletEmbed(config.dim, config.tubelet, config.channels)
        self.cls_token = nn.Parameter(torch.zeros(config.dim))
        # Row 0 belongs to the class token, the others to the places of a frame.
        self.position = nn.Parameter(torch.empty(1 + rows * columns, config.dim))
        self.time_position = nn.Parameter(torch.zeros(frames, config.dim)) if config.time_position else None
        # The last sum has the full rate, also in a model of one block.
        rates = [*drop_path_rates(config.drop_path, config.depth)[:-1], config.drop_path]
        self.blocks = nn.ModuleList([MambaBlock(config, rate) for rate in rates])
        self.norm = fresh_norm(config)
        nn.init.trunc_normal_(self.position, std=0.02, a=-2.0, b=2.0)
        for module in self.modules():
            if isinstance(module, Mixer):
                init_mixer(module, config.depth)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """The class token and the tubelets (the visible ones, where a mask is given) in (t h w) order, normed."""
        last = deque(self.streams(clip, visible), maxlen=1).pop()  # the others may be forgotten
        return normalize(self.norm, last)

    def streams(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Iterator[Float[Tensor, "batch length dim"]]:
        """What enters the first block, then what leaves every block; not normed, class token first."""
        tokens = self.embed_clip(clip, visible)
        # As published, what the blocks add up is kept in float32 also where they compute in less.
        tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        yield tokens
        orders = self.orders(self.embed.grid(clip), visible)
        for i, block in enumerate(self.blocks):
            own = orders if self.config.scan_order == "spacetime_both" else (orders[i % len(orders)],)
            if self.recompute and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, own, use_reentrant=False)
            else:
                tokens = block(tokens, own)
            yield tokens

    def embed_clip(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """The class token and the embedded tubelets with their positions.

        A clip of another size or length than the configured one gets both tables resampled, space bicubic and
        time linear. Frames beyond the last whole tubelet are left out.
        """
        check_clip(clip, self.config)
        frames, rows, columns = self.embed.grid(clip)
        own_frames, *own_size = self.config.grid
        place = resize_positions(self.position[1:], (1, own_size[0], own_size[1]), (1, rows, columns))
        position = place.repeat(frames, 1)
        if self.time_position is not None:
            moment = resize_positions(self.time_position, (own_frames, 1, 1), (frames, 1, 1))
            position = position + moment.repeat_interleave(rows * columns, dim=0)
        if visible is not None:
            check_visible(visible, len(clip), (frames, rows, columns))
            position = keep_rows(position, visible)
        tokens = self.embed(clip, visible) + position
        cls = (self.cls_token + self.position[0]).expand(len(clip), 1, -1)
        return torch.cat([cls.to(tokens.dtype), tokens], dim=1)

    def orders(
        self, grid: tuple[int, int, int], visible: Bool[Tensor, "batch tokens"] | None = None
    ) -> tuple[Order, ...]:
        """The one or two orders in which blocks scan."""
        names = {"spatial": "s", "temporal": "t"}.get(self.config.scan_order, "st")
        middle = self.config.cls_position == "middle"
        if names == "s" and not middle:
            return (None,)
        tokens = torch.arange(grid[0] * grid[1] * grid[2], device=self.cls_token.device)
        if visible is not None:
            tokens = tokens.expand_as(visible)[visible].reshape(len(visible), -1)
        spatial = torch.arange(tokens.shape[-1], device=tokens.device).expand_as(tokens)
        by_name = {"s": spatial, "t": temporal_order(tokens, grid)}
        return tuple(with_cls(by_name[name], middle=middle) for name in names)


def fresh_norm(config: EncoderConfig) -> nn.RMSNorm | nn.LayerNorm:
    """The kind of norm that a config asks for."""
    kind = nn.RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(config.dim, eps=config.norm_eps)


def normalize(
    norm: nn.RMSNorm | nn.LayerNorm, tokens: Float[Tensor, "batch length dim"]
) -> Float[Tensor, "batch length dim"]:
    """The normed tokens, computed in their own type also where the weights are of a coarser one."""
    if norm.weight.dtype == tokens.dtype:
        return norm(tokens)
    weight, shape = norm.weight.to(tokens.dtype), norm.normalized_shape
    if isinstance(norm, nn.LayerNorm):
        return F.layer_norm(tokens, shape, weight, norm.bias.to(tokens.dtype), norm.eps)
    return F.rms_norm(tokens, list(shape), weight, norm.eps)


def check_clip(clip: Float[Tensor, "batch channels frames rows columns"], config: EncoderConfig) -> None:
    """A ConfigError unless there are clips, of the model's channels, with a tubelet along each axis."""
    if not len(clip):
        raise ConfigError(f"the batch is empty {tuple(clip.shape)}; it needs at least 1 clip")
    if clip.shape[1] != config.channels:
        raise ConfigError(f"the clip has {clip.shape[1]} channels; the model takes {config.channels}")
    for name, size, least in zip(("frames", "rows", "columns"), clip.shape[2:], config.tubelet, strict=True):
        if size < least:
            raise ConfigError(f"the clip has {size} {name}; one tubelet of this model takes {least}")
    if config.time_position is False and clip.shape[2] // config.tubelet[0] != config.grid[0]:
        raise ConfigError(
            f"the clip has {clip.shape[2]} frames; this model knows no time and takes {config.num_frames} "
            "(a video model, inflated from it, takes any number)"
        )


def check_visible(visible: Bool[Tensor, "masks tokens"], batch: int, grid: tuple[int, int, int]) -> None:
    """A ConfigError unless a mask covers the grid and shows equally many tubelets, not none, of every clip."""
    num_tokens = grid[0] * grid[1] * grid[2]
    if visible.shape[1] != num_tokens:
        raise ConfigError(f"the mask covers {visible.shape[1]} tubelets; the clip has {num_tokens} {grid}")
    if len(visible) != batch:
        raise ConfigError(f"there are masks for {len(visible)} clips and {batch} clips")
    shown = visible.sum(dim=1)
    least, most = int(shown.min()), int(shown.max())
    if least != most:
        raise ConfigError(f"clips show {least} to {most} tubelets; all must show the same number")
    if not least:
        raise ConfigError(f"all {num_tokens} tubelets are masked; the encoder needs at least 1")


class VideoMambaClassifier(nn.Module):
    """Recognition of images and videos: the normed class token, dropout, a linear head."""

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = Encoder(config.encoder)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.dim, config.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=0.02, a=-2.0, b=2.0)
        nn.init.zeros_(self.head.bias)
        self.to_teacher = None
        if config.teacher_dim is not None:
            self.to_teacher = nn.Sequential(
                fresh_norm(config.encoder), nn.Linear(self.dim, config.teacher_dim)
            )

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per tubelet, in (t h w) order."""
        return self.encoder(clip)[:, 1:]

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """What the head classifies: the class token."""
        return self.encoder(clip)[:, 0]

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch classes"]:
        return self.head(self.dropout(self.features(clip).to(self.head.weight.dtype)))

    def distilled(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch length teacher_dim"]]:
        """Logits, and all tokens (the class token first) as unit vectors in the teacher's space (section 3.3)."""
        if self.to_teacher is None:
            raise ConfigError("this model has no map to a teacher; set teacher_dim to the teacher's width")
        encoded = self.encoder(clip).to(self.head.weight.dtype)
        return self.head(self.dropout(encoded[:, 0])), F.normalize(self.to_teacher(encoded), dim=-1)


NANO = EncoderConfig(dim=96, depth=4, num_frames=8, image_size=32, tubelet=(1, 8, 8))
TINY = EncoderConfig(dim=192, depth=24)
SMALL = EncoderConfig(dim=384, depth=24)
MIDDLE = EncoderConfig(dim=576, depth=32)
BASE = EncoderConfig(dim=768, depth=24)
SIZES = {"nano": NANO, "tiny": TINY, "small": SMALL, "middle": MIDDLE, "base": BASE}


def image_encoder(video: EncoderConfig) -> EncoderConfig:
    """The image model of a size: one frame, no positions in time."""
    return replace(video, num_frames=1, time_position=False)


def pro(encoder: EncoderConfig) -> EncoderConfig:
    """The same size with VideoMambaPro's mixer, as its paper means it."""
    return replace(encoder, mixer=PRO_INTENDED)


VARIANTS: dict[str, ClassifierConfig] = {
    **{f"videomamba_{size}": ClassifierConfig(encoder=e) for size, e in SIZES.items()},
    **{
        f"videomamba_{size}_image": ClassifierConfig(encoder=image_encoder(e), num_classes=1000)
        for size, e in SIZES.items()
    },
    **{f"videomambapro_{size}": ClassifierConfig(encoder=pro(SIZES[size])) for size in list(SIZES)[:4]},
    **{
        f"videomambapro_{size}_image": ClassifierConfig(
            encoder=pro(image_encoder(SIZES[size])), num_classes=1000
        )
        for size in list(SIZES)[:4]
    },
}
