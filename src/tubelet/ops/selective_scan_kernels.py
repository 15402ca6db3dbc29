"""Triton kernels of the selective scan; selective_scan_triton.py launches them.

A program owns a block of channels of one clip and direction, holds its states [channels, N] in registers, and
walks through time, or through a span of it, four steps at once: the rows of the next four are on their way while
the present ones are computed. A direction that runs backwards has a negative stride, and nothing is flipped.
Everything is float32 in registers, whatever the inputs are.

Steps are counted as the scan meets them. Channels, states and steps that only fill up a block read as zero, and
their `step` is zero, so that states pass through unchanged.

`unwrap` hands Triton the kernel itself: the tests wrap every function of tubelet in checks of its shapes, and
Triton before 3.9 looks for a kernel's names in the wrapper.
"""

# Triton knows sums of tuples, but no stars.
# ruff: noqa: RUF005

from inspect import unwrap
from typing import no_type_check

import triton
import triton.language as tl

QUAD = tl.constexpr(4)
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
@unwrap
@no_type_check
def softplus(x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), and log(1 + e) = 2 atanh(e / (2 + e)), so exact for small e."""
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    s = e / (2.0 + e)
    t = s * s
    p = 0.1408916711807251 * t + 0.13980300724506378
    p = p * t + 0.20012454688549042
    p = p * t + 0.3333315849304199
    p = p * t + 1.0
    return tl.maximum(x, 0.0) + 2.0 * s * p


@triton.jit
@unwrap
@no_type_check
def sigmoid(x):
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    return tl.where(x >= 0, 1.0, e) / (1.0 + e)


@triton.jit
@unwrap
@no_type_check
def place(sizes, REVERSED: tl.constexpr, MASKED: tl.constexpr, BLOCK: tl.constexpr, STATES: tl.constexpr):
    """Where a program works: its direction and clip, and what it owns of channels, states and steps."""
    batch, length, span, channels, groups, states = sizes
    clip = tl.program_id(1)
    k = clip // batch
    each = channels // groups
    blocks = (each + BLOCK - 1) // BLOCK
    group, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    inside = block * BLOCK + tl.arange(0, BLOCK)
    channel, real = group * each + inside, inside < each
    n = tl.arange(0, STATES)
    tile = channel[:, None] * states + n[None, :]
    exist = real[:, None] & (n < states)[None, :]
    begin = tl.program_id(2) * span
    end = tl.minimum(begin + span, length)
    # One comparison with these tells what exists: a channel or state up to the last step, or not at all.
    until = tl.where(real, end, 0), tl.where(n < states, end, 0)
    flags = (REVERSED >> k) & 1 == 1, (MASKED >> k) & 1 == 1
    return k, clip, group, block, channel, real, tile, exist, begin, end, until, flags


@triton.jit
@unwrap
@no_type_check
def stream(base, strides, k, clip, sizes, backwards):
    """Where an input (directions, batch, length, ...) has this clip's first step, and how far the next one is."""
    b = clip % sizes[0]
    first = tl.where(backwards, sizes[1] - 1, 0).to(tl.int64) * strides[2]
    at = base + k.to(tl.int64) * strides[0] + b.to(tl.int64) * strides[1] + first
    return at, tl.where(backwards, -1, 1).to(tl.int64) * strides[2]


@triton.jit
@unwrap
@no_type_check
def rows(way, columns, until, first, NUM: tl.constexpr):
    """NUM steps of an input from `first` on, in its own type; each column is zero from the step `until` on."""
    found = ()
    for j in tl.static_range(NUM):
        at = way[0] + (first + j) * way[1]
        found = found + (tl.load(at + columns, mask=first + j < until, other=0.0),)
    return found


@triton.jit
@unwrap
@no_type_check
def state_rows(way, until, first, CONSTANT: tl.constexpr, STATES: tl.constexpr, NUM: tl.constexpr):
    """The same of B or C; of a constant one, which does not run along time, nothing."""
    found = ()
    if CONSTANT:
        for _ in tl.static_range(NUM):
            found = found + (tl.full((STATES,), 0.0, tl.float32),)
    else:
        found = rows(way, tl.arange(0, STATES), until, first, NUM)
    return found


