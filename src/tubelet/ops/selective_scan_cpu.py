"""The CPU twin of the selective scan: the C kernel behind `scan_forward` and `scan_backward`."""

import ctypes
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.ops.compiled import in_ranges, library

# As in the C file.
LANES = 16  # channels per vector
STATES = 16  # states per block
TILE = 32  # steps per tile
WIDTH = 4  # lane vectors per unit of work
LOG2_E = 1.4426950408889634

_Floats = ctypes.c_void_p


class _Problem(ctypes.Structure):
    """`problem` of the C file, field by field."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("directions", "batch", "length", "channels", "groups", "states")
        ),
        *((name, ctypes.c_int64) for name in ("softplus", "reversed", "masked")),
        *((name, ctypes.c_int64) for name in ("constant_B", "constant_C", "growing")),
        *((name, _Floats) for name in ("u", "delta", "z", "A", "B", "C", "D", "bias")),
        ("u_stride", ctypes.c_int64 * 3),
        ("delta_stride", ctypes.c_int64 * 3),
        ("z_stride", ctypes.c_int64 * 2),
        ("B_stride", ctypes.c_int64 * 4),
        ("C_stride", ctypes.c_int64 * 4),
        *((name, _Floats) for name in ("out", "y", "kept", "last", "grad_out")),
        *((f"grad_{name}", _Floats) for name in ("u", "delta", "z", "A", "B", "C", "D", "bias", "start")),
    )


@dataclass(frozen=True)
class Packing:
    """Channels as whole lane vectors inside their groups, states as whole blocks."""

    groups: int
    channels: int
    states: int

    @property
    def lane_vectors(self) -> int:
        """Of one group."""
        return -(-self.channels // self.groups // LANES)

    @property
    def padded_states(self) -> int:
        return -(-self.states // STATES) * STATES

    def pack(self, values: Tensor) -> Tensor:
        """(..., channels, states) to (..., groups, lane vectors, states, lanes), zeros in the padding."""
        values = values.float().unflatten(-2, (self.groups, -1))
        spare = self.lane_vectors * LANES - values.shape[-2]
        if spare or self.padded_states != self.states:
            values = F.pad(values, (0, self.padded_states - self.states, 0, spare))
        return values.unflatten(-2, (-1, LANES)).transpose(-1, -2).contiguous()

    def unpack(self, packed: Tensor) -> Tensor:
        """The inverse of `pack`."""
        values = packed.transpose(-1, -2).flatten(-3, -2)[..., : self.channels // self.groups, : self.states]
        return values.flatten(-3, -2).contiguous()

    def pack_row(self, values: Tensor) -> Tensor:
        """(..., channels) to (..., groups, lane vectors, lanes), zeros in the padding."""
        values = values.float().unflatten(-1, (self.groups, -1))
        spare = self.lane_vectors * LANES - values.shape[-1]
        return F.pad(values, (0, spare)).contiguous() if spare else values.contiguous()

    def unpack_row(self, packed: Tensor) -> Tensor:
        """(..., groups, lane vectors, lanes) to (..., channels)."""
        return packed.flatten(-2)[..., : self.channels // self.groups].flatten(-2).contiguous()


@dataclass(frozen=True, kw_only=True)
class Operands:
    """What a scan reads. Shapes and meaning: `tubelet.ops.selective_scan_op`."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    start: Tensor | None
    softplus: bool
    reverse: tuple[bool, ...]
    masked: tuple[bool, ...]

    @property
    def packing(self) -> Packing:
        groups = max(x.shape[3] if x.ndim == 5 else 1 for x in (self.B, self.C))
        return Packing(groups, *self.A.shape[-2:])


