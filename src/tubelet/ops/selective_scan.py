"""The selective scan of Mamba (Gu and Dao 2023, section 3.2): the definition, and the fast twins behind it.

    step_t  = softplus(delta_t + delta_bias)
    state_t = exp(step_t · A) ⊙ state_{t-1} + step_t · B_t · u_t
    y_t     = C_t · state_t + D ⊙ u_t,   gated by silu(z_t)

Every channel has N states of its own; A, B and C say how they fade, fill and are read. B and C vary along time
and are shared by all channels, by the channels of a group, or are constants of each channel.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.ops.backend import forward_mode, scan_is_fused
from tubelet.ops.selective_scan_cpu import not_numbers
from tubelet.ops.selective_scan_op import fused_scan


class Scanned(NamedTuple):
    """What a scan returns. `last_state`, in float32 or finer, lets a later call go on where this one ended."""

    out: Float[Tensor, "batch length channels"]
    last_state: Float[Tensor, "batch channels states"]


def selective_scan(
    u: Float[Tensor, "batch length channels"],
    delta: Float[Tensor, "..."],
    A: Float[Tensor, "..."],
    B: Float[Tensor, "..."],
    C: Float[Tensor, "..."],
    D: Float[Tensor, "..."] | None = None,
    z: Float[Tensor, "..."] | None = None,
    delta_bias: Float[Tensor, "..."] | None = None,
    *,
    delta_softplus: bool = True,
    initial_state: Literal["zero", "first"] | Float[Tensor, "..."] = "zero",
    mask_diagonal: bool = False,
    reverse: bool = False,
) -> Scanned:
    """Scan along time, forwards or, with `reverse`, from the last step to the first.

    Shapes: `delta` and `z` like `u`; `A` (channels, states), negative; `B` and `C` (batch, length, states),
    (batch, length, groups, states) or constant (channels, states); `D` and `delta_bias` (channels,).

    The state before the first step is zero, the first input in every state ("first", VideoMambaPro's residual),
    or a tensor (batch, channels, states). `mask_diagonal` leaves a step's own input out of what is read from the
    state, and at the first step reads nothing; D and the gate stay (VideoMambaPro's masked backward scan).

    Arithmetic is float32, or float64 for such inputs; `out` has the type of `u`. A ConfigError where shapes do
    not fit or, on a CPU, where delta holds NaN.
    """

    def one(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[None]

    start = initial_state if isinstance(initial_state, str) else initial_state[None]
    out, last = _scan(
        u[None], delta[None], A[None], B[None], C[None], one(D), z, one(delta_bias),
        delta_softplus=delta_softplus, initial_state=start, masked=(mask_diagonal,), reverse=(reverse,),
    )  # fmt: skip
    return Scanned(out, last[0])


def bidirectional_scan(
    u: Float[Tensor, "2 batch length channels"],
    delta: Float[Tensor, "..."],
    A: Float[Tensor, "..."],
    B: Float[Tensor, "..."],
    C: Float[Tensor, "..."],
    D: Float[Tensor, "..."] | None = None,
    z: Float[Tensor, "..."] | None = None,
    delta_bias: Float[Tensor, "..."] | None = None,
    *,
    delta_softplus: bool = True,
    initial_state: Literal["zero", "first"] = "zero",
    mask_backward_diagonal: bool = False,
) -> Float[Tensor, "batch length channels"]:
    """The sum of a scan forwards and one backwards, gated once: both directions of a layer in one call.

    Arguments are those of `selective_scan` with a leading axis for the direction (forwards first), except `z`,
    which both share. Nothing is flipped: index 0 is the first step in time of both. An input that serves both
    directions may be expanded along that axis and is then never copied.
    """
    out, _ = _scan(
        u, delta, A, B, C, D, z, delta_bias,
        delta_softplus=delta_softplus, initial_state=initial_state,
        masked=(False, mask_backward_diagonal), reverse=(False, True),
    )  # fmt: skip
    return out


def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor,
    D: Tensor | None, z: Tensor | None, delta_bias: Tensor | None,
    *, delta_softplus: bool, initial_state: str | Tensor, masked: tuple[bool, ...], reverse: tuple[bool, ...],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Any number of directions, by the fastest way there is for these tensors."""
    _check(u, A, len(reverse), delta=delta, z=z, D=D, delta_bias=delta_bias)
    B, C = _same_groups(_grouped("B", B, u, A), _grouped("C", C, u, A))
    start = _starting_state(initial_state, u, A, reverse)
    tensors = (u, delta, A, B, C, D, z, delta_bias, start)
    if scan_is_fused(u, A) and not forward_mode():
        keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)
        out, last, _, _ = fused_scan(*tensors, delta_softplus, list(reverse), list(masked), keep)
    else:
        out, last = scan_definition(*tensors, softplus=delta_softplus, reverse=reverse, masked=masked)
    return out, last


def scan_definition(
    u: Float[Tensor, "directions batch length channels"],
    delta: Float[Tensor, "directions batch length channels"],
    A: Float[Tensor, "directions channels states"],
    B: Float[Tensor, "..."],
    C: Float[Tensor, "..."],
    D: Float[Tensor, "directions channels"] | None = None,
    z: Float[Tensor, "batch length channels"] | None = None,
    delta_bias: Float[Tensor, "directions channels"] | None = None,
    start: Float[Tensor, "directions batch channels states"] | None = None,
    *,
    softplus: bool,
    reverse: tuple[bool, ...],
    masked: tuple[bool, ...],
) -> tuple[Float[Tensor, "batch length channels"], Float[Tensor, "directions batch channels states"]]:
    """What every twin computes, written out: the gated sum over directions, and their last states.

    `B` and `C` are (directions, batch, length, groups, states) or constant (directions, channels, states). Time
    and memory grow linearly with length, backwards too: steps are taken apart once, not sliced one by one.
    """
    steps_given = delta if delta_bias is None else delta + delta_bias[:, None, None]
    if bool(steps_given.isnan().any()):
        raise ConfigError(not_numbers(int(steps_given.isnan().sum()), delta))
    exact = torch.promote_types(u.dtype, torch.float32)
    total, last_states = torch.zeros((), dtype=exact, device=u.device), []
    for k in range(len(u)):
        x, A_k = u[k].to(exact), A[k].to(exact)
        step = delta[k].to(exact) if delta_bias is None else delta[k].to(exact) + delta_bias[k].to(exact)
        step = F.softplus(step) if softplus else step
        B_t, C_t = (_per_channel(m[k].to(exact), *x.shape[1:]) for m in (B, C))
        steps = [part.unbind(1) for part in (step, x)]
        state = x.new_zeros(len(x), *A_k.shape) if start is None else start[k].to(exact)
        read: dict[int, Tensor] = {}
        order = range(x.shape[1])
        for t in reversed(order) if reverse[k] else order:
            step_t, drive = steps[0][t].unsqueeze(-1), (steps[0][t] * steps[1][t]).unsqueeze(-1)
            carried = torch.exp(step_t * A_k) * state
            state = carried + drive * B_t[t]
            seen = carried if masked[k] else state
            first = not read
            read[t] = (seen * C_t[t]).sum(-1) * (0.0 if masked[k] and first else 1.0)
        y = torch.stack([read[t] for t in order], dim=1)
        total = total + (y if D is None else y + D[k].to(exact) * x)
        last_states.append(state)
    gated = total if z is None else total * F.silu(z.to(exact))
    return gated.to(u.dtype), torch.stack(last_states)


def _per_channel(matrix: Tensor, length: int, channels: int) -> tuple[Tensor, ...]:
    """B or C of every step, to be multiplied with (batch, channels, states)."""
    if matrix.ndim == 2:
        return (matrix,) * length
    groups = matrix.shape[2]
    return tuple(
        m if groups == 1 else m.repeat_interleave(channels // groups, dim=1) for m in matrix.unbind(1)
    )


def _starting_state(initial: str | Tensor, u: Tensor, A: Tensor, reverse: tuple[bool, ...]) -> Tensor | None:
    """(directions, batch, channels, states), or None for zeros."""
    if isinstance(initial, Tensor):
        expected = (*u.shape[:2], *A.shape[1:])
        if initial.shape != expected:
            raise ConfigError(
                f"initial_state is {tuple(initial.shape[1:])}; these inputs need {expected[1:]}"
            )
        return initial
    if initial == "zero":
        return None
    if initial != "first":
        raise ConfigError(f'initial_state is {initial!r}; it is "zero", "first" or a tensor')
    first = torch.stack([u[k, :, -1 if backwards else 0] for k, backwards in enumerate(reverse)])
    return first.unsqueeze(-1).expand(*first.shape, A.shape[-1])


def _grouped(name: str, matrix: Tensor, u: Tensor, A: Tensor) -> Tensor:
    """B or C as (directions, batch, length, groups, states), or constant; a ConfigError for other shapes."""
    directions, batch, length, channels = u.shape
    states = A.shape[-1]
    if matrix.ndim == 3:
        expected: tuple[object, ...] = (directions, channels, states)
    elif matrix.ndim == 4:
        expected = (directions, batch, length, states)
    else:
        expected = (directions, batch, length, "groups", states)
    found = tuple(matrix.shape)
    if len(found) != len(expected) or any(
        wanted not in (size, "groups") for size, wanted in zip(found, expected, strict=True)
    ):
        shape = ", ".join(map(str, expected[1:]))
        raise ConfigError(f"{name} is {found[1:]}; these inputs need ({shape})")
    if matrix.ndim == 5 and (matrix.shape[3] < 1 or channels % matrix.shape[3]):
        raise ConfigError(
            f"{name} has {matrix.shape[3]} groups, into which {channels} channels do not divide"
        )
    return matrix.unsqueeze(3) if matrix.ndim == 4 else matrix


def _same_groups(B: Tensor, C: Tensor) -> tuple[Tensor, Tensor]:
    """Both with as many groups as the finer one; the other is expanded."""
    groups = max(x.shape[3] if x.ndim == 5 else 1 for x in (B, C))
    for name, x in (("B", B), ("C", C)):
        if x.ndim == 5 and x.shape[3] not in (1, groups):
            raise ConfigError(f"{name} has {x.shape[3]} groups and the other {groups}; give both the same")
    B, C = (x.expand(-1, -1, -1, groups, -1) if x.ndim == 5 else x for x in (B, C))
    return B, C


def _check(u: Tensor, A: Tensor, directions: int, **others: Tensor | None) -> None:
    """A ConfigError unless everything fits u (directions, batch, length, channels) and A."""
    # One direction has its axis from us; the caller never saw it.
    hidden = 1 if directions == 1 else 0
    if u.ndim != 4 or not u.is_floating_point():
        raise ConfigError(
            f"u is {tuple(u.shape[hidden:])} of {u.dtype}; a scan needs floats (batch, length, channels)"
        )
    if u.shape[0] != directions:
        raise ConfigError(f"u has {u.shape[0]} directions; this scan has {directions}")
    if min(u.shape) < 1:
        raise ConfigError(f"u is {tuple(u.shape[hidden:])}; a scan needs at least 1 clip, step and channel")
    if A.ndim != 3 or A.shape[:2] != (directions, u.shape[-1]) or A.shape[-1] < 1:
        raise ConfigError(f"A is {tuple(A.shape[1:])}; {u.shape[-1]} channels need ({u.shape[-1]}, states)")
    row = (directions, u.shape[-1])
    expected = {"delta": tuple(u.shape), "z": (1, *u.shape[1:]), "D": row, "delta_bias": row}
    for name, x in others.items():
        if x is None:
            continue
        found = (1, *x.shape) if name == "z" else tuple(x.shape)
        if found != expected[name]:
            own = 1 if name == "z" else hidden
            raise ConfigError(
                f"{name} is {found[own:]}; u of {tuple(u.shape[hidden:])} needs {expected[name][own:]}"
            )
        if x.device != u.device:
            raise ConfigError(f"{name} is on {x.device} and u on {u.device}; move both to one device")
