"""The CPU twin of the causal convolution: the C kernel behind `conv_forward` and `conv_backward`."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from tubelet.ops.compiled import in_ranges, library

MAX_TAPS = 64  # of the C file


class _Problem(ctypes.Structure):
    """`conv_problem` of the C file, field by field."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("directions", "batch", "length", "channels", "taps")),
        *((name, ctypes.c_int64) for name in ("reversed", "silu")),
        ("x", ctypes.c_void_p),
        ("x_stride", ctypes.c_int64 * 2),
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "out", "grad_out")),
        *((name, ctypes.c_void_p) for name in ("grad_x", "grad_weight", "grad_bias")),
    )


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: tuple[bool, ...]
) -> Tensor:
    """(directions, batch, length, channels) in the type of x."""
    problem, alive = _problem(x, weight, bias, silu, reverse)
    out = x.new_empty((len(reverse), *x.shape), dtype=torch.float32)
    problem.out = out.data_ptr()
    _run(_kernel().conv_forward, problem)
    del alive
    return out.to(x.dtype)


def conv_backward(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: tuple[bool, ...], grad_out: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias in float32; empty for a bias that was not given."""
    problem, alive = _problem(x, weight, bias, silu, reverse)
    grad_out = grad_out.float().contiguous()
    units, directions = _num_units(problem), len(reverse)
    grad_x = grad_out.new_empty(x.shape)
    grad_weight = grad_out.new_zeros(units, directions, weight.shape[-1], x.shape[-1])
    grad_bias = grad_out.new_zeros((units, directions, x.shape[-1]) if bias is not None else 0)
    problem.grad_out, problem.grad_x = grad_out.data_ptr(), grad_x.data_ptr()
    problem.grad_weight, problem.grad_bias = grad_weight.data_ptr(), grad_bias.data_ptr()
    _run(_kernel().conv_backward, problem)
    del alive
    # One unit after the other, so that the order of additions never changes.
    return (
        grad_x,
        _in_turn(grad_weight).transpose(-1, -2).contiguous(),
        _in_turn(grad_bias) if bias is not None else grad_bias,
    )


def _in_turn(parts: Tensor) -> Tensor:
    total = parts[0].clone()
    for part in parts[1:]:
        total += part
    return total


@cache
def _kernel() -> ctypes.CDLL:
    found = library()
    assert found is not None, "callers ask whether there is a library first"
    for name in ("conv_forward", "conv_backward"):
        function = getattr(found, name)
        function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        function.restype = ctypes.c_int64
    found.conv_scratch_floats.argtypes = (ctypes.c_void_p,)
    for name in ("conv_tile_steps", "conv_scratch_floats"):
        getattr(found, name).restype = ctypes.c_int64
    return found


def _num_units(problem: _Problem) -> int:
    return problem.batch * -(-problem.length // _kernel().conv_tile_steps())


def _run(function: "ctypes._NamedFuncPointer", problem: _Problem) -> None:
    def work(first: int, last: int) -> int:
        memory = torch.empty(_kernel().conv_scratch_floats(ctypes.byref(problem)))
        return function(ctypes.byref(problem), first, last, memory.data_ptr())

    in_ranges(_num_units(problem), work)


def _problem(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, reverse: tuple[bool, ...]
) -> tuple[_Problem, list[Tensor]]:
    """The C view of the operands, and the tensors that have to live as long as it."""
    x = x.float()
    x = x if x.stride(-1) == 1 else x.contiguous()
    taps = weight.float().transpose(-1, -2).contiguous()
    alive = [x, taps]
    problem = _Problem(
        directions=len(reverse),
        batch=x.shape[0],
        length=x.shape[1],
        channels=x.shape[2],
        taps=weight.shape[-1],
        reversed=sum(on << k for k, on in enumerate(reverse)),
        silu=silu,
        x=x.data_ptr(),
        x_stride=x.stride()[:2],
        weight=taps.data_ptr(),
    )
    if bias is not None:
        row = bias.float().contiguous()
        problem.bias = row.data_ptr()
        alive.append(row)
    return problem, alive