def kept_shape(given: Operands) -> tuple[int, ...]:
    """Of the states before every tile, which the forward pass keeps for the backward one."""
    packing, (directions, batch, length, _) = given.packing, given.u.shape
    tiles = -(-length // TILE)
    return (directions, batch, packing.groups, packing.lane_vectors, tiles, packing.padded_states, LANES)


def not_numbers(count: int, delta: Tensor) -> str:
    """What is wrong with steps that cannot be computed."""
    return f"delta, with its bias, holds {count} values that are not numbers (NaN) of {delta.numel()}"


# Of u, delta, A, B, C, D, z, delta_bias and start, in float32; empty for a tensor that was not given.
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def scan_forward(given: Operands, keep: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(out, last state, y, kept): what the operator of selective_scan_op.py returns."""
    problem, alive = _problem(given)
    packing, (directions, batch, length, channels) = given.packing, given.u.shape
    out = given.u.new_empty(batch, length, channels, dtype=torch.float32)
    if given.start is None:
        shape = (packing.groups, packing.lane_vectors, packing.padded_states, LANES)
        last = out.new_zeros((directions, batch, *shape))
    else:
        last = packing.pack(given.start)
    y = torch.empty_like(out) if keep and given.z is not None else out.new_empty(0)
    kept = out.new_empty(kept_shape(given) if keep else 0)
    problem.out, problem.last = out.data_ptr(), last.data_ptr()
    problem.y = y.data_ptr() if y.numel() else None
    problem.kept = kept.data_ptr() if keep else None
    blocks = -(-packing.lane_vectors // WIDTH)
    bad = _run(_kernel().scan_forward, problem, batch * packing.groups * blocks)
    if bad:
        raise ConfigError(not_numbers(bad, given.delta))
    del alive
    return out.to(given.u.dtype), packing.unpack(last), y, kept


def scan_backward(given: Operands, y: Tensor, kept: Tensor, grad_out: Tensor, grad_last: Tensor) -> Gradients:
    """Gradients of u, delta, A, B, C, D, z, delta_bias and start, in float32; empty for what was not given."""
    problem, alive = _problem(given)
    packing, (directions, batch, length, _) = given.packing, given.u.shape
    blocks = -(-packing.lane_vectors // WIDTH)
    grad_out = grad_out.float().contiguous()
    shared = (directions, batch, packing.groups, packing.lane_vectors)
    per_state = (*shared, packing.padded_states, LANES)
    sums = (directions, batch, packing.groups, blocks, length, packing.padded_states)
    grads = {
        "u": grad_out.new_empty(given.u.shape),
        "delta": grad_out.new_empty(given.u.shape),
        "z": grad_out.new_empty(0 if given.z is None else grad_out.shape),
        "A": grad_out.new_zeros(per_state),
        "B": grad_out.new_zeros(per_state) if given.B.ndim == 3 else grad_out.new_empty(sums),
        "C": grad_out.new_zeros(per_state) if given.C.ndim == 3 else grad_out.new_empty(sums),
        "D": grad_out.new_zeros(0 if given.D is None else (*shared, LANES)),
        "bias": grad_out.new_zeros(0 if given.delta_bias is None else (*shared, LANES)),
        "start": packing.pack(grad_last),
    }
    for name, gradient in grads.items():
        setattr(problem, f"grad_{name}", gradient.data_ptr())
    problem.grad_out = grad_out.data_ptr()
    problem.y, problem.kept = y.data_ptr(), kept.data_ptr()
    _run(_kernel().scan_backward, problem, directions * batch * packing.groups * blocks)
    del alive
    grad_B, grad_C = (
        packing.unpack(_sum(grads[name])) if x.ndim == 3 else _over_blocks(grads[name], packing.states)
        for name, x in (("B", given.B), ("C", given.C))
    )
    return (
        grads["u"],
        grads["delta"],
        packing.unpack(_sum(grads["A"])),
        grad_B,
        grad_C,
        grads["D"] if given.D is None else packing.unpack_row(_sum(grads["D"])),
        grads["z"],
        grads["bias"] if given.delta_bias is None else packing.unpack_row(_sum(grads["bias"])),
        grad_out.new_empty(0) if given.start is None else packing.unpack(grads["start"]),
    )


def _sum(values: Tensor) -> Tensor:
    """Over clips, one after the other, so that the order of additions is fixed."""
    total = values[:, 0]
    for i in range(1, values.shape[1]):
        total = total + values[:, i]
    return total


def _over_blocks(values: Tensor, states: int) -> Tensor:
    """(directions, clips, groups, blocks, steps, states) summed to (directions, clips, steps, groups, states)."""
    total = values[:, :, :, 0]
    for i in range(1, values.shape[3]):
        total = total + values[:, :, :, i]
    return total[..., :states].transpose(2, 3).contiguous()


@cache
def _kernel() -> ctypes.CDLL:
    found = library()
    assert found is not None, "callers ask whether there is a library first"
    for name in ("scan_forward", "scan_backward"):
        function = getattr(found, name)
        function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        function.restype = ctypes.c_int64
    found.any_positive.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    for name in ("any_positive", "scratch_bytes"):
        getattr(found, name).restype = ctypes.c_int64
    return found


def _run(function: "ctypes._NamedFuncPointer", problem: _Problem, num_units: int) -> int:
    def work(first: int, last: int) -> int:
        memory = torch.empty(_kernel().scratch_bytes(), dtype=torch.uint8)
        return function(ctypes.byref(problem), first, last, memory.data_ptr())

    return in_ranges(num_units, work)


def _problem(given: Operands) -> tuple[_Problem, list[Tensor]]:
    """The C view of the operands, and the tensors that have to live as long as it."""
    packing = given.packing
    directions, batch, length, channels = given.u.shape
    u, delta = _rows(given.u), _rows(given.delta)
    A = packing.pack(given.A.float() * LOG2_E)
    B, C = (packing.pack(x) if x.ndim == 3 else _rows(x) for x in (given.B, given.C))
    alive = [u, delta, A, B, C]
    problem = _Problem(
        directions=directions,
        batch=batch,
        length=length,
        channels=channels,
        groups=packing.groups,
        states=packing.states,
        softplus=given.softplus,
        reversed=sum(on << k for k, on in enumerate(given.reverse)),
        masked=sum(on << k for k, on in enumerate(given.masked)),
        constant_B=given.B.ndim == 3,
        constant_C=given.C.ndim == 3,
        growing=not given.softplus or _kernel().any_positive(A.data_ptr(), A.numel()),
        u=u.data_ptr(),
        delta=delta.data_ptr(),
        A=A.data_ptr(),
        B=B.data_ptr(),
        C=C.data_ptr(),
        u_stride=u.stride()[:3],
        delta_stride=delta.stride()[:3],
    )
    if given.B.ndim == 5:
        problem.B_stride = B.stride()[:4]
    if given.C.ndim == 5:
        problem.C_stride = C.stride()[:4]
    if given.z is not None:
        z = _rows(given.z)
        problem.z, problem.z_stride = z.data_ptr(), z.stride()[:2]
        alive.append(z)
    for name, row in (("D", given.D), ("bias", given.delta_bias)):
        if row is not None:
            packed = packing.pack_row(row)
            setattr(problem, name, packed.data_ptr())
            alive.append(packed)
    return problem, alive


def _rows(values: Tensor) -> Tensor:
    """In float32, with the last axis contiguous; other axes may have any stride."""
    values = values.float()
    return values if values.stride(-1) == 1 else values.contiguous()
