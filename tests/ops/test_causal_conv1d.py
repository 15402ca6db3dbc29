from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.ops.causal_conv1d import bidirectional_conv1d, causal_conv1d

SIZES = [
    (2, 9, 5, 4),
    (1, 2, 3, 4),
    (2, 130, 40, 4),
    (1, 200, 33, 3),
    (1, 70, 16, 6),
    (1, 5, 16, 1),
    (1, 80, 3, 65),
]


def inputs(batch: int, length: int, channels: int, taps: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {
        "x": torch.randn(batch, length, channels, generator=generator, dtype=torch.float64),
        "weight": torch.randn(channels, taps, generator=generator, dtype=torch.float64),
        "bias": torch.randn(channels, generator=generator, dtype=torch.float64),
    }


def results(given: dict[str, Any], **options: Any) -> dict[str, Tensor]:
    leaves: dict[str, Any] = {name: x.detach().requires_grad_() for name, x in given.items()}
    out = causal_conv1d(**leaves, **options)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    (out * weights.to(out.dtype)).sum().backward()
    return {"out": out.detach()} | {name: x.grad for name, x in leaves.items() if x.grad is not None}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_cpu_kernel_is_as_exact_as_float32_allows(size: tuple[int, int, int, int], reverse: bool):
    given = {name: x.float().double() for name, x in inputs(*size).items()}
    exact = results(given, reverse=reverse)
    ours = results({name: x.float() for name, x in given.items()}, reverse=reverse)
    for name, expected in exact.items():
        assert (ours[name] - expected).norm() <= 1e-6 * expected.norm(), name


def test_an_output_sees_its_own_step_and_those_before_it():
    given = inputs(1, 12, 4, 4)
    changed = given | {"x": given["x"].clone()}
    changed["x"][:, 5] += 1
    moved = (causal_conv1d(**given) != causal_conv1d(**changed)).any(dim=-1)[0]
    assert moved.nonzero().flatten().tolist() == [5, 6, 7, 8]
    back = (causal_conv1d(**given, reverse=True) != causal_conv1d(**changed, reverse=True)).any(dim=-1)[0]
    assert back.nonzero().flatten().tolist() == [2, 3, 4, 5]


def test_it_is_pytorchs_convolution_of_a_sequence_padded_in_front():
    given = inputs(2, 9, 5, 4)
    padded = F.pad(given["x"].transpose(1, 2), (3, 0))
    expected = F.conv1d(padded, given["weight"].unsqueeze(1), given["bias"], groups=5).transpose(1, 2)
    torch.testing.assert_close(causal_conv1d(**given, silu=False), expected)
    torch.testing.assert_close(causal_conv1d(**given), F.silu(expected))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_both_directions_in_one_call_are_two_convolutions(dtype: torch.dtype):
    ahead, back = inputs(2, 70, 20, 4), inputs(2, 70, 20, 4)
    back["weight"] = back["weight"].flip(0)
    weight, bias = (torch.stack([ahead[n], back[n]]).to(dtype) for n in ("weight", "bias"))
    x = ahead["x"].to(dtype)
    both = bidirectional_conv1d(x, weight, bias)
    torch.testing.assert_close(both[0], causal_conv1d(x, weight[0], bias[0]))
    torch.testing.assert_close(both[1], causal_conv1d(x, weight[1], bias[1], reverse=True))


def test_results_do_not_depend_on_the_number_of_threads():
    given = {name: x.float() for name, x in inputs(2, 300, 40, 4).items()}
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(results(given))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[name], x) for name, x in found[0].items())


def test_kernels_that_do_not_fit_are_refused_with_both_sizes():
    given = inputs(1, 9, 5, 4)
    with pytest.raises(ConfigError, match=r"the kernel is \(6, 4\); 5 channels need \(5, taps\)"):
        causal_conv1d(given["x"], torch.zeros(6, 4, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"the bias is \(4,\); 5 channels need \(5,\)"):
        causal_conv1d(given["x"], given["weight"], torch.zeros(4, dtype=torch.float64))
    with pytest.raises(ConfigError, match="at least 1"):
        causal_conv1d(given["x"][:, :0], given["weight"])
