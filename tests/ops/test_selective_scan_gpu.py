"""The selective scan on a real GPU, through the functions that everybody calls."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tubelet.ops.selective_scan import bidirectional_scan, scan_definition, selective_scan

pytestmark = pytest.mark.gpu
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def operands(batch: int, length: int, channels: int, states: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Both directions, sharing nothing; A, D and the bias are float32."""
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int, like: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda").to(like)

    along = (2, batch, length)
    return {
        "u": random(*along, channels, like=dtype),
        "delta": (random(*along, channels) - 2).to(dtype),
        "A": -random(2, channels, states).exp(),
        "B": random(*along, states, like=dtype),
        "C": random(*along, states, like=dtype),
        "D": random(2, channels),
        "z": random(batch, length, 2 * channels, like=dtype)[..., channels:],
        "delta_bias": random(2, channels),
    }


def difference(found: Tensor, exact: Tensor) -> float:
    assert found.shape == exact.shape
    return float((found.detach().double() - exact).norm() / exact.norm())


def exact_results(inputs: dict[str, Tensor], grad_out: Tensor, **options: Any) -> list[Tensor]:
    """Output and gradients of the definition in float64."""
    doubles = [x.detach().double().requires_grad_() for x in inputs.values()]
    u, delta, A, B, C, D, z, bias = doubles
    out, _ = scan_definition(
        u, delta, A, B.unsqueeze(3), C.unsqueeze(3), D, z, bias, softplus=True, **options
    )
    return [out.detach(), *torch.autograd.grad(out, doubles, grad_out.double())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("batch", "length", "channels", "states"),
    [(1, 1, 5, 3), (2, 197, 384, 16), (3, 101, 20, 64), (1, 12545, 64, 16)],
)
@pytest.mark.parametrize("masked", [False, True])
def test_both_directions_agree_with_the_definition(
    batch: int, length: int, channels: int, states: int, masked: bool, dtype: torch.dtype
):
    inputs = operands(batch, length, channels, states, dtype)
    leaves = [x.requires_grad_() for x in inputs.values()]
    out = bidirectional_scan(*leaves, mask_backward_diagonal=masked)
    grad_out = torch.randn_like(out)
    found = [out, *torch.autograd.grad(out, leaves, grad_out)]
    exact = exact_results(inputs, grad_out, reverse=(False, True), masked=(False, masked))
    for name, ours, theirs in zip(("out", *NAMES), found, exact, strict=True):
        bound = (6e-7 if name == "out" else 2e-6) if dtype == torch.float32 else 1e-2
        assert difference(ours, theirs) < bound, name


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_goes_on_where_another_one_ended(reverse: bool):
    inputs: dict[str, Any] = {
        name: x if name == "z" else x[0] for name, x in operands(2, 300, 40, 16, torch.float32).items()
    }

    def part(steps: slice, start: Any) -> tuple[Tensor, Tensor]:
        along = {name: x[:, steps] for name, x in inputs.items() if name in ("u", "delta", "B", "C", "z")}
        return selective_scan(**inputs | along, initial_state=start, reverse=reverse)

    whole = part(slice(None), "zero")
    first, second = (slice(101, None), slice(101)) if reverse else (slice(199), slice(199, None))
    begun = part(first, "zero")
    ended = part(second, begun[1])
    pieces = (ended[0], begun[0]) if reverse else (begun[0], ended[0])
    torch.testing.assert_close(torch.cat(pieces, 1), whole[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ended[1], whole[1], rtol=1e-4, atol=1e-5)


def test_two_calls_give_the_same_bits():
    leaves = [x.requires_grad_() for x in operands(4, 1569, 384, 16, torch.bfloat16).values()]

    def gradients() -> list[Tensor]:
        out = bidirectional_scan(*leaves)
        return [out, *torch.autograd.grad(out.float().square().sum(), leaves)]

    for first, second in zip(gradients(), gradients(), strict=True):
        assert torch.equal(first, second)


def test_a_compiled_function_holds_the_scan_as_one_node():
    leaves = [x.requires_grad_() for x in operands(2, 70, 48, 16, torch.float32).values()]

    def mixed(u: Tensor, *others: Tensor) -> Tensor:
        return bidirectional_scan(2 * u, *others).square()

    compiled = torch.compile(mixed, fullgraph=True)(*leaves)
    torch.testing.assert_close(compiled, mixed(*leaves))
    grads = [torch.autograd.grad(out.sum(), leaves) for out in (compiled, mixed(*leaves))]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
