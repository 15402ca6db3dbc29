"""The GPU twin of the causal convolution: Triton kernels behind `conv_forward` and `conv_backward`.

Compiled for GPUs of compute capability 9.0 and checked in Triton's interpreter, but never yet run on a GPU:
`python -m benchmarks.gpu` will say.

A program takes a span of steps of some channels through all directions at once. At step t it holds the inputs of
steps t to t + W - 1: all that a backward direction reads for its output t, and a forward one for t + W - 1. So
every input is read once, and in the backward pass every output computed once more. W is the number of taps.
"""

# Triton knows sums of tuples, but no stars.
# ruff: noqa: RUF005

from inspect import unwrap
from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 128  # channels: four for each lane of a warp
SPAN = 64  # steps
ROWS = tl.constexpr(4)  # steps whose rows are asked for together
LOG2_E = tl.constexpr(1.4426950408889634)


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """(directions, batch, length, channels) in the type of x."""
    x, taps, shift = _inputs(x, weight, bias)
    out = x.new_empty(len(reverse), *x.shape)
    _launch(conv_kernel, reverse, x, taps, shift, out, x.stride(), SILU=silu)
    return out


def conv_backward(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: tuple[bool, ...], grad_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias in float32; empty for a bias that was not given."""
    x, taps, shift = _inputs(x, weight, bias)
    grad_x = x.new_empty(x.shape, dtype=torch.float32)
    parts = len(x) * -(-x.shape[1] // SPAN)
    # The last row is the bias. Every program has sums of its own, so that the order of additions never changes.
    sums = grad_x.new_empty(parts, len(reverse), taps.shape[1] + 1, x.shape[2])
    _launch(
        conv_gradient_kernel,
        reverse,
        x,
        taps,
        shift,
        grad_out.contiguous(),
        grad_x,
        sums,
        x.stride(),
        SILU=silu,
    )
    total = sums.sum(0)
    grad_bias = total[:, -1].clone() if bias is not None else grad_x.new_empty(0)
    return grad_x, total[:, :-1].transpose(-1, -2).contiguous(), grad_bias


def _inputs(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """x with channels side by side, taps (directions, taps, channels), and zeros where there is no bias."""
    taps = weight.float().transpose(-1, -2).contiguous()
    shift = taps.new_zeros(taps[:, 0].shape) if bias is None else bias.float().contiguous()
    return x if x.stride(-1) == 1 else x.contiguous(), taps, shift


def _launch(
    kernel: Any, reverse: tuple[bool, ...], x: Tensor, taps: Tensor, *arguments: Any, SILU: bool
) -> None:
    batch, length, channels = x.shape
    with torch.cuda.device_of(x):
        kernel[(-(-channels // BLOCK), batch, -(-length // SPAN))](
            x, taps, *arguments, batch, length, channels,
            K=len(reverse), REVERSED=sum(on << k for k, on in enumerate(reverse)), TAPS=taps.shape[1], SILU=SILU,
            BLOCK=BLOCK, SPAN=SPAN, num_warps=1, enable_fp_fusion=True,
        )  # fmt: skip


@triton.jit
@unwrap
def sigmoid(x):
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
@unwrap
@no_type_check
def vectors(base, channel, real, channels, NUM: tl.constexpr):
    """NUM rows of parameters."""
    found = ()
    for j in tl.static_range(NUM):
        found = found + (tl.load(base + j * channels + channel, mask=real, other=0.0),)
    return found


@triton.jit
@unwrap
@no_type_check
def steps(base, stride, first, length, channel, real, NUM: tl.constexpr):
    """NUM rows from step `first` on, in float32; zero outside the clip."""
    found = ()
    until = tl.where(real, length, 0)
    for j in tl.static_range(NUM):
        t = first + j + 0 * channel
        at = base + (first + j) * stride
        found = found + (tl.load(at + channel, mask=(t >= 0) & (t < until), other=0.0).to(tl.float32),)
    return found


@triton.jit
@unwrap
@no_type_check
def weighted(window, taps, shift, TAPS: tl.constexpr, TURNED: tl.constexpr):
    """The sum over taps; TURNED pairs the first tap with the last step."""
    total = shift
    for j in tl.static_range(TAPS):
        total += taps[j] * (window[TAPS - 1 - j] if TURNED else window[j])
    return total


@triton.jit
@unwrap
@no_type_check
def conv_kernel(
    x, weight, bias, out, x_strides, batch, length, channels,
    K: tl.constexpr, REVERSED: tl.constexpr, TAPS: tl.constexpr, SILU: tl.constexpr,
    BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    clip, begin = tl.program_id(1), tl.program_id(2) * SPAN
    end = tl.minimum(begin + SPAN, length)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = channel < channels
    until = tl.where(real, end, 0)
    x += clip.to(tl.int64) * x_strides[0]
    stride = x_strides[1] + 0 * clip.to(tl.int64)
    window = steps(x, stride, begin - TAPS, length, channel, real, TAPS)
    for first in range(begin - (TAPS - 1), end, ROWS):
        new = steps(x, stride, first + TAPS - 1, length, channel, real, ROWS)
        for i in tl.static_range(ROWS):
            window = window[1:] + (new[i],)
            for k in tl.static_range(K):
                taps = vectors(weight + k * TAPS * channels, channel, real, channels, TAPS)
                shift = tl.load(bias + k * channels + channel, mask=real, other=0.0)
                y = weighted(window, taps, shift, TAPS, (REVERSED >> k) & 1)
                y = y * sigmoid(y) if SILU else y
                t = first + i + (0 if (REVERSED >> k) & 1 else TAPS - 1)
                at = out + ((clip + k * batch).to(tl.int64) * length + t) * channels + channel
                tl.store(at, y, mask=(t + 0 * channel >= begin) & (t < until))


@triton.jit
@unwrap
@no_type_check
def direction_back(
    window, slopes, taps, shift, grad, TAPS: tl.constexpr, TURNED: tl.constexpr, SILU: tl.constexpr
):
    """Adds one gradient, before the activation, to the window of the last ones; and what x gets of them."""
    if SILU:
        y = weighted(window, taps, shift, TAPS, TURNED)
        opened = sigmoid(y)
        grad = grad * opened * (1.0 + y * (1.0 - opened))
    slopes = slopes[1:] + (grad,)
    return slopes, weighted(slopes, taps, 0.0, TAPS, not TURNED)


@triton.jit
@unwrap
@no_type_check
def add_products(sums, window, grad, TAPS: tl.constexpr, TURNED: tl.constexpr):
    """Adds the gradients of all taps and, last, of the bias."""
    found = ()
    for j in tl.static_range(TAPS):
        found = found + (sums[j] + grad * (window[TAPS - 1 - j] if TURNED else window[j]),)
    return found + (sums[TAPS] + grad,)


@triton.jit
@unwrap
@no_type_check
def zeros(NUM: tl.constexpr, BLOCK: tl.constexpr):
    found = ()
    for _ in tl.static_range(NUM):
        found = found + (tl.full((BLOCK,), 0.0, tl.float32),)
    return found


@triton.jit
@unwrap
@no_type_check
def conv_gradient_kernel(
    x, weight, bias, grad_out, grad_x, sums, x_strides, batch, length, channels,
    K: tl.constexpr, REVERSED: tl.constexpr, TAPS: tl.constexpr, SILU: tl.constexpr,
    BLOCK: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    clip, begin = tl.program_id(1), tl.program_id(2) * SPAN
    end = tl.minimum(begin + SPAN, length)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = channel < channels
    until = tl.where(real, end, 0)
    x += clip.to(tl.int64) * x_strides[0]
    stride = x_strides[1] + 0 * clip.to(tl.int64)
    window = steps(x, stride, begin - TAPS, length, channel, real, TAPS)
    slopes, totals = (), ()
    for _ in tl.static_range(K):
        slopes, totals = slopes + (zeros(TAPS, BLOCK),), totals + (zeros(TAPS + 1, BLOCK),)
    for first in range(begin - (TAPS - 1), end, ROWS):
        new = steps(x, stride, first + TAPS - 1, length, channel, real, ROWS)
        grads = ()
        for k in tl.static_range(K):
            base = grad_out + (clip + k * batch).to(tl.int64) * length * channels
            own = first + (0 if (REVERSED >> k) & 1 else TAPS - 1)
            grads = grads + (steps(base, channels + 0 * stride, own, length, channel, real, ROWS),)
        for i in tl.static_range(ROWS):
            window = window[1:] + (new[i],)
            total = tl.full((BLOCK,), 0.0, tl.float32)
            next_slopes, next_totals = (), ()
            for k in tl.static_range(K):
                taps = vectors(weight + k * TAPS * channels, channel, real, channels, TAPS)
                shift = tl.load(bias + k * channels + channel, mask=real, other=0.0)
                slope, into_x = direction_back(
                    window, slopes[k], taps, shift, grads[k][i], TAPS, (REVERSED >> k) & 1, SILU
                )
                # Outputs of neighbouring spans are only passed through: those spans count them.
                own = first + i + (0 if (REVERSED >> k) & 1 else TAPS - 1)
                counted = tl.where((own >= begin) & (own < end), slope[TAPS - 1], 0.0)
                next_slopes = next_slopes + (slope,)
                next_totals = next_totals + (
                    add_products(totals[k], window, counted, TAPS, (REVERSED >> k) & 1),
                )
                total += into_x
            slopes, totals = next_slopes, next_totals
            at = grad_x + (clip.to(tl.int64) * length + first + i) * channels + channel
            tl.store(at, total, mask=(first + i + 0 * channel >= begin) & (first + i < until))
    part = clip * tl.num_programs(2) + tl.program_id(2)
    for k in tl.static_range(K):
        for j in tl.static_range(TAPS + 1):
            row = (part * K + k) * (TAPS + 1) + j
            tl.store(sums + row.to(tl.int64) * channels + channel, totals[k][j], mask=real)
