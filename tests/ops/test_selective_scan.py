import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F

from tests.ops.scan_inputs import both_directions, scan_inputs
from tubelet.errors import ConfigError
from tubelet.ops import compiled
from tubelet.ops.selective_scan import bidirectional_scan, selective_scan

needs_kernels = pytest.mark.skipif(bool(compiled.missing()), reason="the C kernels are not built here")

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "one step": {"length": 1},
    "tiles and a rest": {"length": 70, "channels": 40, "states": 16},
    "many states": {"channels": 20, "states": 33, "length": 35},
    "groups": {"channels": 36, "groups": 2},
    "constant B": {"constant": "B"},
    "constant C in groups of B": {"constant": "C", "groups": 3},
    "constant B and C": {"constant": "BC", "channels": 70},
    "more lanes than a unit": {"channels": 130, "length": 33, "states": 16},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "forwards": {},
    "backwards": {"reverse": True},
    "from first": {"initial_state": "first"},
    "masked": {"initial_state": "first", "mask_diagonal": True},
    "masked backwards": {"mask_diagonal": True, "reverse": True, "initial_state": "first"},
}


def relative(ours: Tensor, exact: Tensor) -> float:
    return float((ours.double() - exact).norm() / exact.norm().clamp_min(1e-12))


def scan_and_gradients(given: dict[str, Any], **options: Any) -> dict[str, Tensor]:
    """Both results, and the gradient of a random sum of them with respect to every input."""
    leaves: dict[str, Any] = {name: x.detach().requires_grad_() for name, x in given.items()}
    out, last = selective_scan(**leaves, **options)
    generator = torch.Generator().manual_seed(1)
    weights = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in (out, last)
    ]
    ((out * weights[0]).sum() + (last * weights[1]).sum()).backward()
    found = {f"gradient of {name}": x.grad for name, x in leaves.items() if x.grad is not None}
    return {"out": out.detach(), "last state": last.detach()} | found


@needs_kernels
@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_the_cpu_kernel_is_as_exact_as_float32_allows(case: dict[str, Any], options: dict[str, Any]):
    given = {name: x.float().double() for name, x in scan_inputs(**case).items()}
    exact = scan_and_gradients(given, **options)
    ours = scan_and_gradients({name: x.float() for name, x in given.items()}, **options)
    for name, expected in exact.items():
        found = ours.get(name, torch.zeros(()).expand_as(expected))
        # Half of this at the size of a model (benchmarks/scan.py); in few values rounding does not average out.
        bound = 2e-6 if name.startswith("gradient") else 3.5e-7
        assert relative(found, expected) <= bound, name


@needs_kernels
def test_steps_without_softplus_may_be_negative_and_states_grow():
    given = scan_inputs(length=40, channels=20, states=16)
    exact = scan_and_gradients({n: x.float().double() for n, x in given.items()}, delta_softplus=False)
    ours = scan_and_gradients({n: x.float() for n, x in given.items()}, delta_softplus=False)
    assert exact["out"].abs().max() > 1e3
    for name, expected in exact.items():
        assert relative(ours[name], expected) <= 5e-6, name


@needs_kernels
def test_very_long_steps_forget_everything_before():
    given = {name: x.float() for name, x in scan_inputs(length=5, channels=16, states=16).items()}
    given["delta"] = torch.full_like(given["delta"], 1e4)
    given["A"] = -torch.ones_like(given["A"])
    changed = given | {"u": given["u"].clone()}
    changed["u"][:, 0] += 1
    assert torch.equal(selective_scan(**given).out[:, 1:], selective_scan(**changed).out[:, 1:])


@needs_kernels
def test_a_state_that_overflows_becomes_infinite():
    given = {name: x.float() for name, x in scan_inputs(length=4, channels=16, states=16).items()}
    given["delta"] = torch.full_like(given["delta"], 5.0)
    given["A"] = torch.full_like(given["A"], 10.0)
    assert selective_scan(**given).last_state.isinf().all()


