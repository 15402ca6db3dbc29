import pytest
import torch
from torch import Tensor

from benchmarks import scan_peers
from tubelet.ops.selective_scan import scan_definition


@pytest.mark.parametrize("peer", [scan_peers.lean_loop, scan_peers.small_steps_loop, scan_peers.chunked])
@pytest.mark.parametrize("length", [3, 150])
def test_peers_compute_the_scan(peer, length: int):
    batch, channels, states = 2, 6, 4
    shapes = {
        "u": (batch, length, channels),
        "delta": (batch, length, channels),
        "A": (channels, states),
        "B": (batch, length, states),
        "C": (batch, length, states),
        "D": (channels,),
        "z": (batch, length, channels),
        "delta_bias": (channels,),
    }
    inputs = {name: torch.randn(shape) for name, shape in shapes.items()}
    inputs["A"] = -inputs["A"].exp()
    leaves = [x.requires_grad_() for x in inputs.values()]

    def one(name: str) -> Tensor:
        return inputs[name][None]

    expected, _ = scan_definition(
        one("u"), one("delta"), one("A"), one("B").unsqueeze(3), one("C").unsqueeze(3),
        one("D"), inputs["z"], one("delta_bias"), softplus=True, reverse=(False,), masked=(False,),
    )  # fmt: skip
    out = peer(*leaves)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    grads = [torch.autograd.grad(y.square().sum(), leaves) for y in (out, expected)]
    torch.testing.assert_close(*grads, rtol=1e-4, atol=1e-4)
