import pytest
import torch
from torch.nn import functional as F

from tubelet.ops import linear as module
from tubelet.ops.linear import scaled_linear


@pytest.mark.parametrize("bias_last", [False, True])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 7), (0, 7)])
def test_the_product_is_scaled_and_the_bias_is_not(
    shape: tuple[int, ...], bias_last: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "bias_is_faster_added_last", lambda x: bias_last)
    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in (shape, (5, 7), (5,))]
    x, weight, bias = inputs
    ours, expected = scaled_linear(x, weight, bias, 1.7), 1.7 * F.linear(x, weight) + bias
    torch.testing.assert_close(ours, expected)
    direction = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, inputs, direction), torch.autograd.grad(expected, inputs, direction)
    )


def test_rows_that_do_not_lie_side_by_side_are_mapped_as_well(monkeypatch: pytest.MonkeyPatch):
    x, weight, bias = torch.randn(2, 7, 3).transpose(1, 2), torch.randn(5, 7), torch.randn(5)
    for bias_last in (False, True):
        monkeypatch.setattr(module, "bias_is_faster_added_last", lambda x, last=bias_last: last)
        torch.testing.assert_close(scaled_linear(x, weight, bias, 0.5), 0.5 * x @ weight.T + bias)


def test_autocast_rounds_once_where_the_bias_goes_along():
    x, weight, bias = torch.randn(2, 7), torch.randn(5, 7), torch.randn(5)
    with torch.autocast("cpu", torch.bfloat16):
        assert scaled_linear(x, weight, bias, 0.5).dtype == torch.bfloat16
