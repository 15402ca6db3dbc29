"""The GPU twin of the selective scan: Triton kernels behind `scan_forward` and `scan_backward`.

Compiled for GPUs of compute capability 9.0 and checked in Triton's interpreter, but never yet run on a GPU:
`python -m benchmarks.gpu` will say.

Time is sequential inside a program; programs are directions x clips x blocks of channels. Where those are too few
to fill the GPU (one long clip), time is cut into spans, at the price of a second, shorter scan: every span is
scanned from zero, the ends tell what each of them really starts from, and then all are scanned at once.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tubelet.ops import selective_scan_gradient_kernels as gradient_kernels
from tubelet.ops import selective_scan_kernels as kernels
from tubelet.ops.selective_scan_cpu import Operands

EVERY = 32  # steps between the states that are kept for the backward pass
TILE = 512  # numbers of a [channels, states] tile, which one warp holds in registers
WARPS = 4  # per multiprocessor, below which channels are cut finer, and then time
SMALLEST_BLOCK = 16  # channels
SHORTEST_SPAN = 128  # steps
ROW = 1024  # channels at once where nothing has to be scanned


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a problem is cut into programs."""

    block: int  # channels
    blocks: int  # in one group
    states: int  # with those that fill up a power of two
    span: int  # steps
    spans: int