def test_gradients_of_the_definition_are_its_derivatives():
    given = scan_inputs(batch=1, length=4, channels=2, states=2)
    names, tensors = list(given), [x.requires_grad_() for x in given.values()]
    for options in OPTIONS.values():

        def scan(*inputs: Tensor, options: dict[str, Any] = options) -> tuple[Tensor, Tensor]:
            given: dict[str, Any] = dict(zip(names, inputs, strict=True))
            out, last = selective_scan(**given, **options)
            return out, last

        assert torch.autograd.gradcheck(scan, tensors)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_both_directions_in_one_call_are_the_sum_of_two_scans(dtype: torch.dtype):
    ahead, back = (scan_inputs(channels=20, states=16, dtype=dtype, seed=seed) for seed in (0, 1))
    z = ahead["z"]
    both = bidirectional_scan(
        **both_directions(ahead, back), initial_state="first", mask_backward_diagonal=True
    )
    alone = [{name: x for name, x in given.items() if name != "z"} for given in (ahead, back)]
    y = selective_scan(**alone[0], initial_state="first").out
    y = y + selective_scan(**alone[1], initial_state="first", mask_diagonal=True, reverse=True).out
    torch.testing.assert_close(both, y * F.silu(z), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_backward_scan_is_a_scan_of_the_flipped_sequence(dtype: torch.dtype):
    given = scan_inputs(dtype=dtype)
    flipped: dict[str, Any] = {
        n: x.flip(1) if n in ("u", "delta", "B", "C", "z") else x for n, x in given.items()
    }
    expected = selective_scan(**flipped)
    found = selective_scan(**given, reverse=True)
    torch.testing.assert_close(found.out, expected.out.flip(1))
    torch.testing.assert_close(found.last_state, expected.last_state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_scan_goes_on_from_a_last_state(dtype: torch.dtype):
    given = scan_inputs(length=50, channels=18, dtype=dtype)
    parts: list[dict[str, Any]] = [
        {n: x[:, cut] if n in ("u", "delta", "B", "C", "z") else x for n, x in given.items()}
        for cut in (slice(0, 33), slice(33, None))
    ]
    first = selective_scan(**parts[0])
    second = selective_scan(**parts[1], initial_state=first.last_state)
    whole = selective_scan(**given)
    torch.testing.assert_close(torch.cat([first.out, second.out], dim=1), whole.out)
    torch.testing.assert_close(second.last_state, whole.last_state)


@needs_kernels
def test_results_do_not_depend_on_the_number_of_threads():
    given = {name: x.float() for name, x in scan_inputs(3, 70, 100, 16).items()}
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(scan_and_gradients(given))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(other[name], x) for name, x in found[0].items())


@needs_kernels
def test_strided_and_expanded_inputs_are_read_where_they_lie():
    given = {name: x.float() for name, x in scan_inputs(channels=20, states=16).items()}
    expected = selective_scan(**given).out
    wide = torch.cat([given["u"], given["z"]], dim=-1)
    u, z = wide.chunk(2, dim=-1)
    assert torch.equal(selective_scan(**{**given, "u": u, "z": z}).out, expected)
    shared = {n: x.expand(2, *x.shape) for n, x in given.items() if n != "z"}
    stacked = {n: x.clone() for n, x in shared.items()}
    assert torch.equal(bidirectional_scan(**shared, z=z), bidirectional_scan(**stacked, z=z))


def test_half_precision_is_computed_in_float32_and_rounded_once():
    given = {name: x.bfloat16() for name, x in scan_inputs(channels=20, states=16).items()}
    out, last = selective_scan(**given)
    exact = selective_scan(**{name: x.double() for name, x in given.items()})
    assert (out.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    assert relative(out, exact.out) < 2**-8
    assert relative(last, exact.last_state) < 1e-6


@needs_kernels
def test_nothing_of_length_times_states_is_kept_for_the_backward_pass():
    given = {name: x.float().requires_grad_() for name, x in scan_inputs(1, 640, 64, 16).items()}
    kept: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        kept[x.data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        selective_scan(**given)
    for x in given.values():
        kept.pop(x.data_ptr(), None)
    assert sum(kept.values()) <= 2 * given["u"].numel()


@needs_kernels
def test_the_operator_passes_torchs_own_checks():
    from tubelet.ops.selective_scan_op import fused_scan

    given = {name: x.float().requires_grad_() for name, x in scan_inputs(1, 9, 16, 4).items()}
    one = {n: x.unsqueeze(0) for n, x in given.items() if n != "z"}
    B, C = (one[name].unsqueeze(3) for name in "BC")
    arguments = (one["u"], one["delta"], one["A"], B, C, one["D"], given["z"], one["delta_bias"], None)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(fused_scan, (*arguments, True, [False], [False], True), test_utils=checks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delta": torch.zeros(2, 20, 6)}, r"delta is \(2, 20, 6\); u of \(2, 21, 6\) needs \(2, 21, 6\)"),
        ({"z": torch.zeros(2, 21, 7)}, r"z is \(2, 21, 7\)"),
        ({"A": -torch.ones(5, 5)}, r"A is \(5, 5\); 6 channels need \(6, states\)"),
        ({"B": torch.zeros(2, 20, 5)}, r"B is \(2, 20, 5\); these inputs need \(2, 21, 5\)"),
        ({"C": torch.zeros(2, 21, 4, 5)}, "C has 4 groups, into which 6 channels do not divide"),
        ({"D": torch.zeros(7)}, r"D is \(7,\)"),
        ({"delta_bias": torch.zeros(5)}, r"delta_bias is \(5,\)"),
        (
            {"initial_state": torch.zeros(2, 6, 4)},
            r"initial_state is \(2, 6, 4\); these inputs need \(2, 6, 5\)",
        ),
        ({"B": torch.zeros(2, 21, 0, 5)}, "B has 0 groups"),
        ({"u": torch.zeros(2, 0, 6), "delta": torch.zeros(2, 0, 6)}, "at least 1 clip, step and channel"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_both_sizes(change: dict[str, Tensor], message: str):
    given = {name: x.float() for name, x in scan_inputs().items()}
    with pytest.raises(ConfigError, match=message):
        selective_scan(**{**given, **change})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_that_are_not_numbers_are_refused(dtype: torch.dtype):
    given = scan_inputs(dtype=dtype)
    given["delta"][0, 3, 2] = torch.nan
    with pytest.raises(
        ConfigError, match=r"delta, with its bias, holds 1 values that are not numbers \(NaN\) of 252"
    ):
        selective_scan(**given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decays_that_are_not_numbers_are_not_swallowed(dtype: torch.dtype):
    given = scan_inputs(dtype=dtype)
    given["A"][2, 1] = torch.nan
    wrong = selective_scan(**given).out.isnan().any(dim=1).any(dim=0)
    assert wrong.tolist() == [False, False, True, False, False, False]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own
def test_tangents_go_through_a_scan():
    given = {name: x.float() for name, x in scan_inputs(1, 9, 4, 3).items()}
    direction = torch.randn_like(given["u"])

    def scan(u: Tensor) -> Tensor:
        return selective_scan(**{**given, "u": u}).out

    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(scan(forward_ad.make_dual(given["u"], direction))).tangent
    step = 1e-2
    slope = (scan(given["u"] + step * direction) - scan(given["u"] - step * direction)) / (2 * step)
    assert tangent is not None
    torch.testing.assert_close(tangent, slope, rtol=1e-3, atol=1e-3)


def test_two_directions_need_inputs_for_two():
    given = both_directions(scan_inputs(), scan_inputs(seed=1))
    given = {n: x[:1] if n == "A" else x for n, x in given.items()}
    with pytest.raises(ConfigError, match="6 channels need"):
        bidirectional_scan(**given)


def test_without_the_kernels_the_definition_runs_with_one_warning(tmp_path):
    program = """
import warnings
from pathlib import Path
from tubelet.ops import compiled
compiled.LIBRARY = Path("nowhere.so")
compiled.library.cache_clear()
compiled.MISSING = compiled.missing()
import torch
from tubelet.ops.selective_scan import selective_scan
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        x = torch.ones(1, 3, 4)
        selective_scan(x, x, -torch.ones(4, 2), torch.ones(1, 3, 2), torch.ones(1, 3, 2))
print([str(w.message) for w in caught if "C kernels" in str(w.message)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.count("the C kernels are missing") == 1
    assert "many times slower" in done.stdout
