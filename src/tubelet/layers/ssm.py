"""The bidirectional state-space mixer of VideoMamba and VideoMambaPro, one module with four switches."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.config import check_choices
from tubelet.errors import ConfigError
from tubelet.ops.causal_conv1d import bidirectional_conv1d, causal_conv1d
from tubelet.ops.selective_scan import bidirectional_scan, selective_scan


@dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """What a mixer computes. The defaults are VideoMamba's.

    Four switches make VideoMambaPro of it (Lu et al. 2024): `initial_state` "first" starts every state from the
    first input instead of zero, `mask_backward_diagonal` leaves a step's own input out of the backward scan so
    that it is not counted twice, `scan_input` says whether the convolved or the raw half of the input projection
    is scanned, and `share_directions` gives both directions one set of weights but for A.

    `halve_sum` divides the sum of the directions by two; `layer_scale` is the start of a learned factor per
    channel on the output. `conv_gradient` False lets no gradient through the convolution, which then never
    trains: what VideoMambaPro's published code does.

    `delta_init` is where steps start: "flat" at softplus(0) = 0.69 everywhere, as every published VideoMamba
    did, or "mamba", log-uniform from 0.001 to 0.1 as in Mamba (Gu and Dao 2023, section 3.6).
    """

    state_dim: int = 16
    conv_width: int = 4
    expand: float = 2.0
    delta_rank: int | None = None  # dim / 16, rounded up, where None
    linear_bias: bool = False
    conv_bias: bool = True
    bidirectional: bool = True
    initial_state: Literal["zero", "first"] = "zero"
    mask_backward_diagonal: bool = False
    scan_input: Literal["conv", "raw"] = "conv"
    share_directions: bool = False
    halve_sum: bool = False
    layer_scale: float | None = None
    conv_gradient: bool = True
    delta_init: Literal["flat", "mamba"] = "flat"

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("state_dim", "conv_width"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.expand <= 0:
            raise ConfigError(f"expand is {self.expand}; it must be positive")
        if self.delta_rank is not None and self.delta_rank < 1:
            raise ConfigError(f"delta_rank is {self.delta_rank}; it must be at least 1, or none for dim / 16")
        if not self.bidirectional and (
            self.mask_backward_diagonal or self.share_directions or self.halve_sum
        ):
            raise ConfigError("without a backward direction there is nothing to mask, share or halve")


class Decay(nn.Module):
    """How fast each state of each channel fades: A = -exp(A_log), from -1 to -states at the start."""

    def __init__(self, channels: int, states: int):
        super().__init__()
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(channels, 1))


class Direction(nn.Module):
    """The weights of one direction: convolution, input-dependent delta, B and C, decay and skip."""

    def __init__(self, channels: int, delta_rank: int, config: MixerConfig):
        super().__init__()
        states = config.state_dim
        self.conv = nn.Conv1d(channels, channels, config.conv_width, groups=channels, bias=config.conv_bias)
        self.x_proj = nn.Linear(channels, delta_rank + 2 * states, bias=False)
        self.delta_proj = nn.Linear(delta_rank, channels)
        self.A_log = Decay(channels, states).A_log
        self.D = nn.Parameter(torch.ones(channels))


class Mixer(nn.Module):
    """Tokens exchange information along their sequence, in time linear in its length (VideoMamba, section 3.2).

    Two halves of one projection: x is convolved and scanned forwards and backwards, z gates the sum.
    """

    def __init__(self, dim: int, config: MixerConfig):
        super().__init__()
        self.config = config
        channels = int(dim * config.expand + 1e-6)  # a ratio read off a file may fall short by a rounding
        if channels < 1:
            raise ConfigError(f"dim {dim} times expand {config.expand} leaves no channels")
        self.delta_rank = config.delta_rank or math.ceil(dim / 16)
        self.in_proj = nn.Linear(dim, 2 * channels, bias=config.linear_bias)
        self.ahead = Direction(channels, self.delta_rank, config)
        if config.bidirectional:
            shared = config.share_directions
            self.back = (
                Decay(channels, config.state_dim) if shared else Direction(channels, self.delta_rank, config)
            )
        self.out_proj = nn.Linear(channels, dim, bias=config.linear_bias)
        start = config.layer_scale
        self.scale = None if start is None else nn.Parameter(torch.full((dim,), start))

    def forward(self, tokens: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        x, z = self.in_proj(tokens).chunk(2, dim=-1)
        mixed = self._both(x, z) if self.config.bidirectional else self._ahead(x, z)
        if self.config.halve_sum:
            mixed = mixed / 2
        out = self.out_proj(mixed)
        return out if self.scale is None else out * self.scale

    def _ahead(self, x: Tensor, z: Tensor) -> Tensor:
        own = self.ahead
        convolved = self._passed(causal_conv1d(x, own.conv.weight.squeeze(1), own.conv.bias))
        delta, B, C = self._scan_parameters(convolved[None], [own])
        return selective_scan(
            self._scanned(x, convolved),
            delta[0],
            _fading(own.A_log),
            B[0],
            C[0],
            own.D,
            z,
            own.delta_proj.bias,
            initial_state=self.config.initial_state,
        ).out

    def _both(self, x: Tensor, z: Tensor) -> Tensor:
        config, own = self.config, self._directions()
        if config.share_directions:
            ahead = self._passed(causal_conv1d(x, self.ahead.conv.weight.squeeze(1), self.ahead.conv.bias))
            convolved = ahead.expand(2, *ahead.shape)
            parameters = self._scan_parameters(ahead[None], own)
            delta, B, C = (p.expand(2, *p.shape[1:]) for p in parameters)
        else:
            weight = _stack(own, lambda d: d.conv.weight.squeeze(1))
            bias = _stack(own, lambda d: d.conv.bias) if config.conv_bias else None
            convolved = self._passed(bidirectional_conv1d(x, weight, bias))
            delta, B, C = self._scan_parameters(convolved, own)
        decays: list[Tensor] = [self.ahead.A_log, self.back.A_log]
        return bidirectional_scan(
            self._scanned(x.expand(2, *x.shape), convolved),
            delta,
            _fading(torch.stack(decays)),
            B,
            C,
            _stack(own, lambda d: d.D).expand(2, -1),
            z,
            _stack(own, lambda d: d.delta_proj.bias).expand(2, -1),
            initial_state=config.initial_state,
            mask_backward_diagonal=config.mask_backward_diagonal,
        )

    def _directions(self) -> list[Direction]:
        """One set of weights, or one for each direction."""
        return [self.ahead, self.back] if isinstance(self.back, Direction) else [self.ahead]

    def _passed(self, convolved: Tensor) -> Tensor:
        return convolved if self.config.conv_gradient else convolved.detach()

    def _scanned(self, x: Tensor, convolved: Tensor) -> Tensor:
        return x if self.config.scan_input == "raw" else convolved

    def _scan_parameters(
        self, u: Float[Tensor, "directions batch length channels"], own: Iterable[Direction]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """delta before its bias, B and C, each with a leading axis of directions."""
        states = self.config.state_dim
        rows = u.flatten(1, 2)
        read = torch.bmm(rows, _stack(own, lambda d: d.x_proj.weight.T))
        low, B, C = read.split([self.delta_rank, states, states], dim=-1)
        delta = torch.bmm(low, _stack(own, lambda d: d.delta_proj.weight.T))
        delta, B, C = (p.unflatten(1, u.shape[1:3]) for p in (delta, B, C))
        return delta, B, C


def _fading(A_log: Tensor) -> Tensor:
    """A, at least in float32: it is multiplied along thousands of steps."""
    return -A_log.to(torch.promote_types(A_log.dtype, torch.float32)).exp()


def _stack(directions: Iterable[Direction], part: Callable[[Direction], Tensor | None]) -> Tensor:
    return torch.stack([value for value in map(part, directions) if value is not None])


def init_mixer(mixer: Mixer, depth: int) -> None:
    """Start a mixer as the published VideoMamba did, in a model of so many blocks.

    The output projection is narrowed by √depth, so that the sum over all blocks keeps its size.
    """
    for linear in (module for module in mixer.modules() if isinstance(module, nn.Linear)):
        nn.init.trunc_normal_(linear.weight, std=0.02, a=-2.0, b=2.0)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    nn.init.kaiming_uniform_(mixer.out_proj.weight, a=math.sqrt(5))
    with torch.no_grad():
        mixer.out_proj.weight.div_(math.sqrt(depth))
    if mixer.config.delta_init == "mamba":
        for direction in (module for module in mixer.modules() if isinstance(module, Direction)):
            _start_steps(direction)


def _start_steps(direction: Direction) -> None:
    bound = direction.delta_proj.in_features**-0.5
    nn.init.uniform_(direction.delta_proj.weight, -bound, bound)
    bias = direction.delta_proj.bias
    step = torch.empty_like(bias).uniform_(math.log(0.001), math.log(0.1)).exp()
    with torch.no_grad():
        bias.copy_(step + torch.log(-torch.expm1(-step)))  # the inverse of softplus
