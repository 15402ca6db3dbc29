"""The fast selective scan as one operator of torch: a C kernel on CPUs, Triton on GPUs, one gradient formula.

Compilers see `tubelet::selective_scan` as a single node with known output shapes. Arguments (K directions,
B clips, L steps, E channels, N states, G groups):

    u, delta (K, B, L, E) · A (K, E, N) · B, C (K, B, L, G, N) or constant (K, E, N) · D, delta_bias (K, E) ·
    z (B, L, E) · start (K, B, E, N), the state before the first step

Results: `out` (B, L, E) in the type of u, `last` (K, B, E, N) in float32, and what the backward pass needs: `y`,
the sum before the gate, and `kept`, states at intervals, in a layout that only the kernel knows.
"""

from typing import Any

import torch
from torch import Tensor

from tubelet.ops import selective_scan_cpu
from tubelet.ops.selective_scan_cpu import Gradients, Operands


@torch.library.custom_op("tubelet::selective_scan", mutates_args=(), device_types="cpu")
def fused_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    start: Tensor | None,
    softplus: bool,
    reverse: list[bool],
    masked: list[bool],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given = _operands((u, delta, A, B, C, D, z, delta_bias, start), softplus, reverse, masked)
    return selective_scan_cpu.scan_forward(given, keep)


@torch.library.custom_op("tubelet::selective_scan_backward", mutates_args=(), device_types="cpu")
def fused_scan_backward(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    start: Tensor | None,
    softplus: bool,
    reverse: list[bool],
    masked: list[bool],
    y: Tensor,
    kept: Tensor,
    grad_out: Tensor,
    grad_last: Tensor,
) -> Gradients:
    """Gradients of the nine tensors, in float32; an empty one for a tensor that was not given."""
    given = _operands((u, delta, A, B, C, D, z, delta_bias, start), softplus, reverse, masked)
    return selective_scan_cpu.scan_backward(given, y, kept, grad_out, grad_last)


@fused_scan.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    # Imported here: Triton is not on every machine.
    from tubelet.ops import selective_scan_triton

    *operands, keep = arguments
    return selective_scan_triton.scan_forward(_operands(tuple(operands[:9]), *operands[9:]), keep)


@fused_scan_backward.register_kernel("cuda")
def _(*arguments: Any) -> tuple[Tensor, ...]:
    from tubelet.ops import selective_scan_triton

    given = _operands(tuple(arguments[:9]), *arguments[9:12])
    return selective_scan_triton.scan_backward(given, *arguments[12:])


def _operands(tensors: tuple[Any, ...], softplus: bool, reverse: list[bool], masked: list[bool]) -> Operands:
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "start")
    return Operands(
        **dict(zip(names, tensors, strict=True)),
        softplus=softplus,
        reverse=tuple(reverse),
        masked=tuple(masked),
    )


@fused_scan.register_fake
def _(u, delta, A, B, C, D, z, delta_bias, start, softplus, reverse, masked, keep):
    directions, batch, length, channels = u.shape
    out = u.new_empty(batch, length, channels)
    last = u.new_empty(directions, batch, channels, A.shape[-1], dtype=torch.float32)
    y = u.new_empty((batch, length, channels) if keep and z is not None else (0,), dtype=torch.float32)
    if not keep:
        kept: tuple[int, ...] = (0,)
    elif u.device.type == "cuda":
        from tubelet.ops import selective_scan_triton

        kept = selective_scan_triton.kept_shape(u, A)
    else:
        given = _operands((u, delta, A, B, C, D, z, delta_bias, start), softplus, reverse, masked)
        kept = selective_scan_cpu.kept_shape(given)
    return out, last, y, u.new_empty(kept, dtype=torch.float32)


@fused_scan_backward.register_fake
def _(u, delta, A, B, C, D, z, delta_bias, start, softplus, reverse, masked, y, kept, grad_out, grad_last):
    def like(tensor: Tensor | None) -> Tensor:
        return u.new_empty(0 if tensor is None else tensor.shape, dtype=torch.float32)

    return tuple(like(tensor) for tensor in (u, delta, A, B, C, D, z, delta_bias, start))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, softplus, reverse, masked, keep = inputs
    assert keep, "a scan that has to be differentiated keeps its states"
    _, _, y, kept = output
    ctx.save_for_backward(*tensors, y, kept)
    ctx.mark_non_differentiable(y, kept)
    ctx.options = softplus, reverse, masked


def _backward(ctx: Any, grad_out: Tensor | None, grad_last: Tensor | None, *_: Any) -> tuple[Any, ...]:
    *tensors, y, kept = ctx.saved_tensors
    u, A = tensors[0], tensors[2]
    if grad_out is None:
        grad_out = u.new_zeros(u.shape[1:])
    if grad_last is None:
        grad_last = u.new_zeros((*u.shape[:2], *A.shape[1:]), dtype=torch.float32)
    grads = fused_scan_backward(*tensors, *ctx.options, y, kept, grad_out, grad_last)
    cast = (
        None if tensor is None else grad.to(tensor.dtype) for tensor, grad in zip(tensors, grads, strict=True)
    )
    return (*cast, None, None, None, None)


fused_scan.register_autograd(_backward, setup_context=_setup)
