"""Triton kernels of the selective scan's gradients (see selective_scan_kernels.py for how programs work).

Nothing of size length x channels x states is ever in memory: from the states that the forward pass kept, a
program recomputes those of one stretch of steps at a time, in two sweeps. The first leaves the state before every
two steps in a scratch small enough for the cache. The second takes those two steps again, holding their states in
registers, and goes back through them. (Four at once are more than fits the registers.)
"""

# Triton knows sums of tuples, but no stars.
# ruff: noqa: RUF005

from inspect import unwrap
from typing import no_type_check

import triton
import triton.language as tl

from tubelet.ops.selective_scan_kernels import (
    LN_2,
    LOG2_E,
    QUAD,
    coefficient,
    fixed_tile,
    inputs_at,
    parameters,
    place,
    rows,
    sigmoid,
    slope_of,
    state_rows,
    step_of,
    stream,
)

PAIR = tl.constexpr(2)


@triton.jit
@unwrap
@no_type_check
def gradient_ends_kernel(
    delta, A, C, bias, grad_y, ends, totals, delta_strides, C_strides, grad_strides, sizes,
    SOFTPLUS: tl.constexpr, REVERSED: tl.constexpr, MASKED: tl.constexpr, CONSTANT_C: tl.constexpr,
    BLOCK: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """The gradient that a span of steps hands to the state before it, with none coming from behind.

    Also the sums of its steps, for `carry_kernel`.
    """
    k, clip, group, _, channel, real, tile, exist, begin, end, until, flags = place(
        sizes, REVERSED, MASKED, BLOCK, STATES
    )
    _, _, _, channels, _, states = sizes
    delta_way = stream(delta, delta_strides, k, clip, sizes, flags[0])
    grad_way = stream(grad_y, grad_strides, k, clip, sizes, flags[0])
    C_way = stream(C + group * C_strides[3], C_strides, k, clip, sizes, flags[0])
    rate = tl.load(A + k * channels * states + tile, mask=exist, other=0.0) * LOG2_E
    fixed_C = fixed_tile(C, k * channels * states + tile, exist, CONSTANT_C)
    shift = tl.load(bias + k * channels + channel, mask=real, other=0.0)
    gradient = tl.full((BLOCK, STATES), 0.0, tl.float32)
    total = tl.full((BLOCK,), 0.0, tl.float32)
    last = begin + (end - begin - 1) // QUAD * QUAD
    deltas, grads = (
        rows(delta_way, channel, until[0], last, QUAD),
        rows(grad_way, channel, until[0], last, QUAD),
    )
    Cs = state_rows(C_way, until[1], last, CONSTANT_C, STATES, QUAD)
    for back in range(0, end - begin, QUAD):
        i = last - back
        # Before the first step there is nothing to read; what is read instead is never used.
        sooner = tl.maximum(i - QUAD, begin)
        next_deltas, next_grads = (
            rows(delta_way, channel, until[0], sooner, QUAD),
            rows(grad_way, channel, until[0], sooner, QUAD),
        )
        next_Cs = state_rows(C_way, until[1], sooner, CONSTANT_C, STATES, QUAD)
        for j in tl.static_range(QUAD - 1, -1, -1):
            step = step_of(deltas[j], shift, i + j < end, SOFTPLUS)
            grad = grads[j].to(tl.float32)
            grad = tl.where(flags[1] & (i + j == 0), 0.0, grad) if MASKED else grad
            through = gradient + grad[:, None] * coefficient(Cs[j], fixed_C, CONSTANT_C)
            gradient = tl.exp2(step[:, None] * rate) * through
            total += step
        deltas, grads, Cs = next_deltas, next_grads, next_Cs
    here = clip.to(tl.int64) * tl.num_programs(2) + tl.program_id(2)
    tl.store(ends + here * channels * states + tile, gradient, mask=exist)
    tl.store(totals + here * channels + channel, total, mask=real)


@triton.jit
@unwrap
@no_type_check
def keep_starts(
    scratch, state, stretch, end, u_way, delta_way, B_way, fixed, channel, until,
    SOFTPLUS: tl.constexpr, CONSTANT_B: tl.constexpr, STATES: tl.constexpr, EVERY: tl.constexpr,
):  # fmt: skip
    """First sweep over a stretch of EVERY steps: the state before every two of them goes to the scratch."""
    rate, fixed_B, _, shift, _ = fixed
    us, deltas = (
        rows(u_way, channel, until[0], stretch, PAIR),
        rows(delta_way, channel, until[0], stretch, PAIR),
    )
    Bs = state_rows(B_way, until[1], stretch, CONSTANT_B, STATES, PAIR)
    size: tl.constexpr = rate.shape[0] * STATES
    for i in range(0, EVERY, PAIR):
        tl.store(scratch + i // PAIR * size, state)
        later = stretch + i + PAIR
        next_us, next_deltas = (
            rows(u_way, channel, until[0], later, PAIR),
            rows(delta_way, channel, until[0], later, PAIR),
        )
        next_Bs = state_rows(B_way, until[1], later, CONSTANT_B, STATES, PAIR)
        for j in tl.static_range(PAIR):
            step = step_of(deltas[j], shift, stretch + i + j < end, SOFTPLUS)
            drive = (step * us[j].to(tl.float32))[:, None] * coefficient(Bs[j], fixed_B, CONSTANT_B)
            state = tl.exp2(step[:, None] * rate) * state + drive
        us, deltas, Bs = next_us, next_deltas, next_Bs


@triton.jit
@unwrap
@no_type_check
def again(state, given, fixed, i, end, SOFTPLUS: tl.constexpr, CONSTANT_B: tl.constexpr):
    """The states before, between and after two steps."""
    us, deltas, Bs, _ = given
    rate, fixed_B, _, shift, _ = fixed
    states = (state,)
    for j in tl.static_range(PAIR):
        step = step_of(deltas[j], shift, i + j < end, SOFTPLUS)
        drive = (step * us[j].to(tl.float32))[:, None] * coefficient(Bs[j], fixed_B, CONSTANT_B)
        state = tl.exp2(step[:, None] * rate) * state + drive
        states = states + (state,)
    return states


@triton.jit
@unwrap
@no_type_check
def step_back(gradient, before, after, step, value, grad, rate, B, C, masked, is_first, MASKED: tl.constexpr):
    """From the gradient of the state after a step to that of the one before it, and what falls to the inputs.

    Those of A, B and C are still products per channel and state.
    """
    factor = tl.exp2(step[:, None] * rate)
    seen = tl.where(masked & is_first, 0.0, grad) if MASKED else grad
    through = gradient + seen[:, None] * C
    # A masked direction does not read a step's own input.
    into = tl.where(masked, gradient, through) if MASKED else through
    state = tl.where(masked, factor * before, after) if MASKED else after
    gradient = factor * through
    faded = gradient * before
    into_drive = tl.sum(into * B, 1)
    into_step = LN_2 * tl.sum(faded * rate, 1) + into_drive * value
    part_B, part_C = (step * value)[:, None] * into, seen[:, None] * state
    return gradient, step[:, None] * faded, part_B, part_C, into_drive * step, into_step


@triton.jit
@unwrap
@no_type_check
def add_or_store(total, at, part, exist, CONSTANT: tl.constexpr):
    """The gradient of B or C of a step: added to a constant's total, or summed over channels and written."""
    if CONSTANT:
        total += part
    else:
        tl.store(at, tl.sum(part, 0), mask=exist)
    return total


@triton.jit
@unwrap
@no_type_check
def pair_back(
    gradient, sums, state, given, grads, fixed, outputs, where, i, end, until, flags, sizes,
    SOFTPLUS: tl.constexpr, MASKED: tl.constexpr, CONSTANT_B: tl.constexpr, CONSTANT_C: tl.constexpr,
    STATES: tl.constexpr,
):  # fmt: skip
    """Second sweep, over two steps: writes what falls to them, and adds to what is summed over time."""
    passed = again(state, given, fixed, i, end, SOFTPLUS, CONSTANT_B)
    us, deltas, Bs, Cs = given
    rate, fixed_B, fixed_C, shift, skip = fixed
    sum_A, sum_B, sum_C, sum_D, sum_bias = sums
    clip, group, block, channel = where
    _, length, _, channels, groups, states = sizes
    blocks = tl.num_programs(0) // groups
    for j in tl.static_range(PAIR - 1, -1, -1):
        value, grad = us[j].to(tl.float32), grads[j].to(tl.float32)
        step = step_of(deltas[j], shift, i + j < end, SOFTPLUS)
        gradient, part_A, part_B, part_C, into_u, into_step = step_back(
            gradient, passed[j], passed[j + 1], step, value, grad, rate,
            coefficient(Bs[j], fixed_B, CONSTANT_B), coefficient(Cs[j], fixed_C, CONSTANT_C),
            flags[1], i + j == 0, MASKED,
        )  # fmt: skip
        into_x = into_step * slope_of(deltas[j], shift, i + j < end, SOFTPLUS)
        sum_A, sum_D, sum_bias = sum_A + part_A, sum_D + grad * value, sum_bias + into_x
        position = tl.where(flags[0], length - 1 - i - j, i + j).to(tl.int64)
        at = (clip.to(tl.int64) * length + position) * channels + channel
        tl.store(outputs[0] + at, into_u + skip * grad, mask=i + j < until[0])
        tl.store(outputs[1] + at, into_x, mask=i + j < until[0])
        line = (clip.to(tl.int64) * blocks + block) * length + position
        at = (line * groups + group) * states + tl.arange(0, STATES)
        sum_B = add_or_store(sum_B, outputs[2] + at, part_B, i + j < until[1], CONSTANT_B)
        sum_C = add_or_store(sum_C, outputs[3] + at, part_C, i + j < until[1], CONSTANT_C)
    return gradient, (sum_A, sum_B, sum_C, sum_D, sum_bias)


@triton.jit
@unwrap
@no_type_check
def scan_gradient_kernel(
    u, delta, A, B, C, D, bias, kept, grad_y, grad_after, scratch,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, grad_before,
    u_strides, delta_strides, B_strides, C_strides, grad_strides, sizes,
    SOFTPLUS: tl.constexpr, REVERSED: tl.constexpr, MASKED: tl.constexpr, CONSTANT_B: tl.constexpr,
    CONSTANT_C: tl.constexpr, BLOCK: tl.constexpr, STATES: tl.constexpr, EVERY: tl.constexpr,
):  # fmt: skip
    """A span of steps, back from its last: gradients of u and delta, and this program's share of all others.

    `grad_after` is the gradient of the state behind the span, `grad_before` of the one before it.
    """
    k, clip, group, block, channel, real, tile, exist, begin, end, until, flags = place(
        sizes, REVERSED, MASKED, BLOCK, STATES
    )
    _, length, _, channels, _, states = sizes
    u_way = stream(u, u_strides, k, clip, sizes, flags[0])
    delta_way = stream(delta, delta_strides, k, clip, sizes, flags[0])
    B_way = stream(B + group * B_strides[3], B_strides, k, clip, sizes, flags[0])
    C_way = stream(C + group * C_strides[3], C_strides, k, clip, sizes, flags[0])
    grad_way = stream(grad_y, grad_strides, k, clip, sizes, flags[0])
    fixed = parameters(A, B, C, D, bias, k, sizes, channel, real, tile, exist, CONSTANT_B, CONSTANT_C)
    here = clip.to(tl.int64) * tl.num_programs(2) + tl.program_id(2)
    gradient = tl.load(grad_after + here * channels * states + tile, mask=exist, other=0.0)
    none, no_row = tl.full((BLOCK, STATES), 0.0, tl.float32), tl.full((BLOCK,), 0.0, tl.float32)
    sums = (none, none, none, no_row, no_row)
    n = tl.arange(0, STATES)
    program = here * tl.num_programs(0) + tl.program_id(0)
    scratch += program * (EVERY // PAIR * BLOCK * STATES) + tl.arange(0, BLOCK)[:, None] * STATES + n[None, :]
    last_stretch = begin + (end - begin - 1) // EVERY * EVERY
    for back in range(0, end - begin, EVERY):
        stretch = last_stretch - back
        chunk = clip.to(tl.int64) * ((length + EVERY - 1) // EVERY) + stretch // EVERY
        state = tl.load(kept + chunk * channels * states + tile, mask=exist, other=0.0)
        tl.debug_barrier()
        keep_starts(
            scratch, state, stretch, end, u_way, delta_way, B_way, fixed, channel, until,
            SOFTPLUS, CONSTANT_B, STATES, EVERY,
        )  # fmt: skip
        tl.debug_barrier()
        for back_i in range(0, EVERY, PAIR):
            pair = EVERY - PAIR - back_i
            i = stretch + pair
            given = inputs_at(
                (u_way, delta_way, B_way, C_way), channel, until, i, CONSTANT_B, CONSTANT_C, STATES, PAIR
            )
            grads = rows(grad_way, channel, until[0], i, PAIR)
            state = tl.load(scratch + pair // PAIR * (BLOCK * STATES))
            gradient, sums = pair_back(
                gradient, sums, state, given, grads, fixed, (grad_u, grad_delta, grad_B, grad_C),
                (clip, group, block, channel), i, end, until, flags, sizes,
                SOFTPLUS, MASKED, CONSTANT_B, CONSTANT_C, STATES,
            )  # fmt: skip
    tl.store(grad_before + here * channels * states + tile, gradient, mask=exist)
    tl.store(grad_A + here * channels * states + tile, sums[0], mask=exist)
    tl.store(grad_D + here * channels + channel, sums[3], mask=real)
    tl.store(grad_bias + here * channels + channel, sums[4], mask=real)
    if CONSTANT_B:
        tl.store(grad_B + here * channels * states + tile, sums[1], mask=exist)
    if CONSTANT_C:
        tl.store(grad_C + here * channels * states + tile, sums[2], mask=exist)


@triton.jit
@unwrap
@no_type_check
def ungate_kernel(grad_out, y, z, z_strides, grad_y, grad_z, sizes, BLOCK: tl.constexpr):
    """Gradients of the sum over directions and of z."""
    _, length, _, channels, _, _ = sizes
    clip, step = tl.program_id(1).to(tl.int64), tl.program_id(0).to(tl.int64)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    real = channel < channels
    at = (clip * length + step) * channels + channel
    gate = tl.load(z + clip * z_strides[0] + step * z_strides[1] + channel, mask=real, other=0.0).to(
        tl.float32
    )
    grad = tl.load(grad_out + at, mask=real, other=0.0).to(tl.float32)
    opened = sigmoid(gate)
    tl.store(grad_y + at, grad * gate * opened, mask=real)
    slope = opened * (1.0 + gate * (1.0 - opened))
    tl.store(grad_z + at, grad * tl.load(y + at, mask=real, other=0.0).to(tl.float32) * slope, mask=real)
