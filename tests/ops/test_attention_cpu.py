import pytest
import torch

from tubelet.ops import attention_cpu
from tubelet.ops.attention import attention_definition
from tubelet.ops.attention_cpu import tiled_attention


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(attention_cpu, "ROWS", 4)


def qkv(
    queries: int, keys: int, dtype: torch.dtype, head_dim: int = 8
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As the layers make them: heads beside each other in memory."""
    q, k, v = (
        torch.randn(2, n, 3, head_dim).to(dtype).transpose(1, 2).requires_grad_()
        for n in (queries, keys, keys)
    )
    return q, k, v


@pytest.mark.parametrize("queries", [1, 3, 4, 11])
def test_tiles_equal_the_definition(queries: int):
    inputs = qkv(queries, 9, torch.float32)
    tiled, definition = tiled_attention(*inputs, 0.3), attention_definition(*inputs, 0.3)
    torch.testing.assert_close(tiled, definition, rtol=1e-5, atol=1e-6)
    direction = torch.randn_like(tiled)
    for ours, theirs in zip(
        torch.autograd.grad(tiled, inputs, direction),
        torch.autograd.grad(definition, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_derivative_is_that_of_finite_differences():
    assert torch.autograd.gradcheck(
        lambda q, k, v: tiled_attention(q, k, v, 0.3), qkv(6, 5, torch.float64, head_dim=2)
    )


def test_gradients_repeat_bit_for_bit():
    inputs = qkv(11, 9, torch.float32)
    direction = torch.randn(2, 3, 11, 8)
    first, second = (torch.autograd.grad(tiled_attention(*inputs, 0.3), inputs, direction) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_bfloat16_gradients_are_no_worse_than_written_out():
    inputs = qkv(64, 48, torch.bfloat16)
    q, k, v = (x.detach().double().requires_grad_() for x in inputs)
    direction = torch.randn(2, 3, 64, 8).to(torch.bfloat16)
    truth = torch.autograd.grad(attention_definition(q, k, v, 0.5), (q, k, v), direction.double())
    errors = [
        [
            (gradient.double() - expected).norm()
            for gradient, expected in zip(
                torch.autograd.grad(way(*inputs, 0.5), inputs, direction), truth, strict=True
            )
        ]
        for way in (tiled_attention, attention_definition)
    ]
    assert all(tiled <= 1.2 * written for tiled, written in zip(*errors, strict=True))


def test_nothing_as_large_as_the_scores_is_kept():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        tiled_attention(*qkv(200, 200, torch.float32), 0.3)
    assert max(kept) == 2 * 3 * 200 * 8


def test_deriving_twice_is_an_error():
    q, k, v = qkv(5, 5, torch.float32)
    direction = torch.ones(2, 3, 5, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(tiled_attention(q, k, v, 0.3), q, direction, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