@triton.jit
@unwrap
@no_type_check
def inputs_at(
    ways, channel, until, first,
    CONSTANT_B: tl.constexpr, CONSTANT_C: tl.constexpr, STATES: tl.constexpr, NUM: tl.constexpr,
):  # fmt: skip
    """u, delta, B and C of NUM steps."""
    return (
        rows(ways[0], channel, until[0], first, NUM),
        rows(ways[1], channel, until[0], first, NUM),
        state_rows(ways[2], until[1], first, CONSTANT_B, STATES, NUM),
        state_rows(ways[3], until[1], first, CONSTANT_C, STATES, NUM),
    )


@triton.jit
@unwrap
@no_type_check
def coefficient(row, fixed, CONSTANT: tl.constexpr):
    """B or C of a step, to be multiplied with states: shared by the channels, or a constant of each."""
    return fixed if CONSTANT else row.to(tl.float32)[None, :]


@triton.jit
@unwrap
@no_type_check
def fixed_tile(base, at, exist, CONSTANT: tl.constexpr):
    return tl.load(base + at, mask=exist, other=0.0).to(tl.float32) if CONSTANT else 0.0


@triton.jit
@unwrap
@no_type_check
def parameters(
    A, B, C, D, bias, k, sizes, channel, real, tile, exist, CONSTANT_B: tl.constexpr, CONSTANT_C: tl.constexpr
):  # fmt: skip
    """What does not run along time: A · log2(e), constant B and C, the bias of delta, and D."""
    channels, states = sizes[3], sizes[5]
    return (
        tl.load(A + k * channels * states + tile, mask=exist, other=0.0) * LOG2_E,
        fixed_tile(B, k * channels * states + tile, exist, CONSTANT_B),
        fixed_tile(C, k * channels * states + tile, exist, CONSTANT_C),
        tl.load(bias + k * channels + channel, mask=real, other=0.0),
        tl.load(D + k * channels + channel, mask=real, other=0.0),
    )


@triton.jit
@unwrap
@no_type_check
def step_of(delta, shift, exists, SOFTPLUS: tl.constexpr):
    x = delta.to(tl.float32) + shift
    return tl.where(exists, softplus(x) if SOFTPLUS else x, 0.0)


@triton.jit
@unwrap
@no_type_check
def slope_of(delta, shift, exists, SOFTPLUS: tl.constexpr):
    """The derivative of the step."""
    return tl.where(exists, sigmoid(delta.to(tl.float32) + shift) if SOFTPLUS else 1.0, 0.0)


