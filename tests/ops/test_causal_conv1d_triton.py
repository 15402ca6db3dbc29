from pathlib import Path
from types import ModuleType

import pytest
import torch

from tests.ops.interpreter import interpreted
from tests.ops.offline import compile_for_hopper
from tubelet.ops.causal_conv1d import bidirectional_conv1d, conv_definition

CASES = {
    # reverse, taps, with a bias, with silu, type
    "two directions": ((False, True), 4, True, True, torch.float32),
    "backwards without bias": ((True,), 3, False, True, torch.float32),
    "without an activation": ((False,), 2, True, False, torch.float32),
    "one tap": ((False, True), 1, True, True, torch.float32),
    "bfloat16": ((False, True), 4, True, True, torch.bfloat16),
}


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return interpreted(monkeypatch, "causal_conv1d_triton")


@pytest.mark.parametrize("length", [2, 70])
@pytest.mark.parametrize("name", CASES)
def test_interpreted_kernels_agree_with_the_definition(name: str, length: int, twin: ModuleType):
    reverse, taps, with_bias, silu, dtype = CASES[name]
    directions, channels = len(reverse), 5
    # Half of a wider tensor, as in_proj makes it.
    x = torch.randn(2, length, 2 * channels).to(dtype)[..., :channels]
    weight = torch.randn(directions, channels, taps)
    bias = torch.randn(directions, channels) if with_bias else None
    exact = [None if tensor is None else tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    expected = conv_definition(*exact, silu=silu, reverse=reverse)  # pyright: ignore[reportArgumentType]
    grad_out = torch.randn(expected.shape).to(dtype)
    there = [tensor for tensor in exact if tensor is not None]
    out = twin.conv_forward(x, weight, bias, silu, reverse)
    assert out.dtype == dtype
    # The interpreter rounds to bfloat16 by cutting.
    assert difference(out, expected.detach()) < (5e-3 if dtype == torch.bfloat16 else 6e-7)
    found = twin.conv_backward(x, weight, bias, silu, reverse, grad_out)
    for gradient, other in zip(found, torch.autograd.grad(expected, there, grad_out.double()), strict=False):
        assert gradient.is_contiguous()
        assert difference(gradient, other) < 2e-6
    assert with_bias or not found[2].numel()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 197, 12545])
def test_on_a_gpu_the_convolution_agrees_with_the_definition(length: int, dtype: torch.dtype):
    x, weight, bias = (
        torch.randn(shape, device="cuda") for shape in ((2, length, 400), (2, 400, 4), (2, 400))
    )
    inputs = [x.to(dtype).requires_grad_(), weight.requires_grad_(), bias.requires_grad_()]
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    out = bidirectional_conv1d(*inputs)
    expected = conv_definition(*exact, silu=True, reverse=(False, True))
    bound = 1e-2 if dtype == torch.bfloat16 else 2e-6
    assert difference(out, expected.detach()) < bound
    grad_out = torch.randn_like(out)
    grads = torch.autograd.grad(out, inputs, grad_out)
    for gradient, other in zip(grads, torch.autograd.grad(expected, exact, grad_out.double()), strict=True):
        assert difference(gradient, other) < bound


@pytest.mark.gpu
def test_on_a_gpu_a_compiled_function_holds_the_convolution_as_one_node():
    x, weight = (torch.randn(shape, device="cuda", requires_grad=True) for shape in ((2, 70, 64), (2, 64, 4)))

    def mixed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return bidirectional_conv1d(2 * x, weight).sum(0)

    compiled = torch.compile(mixed, fullgraph=True)(x, weight)
    torch.testing.assert_close(compiled, mixed(x, weight))
    grads = (torch.autograd.grad(out.square().sum(), (x, weight)) for out in (compiled, mixed(x, weight)))
    torch.testing.assert_close(*grads)


def difference(found: torch.Tensor, exact: torch.Tensor) -> float:
    assert found.shape == exact.shape
    return float((found.detach().double() - exact).norm() / exact.norm())


def test_kernels_compile_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("triton")
    from tubelet.ops import causal_conv1d_triton as kernels

    for kernel in (kernels.conv_kernel, kernels.conv_gradient_kernel):
        compile_for_hopper(
            kernel, tmp_path, monkeypatch, K=2, REVERSED=2, TAPS=4, SILU=True, BLOCK=128, SPAN=64, batch=1
        )
