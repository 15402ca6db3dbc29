"""Recorded selective scans and causal convolutions, as published and as VideoMambaPro changes them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tubelet.ops.causal_conv1d import causal_conv1d
from tubelet.ops.selective_scan import selective_scan
from tubelet.parity.agreement import (
    GRADIENT_TOLERANCE,
    assert_close,
    assert_gradient_close,
    assert_gradients_close,
)
from tubelet.parity.case import Case


def scan(case: Case, **options: Any) -> None:
    config = case.config
    inputs = {name: x.requires_grad_() for name, x in case.tensors("in").items() if name != "dout"}
    given = {name: to_length_first(name, x) for name, x in inputs.items()}
    out, last_state = selective_scan(**given, delta_softplus=config["delta_softplus"], **options)
    recorded, bf16 = case.tensors("out"), config.get("dtype") == "bfloat16"
    out = out.transpose(1, 2)
    if options.get("mask_diagonal"):
        last_state = seen_last(given, last_state, softplus=config["delta_softplus"])
    assert out.dtype == recorded["out"].dtype
    assert_close(out, recorded["out"], "out", atol=8e-3 if bf16 else 1e-5)
    assert_close(last_state.float(), recorded["last_state"], "last_state")
    out.backward(case.tensors("in")["dout"].to(out.dtype))
    for name, expected in case.tensors("grad").items():
        found = inputs[name].grad
        ours = torch.zeros_like(expected) if found is None else found
        assert ours.dtype == expected.dtype, name
        # The published gate is rounded to bfloat16, ours is not, and a step of it is up to 2^-7 of a value.
        tolerance = 2**-7 if bf16 else GRADIENT_TOLERANCE
        assert_gradient_close(ours, expected, name, tolerance, least=1e-6)


def to_length_first(name: str, x: Tensor) -> Tensor:
    """Recorded sequences have their length last, B and C (b, n, l) or (b, G, n, l)."""
    if name in ("B", "C") and x.ndim == 4:
        return x.permute(0, 3, 1, 2)
    return x.transpose(1, 2) if x.ndim == 3 else x


def seen_last(given: dict[str, Tensor], state: Tensor, *, softplus: bool) -> Tensor:
    """What the masked scan reads at its last step, which is what the published function returns as its state."""
    if given["u"].shape[1] == 1:
        return torch.zeros_like(state)
    # One more step that neither fades nor reads shows the last step's own contribution.
    alone, after = selective_scan(
        given["u"][:, -1:],
        given["delta"][:, -1:],
        given["A"],
        *(given[name] if given[name].ndim == 2 else given[name][:, -1:] for name in ("B", "C")),
        delta_bias=given.get("delta_bias"),
        delta_softplus=softplus,
    )
    del alone
    return state - after


def check_scan(case: Case) -> None:
    scan(case)


def check_scan_from_first(case: Case) -> None:
    scan(case, initial_state="first")


def check_scan_masked(case: Case) -> None:
    scan(case, initial_state="first", mask_diagonal=True)


def check_conv(case: Case) -> None:
    inputs = {name: x.requires_grad_() for name, x in case.tensors("in").items() if name != "dout"}
    silu = case.config["act"] == "silu"
    out = causal_conv1d(inputs["x"].transpose(1, 2), inputs["weight"], inputs.get("bias"), silu=silu)
    assert_close(out.transpose(1, 2), case.tensors("out")["out"], "out")
    out.backward(case.tensors("in")["dout"].transpose(1, 2))
    found = {name: x.grad for name, x in inputs.items() if x.grad is not None}
    assert_gradients_close(found, case.tensors("grad"))


CHECKS: dict[str, Callable[[Case], None]] = {
    "ops.selective_scan": check_scan,
    "ops.causal_conv1d": check_conv,
    "videomambapro.scan_init": check_scan_from_first,
    "videomambapro.scan_masked": check_scan_masked,
}
