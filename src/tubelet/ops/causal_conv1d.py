"""The causal depthwise convolution in front of every selective scan, with its SiLU.

    out_t = silu(bias + Σ_j weight_j ⊙ x_{t-(W-1)+j}),   x before the first step being zero

W taps per channel, the last of which reads the present step. A direction that runs backwards reads later steps
instead of earlier ones.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.ops import causal_conv1d_cpu
from tubelet.ops.backend import forward_mode, kernels_run


def causal_conv1d(
    x: Float[Tensor, "batch length channels"],
    weight: Float[Tensor, "..."],
    bias: Float[Tensor, "..."] | None = None,
    *,
    silu: bool = True,
    reverse: bool = False,
) -> Float[Tensor, "batch length channels"]:
    """One direction; `weight` is (channels, taps) and `bias` (channels,). A ConfigError where they do not fit."""
    directions = (reverse,)
    return _conv(x, weight[None], None if bias is None else bias[None], silu=silu, reverse=directions)[0]


def bidirectional_conv1d(
    x: Float[Tensor, "batch length channels"],
    weight: Float[Tensor, "..."],
    bias: Float[Tensor, "..."] | None = None,
    *,
    silu: bool = True,
) -> Float[Tensor, "2 batch length channels"]:
    """Forwards and backwards over the same input, each with weights of its own along a leading axis of 2."""
    return _conv(x, weight, bias, silu=silu, reverse=(False, True))


def conv_definition(
    x: Float[Tensor, "batch length channels"],
    weight: Float[Tensor, "directions channels taps"],
    bias: Float[Tensor, "directions channels"] | None,
    *,
    silu: bool,
    reverse: tuple[bool, ...],
) -> Float[Tensor, "directions batch length channels"]:
    """What every twin computes, in the finer of float32 and the type of x."""
    exact = torch.promote_types(x.dtype, torch.float32)
    taps = weight.shape[-1]
    out = []
    for k, backwards in enumerate(reverse):
        # Reading later steps with the taps in turn is reading earlier ones of the flipped sequence.
        kernel = weight[k].to(exact).flip(-1) if backwards else weight[k].to(exact)
        edges = (0, taps - 1) if backwards else (taps - 1, 0)
        padded = F.pad(x.to(exact).transpose(1, 2), edges)
        b = None if bias is None else bias[k].to(exact)
        y = F.conv1d(padded, kernel.unsqueeze(1), b, groups=x.shape[-1]).transpose(1, 2)
        out.append(F.silu(y) if silu else y)
    return torch.stack(out).to(x.dtype)


def _conv(x: Tensor, weight: Tensor, bias: Tensor | None, *, silu: bool, reverse: tuple[bool, ...]) -> Tensor:
    if x.ndim != 3 or not x.is_floating_point():
        raise ConfigError(
            f"x is {tuple(x.shape)} of {x.dtype}; a convolution needs floats (batch, length, channels)"
        )
    shape = (len(reverse), x.shape[-1])
    # One direction has its axis from us; the caller never saw it.
    hidden = 1 if len(reverse) == 1 else 0
    if weight.ndim != 3 or weight.shape[:2] != shape or weight.shape[-1] < 1:
        wanted = ", ".join([*map(str, shape[hidden:]), "taps"])
        raise ConfigError(
            f"the kernel is {tuple(weight.shape[hidden:])}; {x.shape[-1]} channels need ({wanted})"
        )
    if bias is not None and bias.shape != shape:
        raise ConfigError(
            f"the bias is {tuple(bias.shape[hidden:])}; {x.shape[-1]} channels need {shape[hidden:]}"
        )
    if min(x.shape) < 1:
        raise ConfigError(f"x is {tuple(x.shape)}; a convolution needs at least 1 clip, step and channel")
    if weight.shape[-1] <= causal_conv1d_cpu.MAX_TAPS and kernels_run(x) and not forward_mode():
        return fused_conv(x, weight, bias, silu, list(reverse))
    return conv_definition(x, weight, bias, silu=silu, reverse=reverse)


@torch.library.custom_op("tubelet::causal_conv1d", mutates_args=(), device_types="cpu")
def fused_conv(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: list[bool]) -> Tensor:
    """(directions, batch, length, channels) of x (batch, length, channels), for compilers one node."""
    return causal_conv1d_cpu.conv_forward(x, weight, bias, silu, tuple(reverse))


@torch.library.custom_op("tubelet::causal_conv1d_backward", mutates_args=(), device_types="cpu")
def fused_conv_backward(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: list[bool], grad_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias in float32; an empty one for a bias that was not given."""
    return causal_conv1d_cpu.conv_backward(x, weight, bias, silu, tuple(reverse), grad_out)


@fused_conv.register_kernel("cuda")
def _(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: list[bool]) -> Tensor:
    # Imported here: Triton is not on every machine.
    from tubelet.ops import causal_conv1d_triton

    return causal_conv1d_triton.conv_forward(x, weight, bias, silu, tuple(reverse))


@fused_conv_backward.register_kernel("cuda")
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: list[bool], grad_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from tubelet.ops import causal_conv1d_triton

    return causal_conv1d_triton.conv_backward(x, weight, bias, silu, tuple(reverse), grad_out)


@fused_conv.register_fake
def _(x, weight, bias, silu, reverse):
    return x.new_empty(len(reverse), *x.shape)


@fused_conv_backward.register_fake
def _(x, weight, bias, silu, reverse, grad_out):
    sizes = (x.shape, weight.shape, 0 if bias is None else bias.shape)
    return tuple(x.new_empty(size, dtype=torch.float32) for size in sizes)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, silu, reverse = inputs
    ctx.save_for_backward(x, weight, bias)
    ctx.options = silu, reverse


def _backward(ctx: Any, grad_out: Tensor) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    grads = fused_conv_backward(*tensors, *ctx.options, grad_out)
    cast = (None if x is None else g.to(x.dtype) for x, g in zip(tensors, grads, strict=True))
    return (*cast, None, None)


fused_conv.register_autograd(_backward, setup_context=_setup)