def scan_forward(given: Operands, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(out, last state, y, kept): what the operator of selective_scan_op.py returns."""
    plan, inputs = plan_of(given), _inputs(given)
    directions, batch, length, channels = given.u.shape
    states = given.A.shape[-1]
    new, gated = given.u.new_empty, given.z is not None
    out = new(batch, length, channels)
    parts = new(given.u.shape) if gated or directions > 1 else out
    y = new((batch, length, channels) if keep and gated else 0, dtype=torch.float32)
    kept = new(kept_shape(given.u, given.A) if keep else 0, dtype=torch.float32)
    last = new(directions, batch, channels, states, dtype=torch.float32)
    start = None if given.start is None else given.start.float().contiguous()
    tensors = [inputs[name] for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")]
    strides = [inputs[name].stride() for name in ("u", "delta", "B", "C")]

    def scan(*states_and_outputs: Tensor | None) -> None:
        _launch(
            kernels.scan_kernel, given, plan, *tensors, *states_and_outputs, *strides,
            CONSTANT_B=given.B.ndim == 3, CONSTANT_C=given.C.ndim == 3, EVERY=EVERY,
        )  # fmt: skip

    wanted = kept if keep else None
    with torch.cuda.device_of(given.u):
        if plan.spans == 1:
            scan(start, parts, wanted, last, None)
        else:
            ends, totals = _per_span(given, plan)
            scan(None, None, None, ends, totals)
            _carry(given, plan, inputs["A"], ends, totals, start, last, down=False)
            scan(ends, parts, wanted, None, None)
        if parts is not out:
            _rows(
                kernels.gate_kernel, given, parts, *_gate(given), y if y.numel() else None, out, K=directions
            )
    return out, last, y, kept


def scan_backward(
    given: Operands, y: Tensor, kept: Tensor, grad_out: Tensor, grad_last: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of u, delta, A, B, C, D, z, delta_bias and start, in float32; empty for what was not given."""
    plan, inputs = plan_of(given), _inputs(given)
    directions, batch, length, channels = given.u.shape
    groups, states = _groups(given), given.A.shape[-1]
    new = partial(given.u.new_empty, dtype=torch.float32)
    clips = (directions, batch)
    grad_y = grad_out = grad_out.contiguous()
    grad_z = new(0)
    per_state, per_channel = (*clips, plan.spans, channels, states), (*clips, plan.spans, channels)
    along_time = (*clips, plan.blocks, length, groups, states)
    constant_B, constant_C = given.B.ndim == 3, given.C.ndim == 3
    grad_u, grad_delta = new(given.u.shape), new(given.u.shape)
    grad_A, grad_D, grad_bias = new(per_state), new(per_channel), new(per_channel)
    grad_B, grad_C = (new(per_state if constant else along_time) for constant in (constant_B, constant_C))
    before = new(per_state)
    after = grad_last.float().contiguous()
    programs = directions * batch * plan.spans * groups * plan.blocks
    scratch = new(programs * (EVERY // gradient_kernels.PAIR.value) * plan.block * plan.states)
    with torch.cuda.device_of(given.u):
        if given.z is not None:
            grad_y, grad_z = torch.empty_like(grad_out), new(grad_out.shape)
            _rows(gradient_kernels.ungate_kernel, given, grad_out, y, *_gate(given), grad_y, grad_z)
        grad_strides = (0, *grad_y.stride())
        grad_start = before
        if plan.spans > 1:
            ends, totals = _per_span(given, plan)
            grad_start = torch.empty_like(after)
            _launch(
                gradient_kernels.gradient_ends_kernel, given, plan,
                *(inputs[name] for name in ("delta", "A", "C", "delta_bias")), grad_y, ends, totals,
                inputs["delta"].stride(), inputs["C"].stride(), grad_strides, CONSTANT_C=constant_C,
            )  # fmt: skip
            _carry(given, plan, inputs["A"], ends, totals, after, grad_start, down=True)
            after = ends
        _launch(
            gradient_kernels.scan_gradient_kernel, given, plan,
            *(inputs[name] for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")),
            kept, grad_y, after, scratch,
            grad_u, grad_delta, grad_A, grad_B, grad_C, grad_D, grad_bias, before,
            *(inputs[name].stride() for name in ("u", "delta", "B", "C")), grad_strides,
            CONSTANT_B=constant_B, CONSTANT_C=constant_C, EVERY=EVERY,
        )  # fmt: skip
    return (
        grad_u,
        grad_delta,
        grad_A.sum((1, 2)),
        *(
            gradient.sum((1, 2) if constant else 2)
            for gradient, constant in ((grad_B, constant_B), (grad_C, constant_C))
        ),
        new(0) if given.D is None else grad_D.sum((1, 2)),
        grad_z,
        new(0) if given.delta_bias is None else grad_bias.sum((1, 2)),
        new(0) if given.start is None else grad_start.view(directions, batch, channels, states),
    )


def kept_shape(u: Tensor, A: Tensor) -> tuple[int, ...]:
    """Of the states that the backward pass starts from."""
    directions, batch, length, channels = u.shape
    return directions, batch, -(-length // EVERY), channels, A.shape[-1]


def plan_of(given: Operands) -> Plan:
    """Large blocks of channels while there are programs enough, then small ones, and then spans of time."""
    directions, batch, length, channels = given.u.shape
    each, states = channels // _groups(given), power_of_two(given.A.shape[-1])
    enough = WARPS * multiprocessors(given.u.device)

    def programs(block: int) -> int:
        return directions * batch * _groups(given) * -(-each // block)

    block = min(max(TILE // states, 1), 32, power_of_two(each))
    while block > SMALLEST_BLOCK and programs(block) < enough:
        block //= 2
    # Once time has to be cut, let there be two programs for each place: they hide each other's waiting.
    spans = min(-(-2 * enough // programs(block)), length // SHORTEST_SPAN) if programs(block) < enough else 1
    span = -(-length // (max(spans, 1) * EVERY)) * EVERY
    return Plan(block=block, blocks=-(-each // block), states=states, span=span, spans=-(-length // span))


def power_of_two(number: int) -> int:
    """The smallest one that is not below the number."""
    return 1 << (number - 1).bit_length()


def multiprocessors(device: torch.device) -> int:
    """How many the GPU has; 1 where the interpreter stands in for one."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def _groups(given: Operands) -> int:
    return max(x.shape[3] if x.ndim == 5 else 1 for x in (given.B, given.C))


def _inputs(given: Operands) -> dict[str, Tensor]:
    """What kernels read: values of a row side by side, and what does not run along time in float32."""
    row = given.u.new_zeros(given.A.shape[:2], dtype=torch.float32)
    return {
        "u": _side_by_side(given.u),
        "delta": _side_by_side(given.delta),
        "A": given.A.float().contiguous(),
        **{
            name: x.float().contiguous()[..., None] if x.ndim == 3 else _side_by_side(x)
            for name, x in (("B", given.B), ("C", given.C))
        },
        "D": row if given.D is None else given.D.float().contiguous(),
        "delta_bias": row if given.delta_bias is None else given.delta_bias.float().contiguous(),
    }


def _side_by_side(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _gate(given: Operands) -> tuple[Tensor | None, tuple[int, ...]]:
    z = None if given.z is None else _side_by_side(given.z)
    return z, (0, 0, 1) if z is None else z.stride()


def _sizes(given: Operands, span: int) -> tuple[int, ...]:
    _, batch, length, channels = given.u.shape
    return batch, length, span, channels, _groups(given), given.A.shape[-1]


def _per_span(given: Operands, plan: Plan) -> tuple[Tensor, Tensor]:
    """Room for the state each span ends with, and for the sum of its steps."""
    directions, batch, _, channels = given.u.shape
    sums = given.u.new_empty(directions, batch, plan.spans, channels, dtype=torch.float32)
    return sums.new_empty(*sums.shape, given.A.shape[-1]), sums


def _launch(kernel: Any, given: Operands, plan: Plan, *arguments: Any, **form: Any) -> None:
    """A program for every direction, clip, block of channels and span."""
    directions, batch = given.u.shape[:2]
    kernel[(_groups(given) * plan.blocks, directions * batch, plan.spans)](
        *arguments,
        _sizes(given, plan.span),
        SOFTPLUS=given.softplus,
        REVERSED=sum(on << k for k, on in enumerate(given.reverse)),
        MASKED=sum(on << k for k, on in enumerate(given.masked)),
        BLOCK=plan.block,
        STATES=plan.states,
        num_warps=1,
        enable_fp_fusion=True,
        **form,
    )


def _carry(
    given: Operands, plan: Plan, A: Tensor, ends: Tensor, totals: Tensor, first: Tensor | None, last: Tensor,
    *, down: bool,
) -> None:  # fmt: skip
    directions, batch, _, channels = given.u.shape
    kernel: Any = kernels.carry_kernel
    block = 128
    kernel[(-(-channels * A.shape[-1] // block), directions * batch)](
        A, totals, ends, first, last, _sizes(given, plan.span), plan.spans,
        DOWN=down, BLOCK=block, num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip


def _rows(kernel: Any, given: Operands, *arguments: Any, **form: Any) -> None:
    """A program for every step, of ROW channels at most."""
    _, batch, length, channels = given.u.shape
    block = min(ROW, power_of_two(channels))
    kernel[(length, batch, -(-channels // block))](
        *arguments, _sizes(given, length), BLOCK=block, num_warps=4, enable_fp_fusion=True, **form
    )