@triton.jit
@unwrap
@no_type_check
def keep_state(kept, state, i, clip, sizes, tile, exist, EVERY: tl.constexpr):
    """Every EVERY-th state, for the backward pass."""
    if i % EVERY == 0:
        chunk = clip.to(tl.int64) * ((sizes[1] + EVERY - 1) // EVERY) + i // EVERY
        tl.store(kept + chunk * sizes[3] * sizes[5] + tile, state, mask=exist)


@triton.jit
@unwrap
@no_type_check
def scan_kernel(
    u, delta, A, B, C, D, bias, starts, y, kept, ends, totals,
    u_strides, delta_strides, B_strides, C_strides, sizes,
    SOFTPLUS: tl.constexpr, REVERSED: tl.constexpr, MASKED: tl.constexpr, CONSTANT_B: tl.constexpr,
    CONSTANT_C: tl.constexpr, BLOCK: tl.constexpr, STATES: tl.constexpr, EVERY: tl.constexpr,
):  # fmt: skip
    """A span of steps: the ungated y, the state before every EVERY-th step in `kept`, and the last one in `ends`.

    Without `y`: only `ends` and `totals`, the sums of all steps, from which `carry_kernel` finds the states that
    spans of one clip start from.
    """
    k, clip, group, _, channel, real, tile, exist, begin, end, until, flags = place(
        sizes, REVERSED, MASKED, BLOCK, STATES
    )
    _, length, _, channels, _, states = sizes
    ways = (
        stream(u, u_strides, k, clip, sizes, flags[0]),
        stream(delta, delta_strides, k, clip, sizes, flags[0]),
        stream(B + group * B_strides[3], B_strides, k, clip, sizes, flags[0]),
        stream(C + group * C_strides[3], C_strides, k, clip, sizes, flags[0]),
    )
    rate, fixed_B, fixed_C, shift, skip = parameters(
        A, B, C, D, bias, k, sizes, channel, real, tile, exist, CONSTANT_B, CONSTANT_C
    )
    here = clip.to(tl.int64) * tl.num_programs(2) + tl.program_id(2)
    state = tl.full((BLOCK, STATES), 0.0, tl.float32)
    if starts is not None:
        state = tl.load(starts + here * channels * states + tile, mask=exist, other=0.0)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    us, deltas, Bs, Cs = inputs_at(ways, channel, until, begin, CONSTANT_B, CONSTANT_C, STATES, QUAD)
    for i in range(begin, end, QUAD):
        if kept is not None:
            keep_state(kept, state, i, clip, sizes, tile, exist, EVERY)
        # Asked for here, needed four steps later: memory is slower than a step.
        later = inputs_at(ways, channel, until, i + QUAD, CONSTANT_B, CONSTANT_C, STATES, QUAD)
        for j in tl.static_range(QUAD):
            step = step_of(deltas[j], shift, i + j < end, SOFTPLUS)
            value = us[j].to(tl.float32)
            carried = tl.exp2(step[:, None] * rate) * state
            state = carried + (step * value)[:, None] * coefficient(Bs[j], fixed_B, CONSTANT_B)
            total += step
            if y is not None:
                seen = tl.where(flags[1], carried, state) if MASKED else state
                read = tl.sum(seen * coefficient(Cs[j], fixed_C, CONSTANT_C), 1)
                read = tl.where(flags[1] & (i + j == 0), 0.0, read) if MASKED else read
                position = tl.where(flags[0], length - 1 - i - j, i + j).to(tl.int64)
                at = y + (clip.to(tl.int64) * length + position) * channels + channel
                tl.store(at, read + skip * value, mask=i + j < until[0])
        us, deltas, Bs, Cs = later
    if ends is not None:
        tl.store(ends + here * channels * states + tile, state, mask=exist)
    if totals is not None:
        tl.store(totals + here * channels + channel, total, mask=real)


@triton.jit
@unwrap
@no_type_check
def carry_kernel(A, totals, ends, first, last, sizes, num_spans, DOWN: tl.constexpr, BLOCK: tl.constexpr):
    """Replaces what each span ends with, having started from zero, by what it really starts with.

    A span multiplies what it starts with by exp(A · total of its steps), and adds its end. With DOWN, gradients
    travel from the last span to the first.
    """
    batch, _, _, channels, _, states = sizes
    clip = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    exist = at < channels * states
    rate = tl.load(A + clip // batch * channels * states + at, mask=exist, other=0.0) * LOG2_E
    state = tl.full((BLOCK,), 0.0, tl.float32)
    if first is not None:
        state = tl.load(first + clip * channels * states + at, mask=exist, other=0.0)
    for i in range(num_spans):
        span = clip * num_spans + (num_spans - 1 - i if DOWN else i)
        end = tl.load(ends + span * channels * states + at, mask=exist, other=0.0)
        total = tl.load(totals + span * channels + at // states, mask=exist, other=0.0)
        tl.store(ends + span * channels * states + at, state, mask=exist)
        state = tl.exp2(rate * total) * state + end
    tl.store(last + clip * channels * states + at, state, mask=exist)


@triton.jit
@unwrap
@no_type_check
def gate_kernel(parts, z, z_strides, y, out, sizes, K: tl.constexpr, BLOCK: tl.constexpr):
    """The sum over directions, in `y`, and multiplied by silu(z), in `out`."""
    batch, length, _, channels, _, _ = sizes
    clip, step = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    real = channel < channels
    at = (clip * length + step) * channels + channel
    total = tl.full((BLOCK,), 0.0, tl.float32)
    for k in tl.static_range(K):
        part = parts + ((clip + k * batch) * length + step) * channels
        total += tl.load(part + channel, mask=real, other=0.0).to(tl.float32)
    if y is not None:
        tl.store(y + at, total, mask=real)
    if z is not None:
        gate = tl.load(z + clip * z_strides[0] + step * z_strides[1] + channel, mask=real, other=0.0)
        total *= gate.to(tl.float32) * sigmoid(gate.to(tl.float32))
    tl.store(out + at, total, mask=real)
