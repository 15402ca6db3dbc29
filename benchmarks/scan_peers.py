"""Selective scans of one direction in plain PyTorch to measure against: a lean loop in two forms, chunks of time.

All take u, delta, A, B, C, D, z and delta_bias of `tubelet.ops.selective_scan.selective_scan` (B and C along
time) and leave the backward pass to autograd.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 64  # steps


def lean_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """One addcmul per step; everything that does not need the state before is done for all steps at once."""
    step = F.softplus(delta + delta_bias)
    factors = (step.unsqueeze(-1) * A).exp_().unbind(1)
    drives = ((step * u).unsqueeze(-1) * B.unsqueeze(2)).unbind(1)
    state, states = drives[0], [drives[0]]
    for factor, drive in zip(factors[1:], drives[1:], strict=True):
        state = torch.addcmul(drive, factor, state)
        states.append(state)
    return _read(states, u, C, D, z)


def small_steps_loop(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """Everything of one step after the other, in the cache: faster where large results meet fresh memory."""
    step = F.softplus(delta + delta_bias)
    state = torch.zeros(len(u), *A.shape, dtype=step.dtype, device=u.device)
    states = []
    rows = (x.unbind(1) for x in (step.unsqueeze(-1), (step * u).unsqueeze(-1), B.unsqueeze(2)))
    for step_t, drive_t, B_t in zip(*rows, strict=True):
        state = torch.addcmul((step_t * A).exp_() * state, drive_t, B_t)
        states.append(state)
    return _read(states, u, C, D, z)


def _read(states: list[Tensor], u: Tensor, C: Tensor, D: Tensor, z: Tensor) -> Tensor:
    """The contraction with C for all steps at once, the skip and the gate."""
    y = torch.matmul(torch.stack(states, 1), C.unsqueeze(-1)).squeeze(-1)
    return (y + D * u) * F.silu(z)


def chunked(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """The straightforward way on a GPU: all chunks of time take their steps together, and then hand on states.

    Step i of every chunk at once makes CHUNK small loops of large operations, then one addcmul per chunk. Nothing
    is divided by a running product, so nothing overflows.
    """
    batch, length, channels = u.shape
    chunks = -(-length // CHUNK)
    step = F.softplus((delta + delta_bias).float())
    # Steps that fill up the last chunk are zero: they change no state.
    padded = (F.pad(x.float(), (0, 0, 0, chunks * CHUNK - length)) for x in (step, step * u, B, C))
    step, drive, B, C = (x.view(batch, chunks, CHUNK, -1) for x in padded)
    factors = (step.unsqueeze(-1) * A).exp()
    inside = _steps(factors, drive.unsqueeze(-1) * B.unsqueeze(3))
    since_start = (step.cumsum(2).unsqueeze(-1) * A).exp()
    starts = _steps(since_start[:, :, -1].unsqueeze(1), inside[:, :, -1].unsqueeze(1))[:, 0]
    starts = F.pad(starts[:, :-1], (0, 0, 0, 0, 1, 0))
    states = torch.addcmul(inside, since_start, starts.unsqueeze(2))
    y = torch.matmul(states, C.unsqueeze(-1)).view(batch, chunks * CHUNK, channels)[:, :length]
    return ((y + D * u) * F.silu(z.float())).to(u.dtype)


def _steps(factors: Tensor, drives: Tensor) -> Tensor:
    """state_t = factor_t · state_{t-1} + drive_t along axis 2, from zero."""
    state = torch.zeros_like(drives[:, :, 0])
    states = []
    for factor, drive in zip(factors.unbind(2), drives.unbind(2), strict=True):
        state = torch.addcmul(drive, factor, state)
        states.append(state)
    return torch.stack(states, 2)
