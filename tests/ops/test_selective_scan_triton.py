import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.ops.interpreter import interpreted
from tests.ops.offline import compile_for_hopper
from tubelet.ops.selective_scan import scan_definition
from tubelet.ops.selective_scan_cpu import Operands

KERNELS = "selective_scan_kernels", "selective_scan_gradient_kernels", "selective_scan_triton"
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "start")


@dataclass(frozen=True, kw_only=True)
class Problem:
    reverse: tuple[bool, ...] = (False, True)
    masked: tuple[bool, ...] = (False, False)
    batch: int = 1
    length: int = 71
    channels: int = 5
    states: int = 4
    groups: int = 1
    constant: str = ""
    absent: tuple[str, ...] = ("start",)
    softplus: bool = True
    dtype: torch.dtype = torch.float32

    def tensors(self) -> dict[str, Tensor | None]:
        generator = torch.Generator().manual_seed(0)
        directions, rows = len(self.reverse), (self.batch, self.length)

        def random(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        def matrix(name: str) -> Tensor:
            along = (directions, *rows, self.groups, self.states)
            constant = (directions, self.channels, self.states)
            return random(*constant) if name in self.constant else random(*along).to(self.dtype)

        delta = random(directions, *rows, self.channels)
        tensors = {
            # Directions share their input, and z is half of a wider tensor: nothing has to be contiguous.
            "u": random(1, *rows, self.channels).to(self.dtype).expand(directions, -1, -1, -1),
            "delta": (delta - 2 if self.softplus else 0.1 * delta.abs()).to(self.dtype),
            "A": -random(directions, self.channels, self.states).exp(),
            "B": matrix("B"),
            "C": matrix("C"),
            "D": random(directions, self.channels),
            "z": random(*rows, 2 * self.channels).to(self.dtype)[..., self.channels :],
            "delta_bias": random(directions, self.channels) if self.softplus else None,
            "start": random(directions, self.batch, self.channels, self.states),
        }
        return {name: None if name in self.absent else x for name, x in tensors.items()}

    @property
    def options(self) -> dict[str, Any]:
        return {"softplus": self.softplus, "reverse": self.reverse, "masked": self.masked}

    def exact(self) -> dict[str, Tensor]:
        """Output, last state and gradients of the definition in float64."""
        tensors = {
            name: None if x is None else x.double().requires_grad_() for name, x in self.tensors().items()
        }
        out, last = scan_definition(*tensors.values(), **self.options)  # pyright: ignore[reportArgumentType]
        there = {name: x for name, x in tensors.items() if x is not None}
        grad_out, grad_last = self.gradients(out)
        grads = torch.autograd.grad(
            (out, last), list(there.values()), (grad_out.double(), grad_last.double())
        )
        return {"out": out.detach(), "last": last.detach(), **dict(zip(there, grads, strict=True))}

    def gradients(self, out: Tensor) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)
        shape = (len(self.reverse), self.batch, self.channels, self.states)
        grad_out = torch.randn(out.shape, generator=generator).to(self.dtype)
        return grad_out, torch.randn(shape, generator=generator)


PROBLEMS = {
    "two directions": Problem(batch=2, length=70),
    "neither gate nor D nor bias": Problem(absent=("z", "D", "delta_bias", "start"), states=3, length=39),
    "a start, and a masked diagonal": Problem(masked=(False, True), absent=(), length=33),
    "backwards, masked, in groups": Problem(
        reverse=(True,), masked=(True,), channels=12, groups=3, absent=()
    ),
    "constant B and C": Problem(reverse=(False,), constant="BC", length=34),
    "steps as they are": Problem(
        reverse=(False,), softplus=False, channels=20, length=34, absent=("z", "start")
    ),
    "bfloat16": Problem(length=38, dtype=torch.bfloat16),
    "one step": Problem(length=1, absent=()),
}


def difference(found: Tensor, exact: Tensor) -> float:
    assert found.shape == exact.shape
    return float((found.detach().double() - exact).norm() / exact.norm())


def check_twin(twin: ModuleType, problem: Problem) -> None:
    """Forward and backward functions against the definition; bounds are those of the numbers' own type."""
    given = Operands(**problem.tensors(), **problem.options)
    exact = problem.exact()
    out, last, y, kept = twin.scan_forward(given, True)
    assert out.dtype == problem.dtype
    grads = twin.scan_backward(given, y, kept, *problem.gradients(out))
    found = {"last": last, **dict(zip(NAMES, grads, strict=True))}
    # The interpreter rounds to bfloat16 by cutting, and two directions are rounded before they are added.
    coarse = problem.dtype == torch.bfloat16
    assert difference(out, exact["out"]) < (1e-2 if coarse else 6e-7)
    for name, gradient in found.items():
        if name in exact:
            assert difference(gradient, exact[name]) < (1e-2 if coarse else 2e-6), name
        else:
            assert not gradient.numel(), f"a gradient of {name}, which is not there"


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return interpreted(monkeypatch, *KERNELS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_interpreted_kernels_agree_with_the_definition(name: str, twin: ModuleType):
    check_twin(twin, PROBLEMS[name])


@pytest.mark.parametrize("masked", [False, True])
def test_time_cut_into_spans_gives_the_same(masked: bool, twin: ModuleType, monkeypatch: pytest.MonkeyPatch):
    problem = Problem(length=101, masked=(masked, masked), absent=())
    monkeypatch.setattr(twin, "SHORTEST_SPAN", 32)
    monkeypatch.setattr(twin, "multiprocessors", lambda _: 8)
    plan = twin.plan_of(Operands(**problem.tensors(), **problem.options))
    assert (plan.span, plan.spans) == (64, 2)
    check_twin(twin, problem)


def test_channels_are_cut_finer_before_time_is(twin: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(twin, "multiprocessors", lambda _: 132)
    wide = Problem(channels=384, length=1569, states=16)

    def plan(problem: Problem) -> Any:
        shapes = {"u": (2, problem.batch, problem.length, 384), "A": (2, 384, 16), "B": (2, 384, 16)}
        u, A, B = (torch.empty(1).expand(shape) for shape in shapes.values())
        return twin.plan_of(
            Operands(
                u=u, delta=u, A=A, B=B, C=B, D=None, z=None, delta_bias=None, start=None, **problem.options
            )
        )

    assert (plan(replace(wide, batch=64)).block, plan(replace(wide, batch=64)).spans) == (32, 1)
    assert (plan(replace(wide, batch=16)).block, plan(replace(wide, batch=16)).spans) == (16, 1)
    assert plan(wide).spans > 1


def test_importing_tubelet_does_not_need_triton():
    program = (
        "import sys; sys.modules['triton'] = None; import tubelet.ops.selective_scan as s; print(s.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "tubelet.ops.selective_scan"


OPEN = (None, None, None, None, 1, None)  # batch, length, span, channels, groups, states
COMPILED = {
    "two directions": {"sizes": OPEN, "CONSTANT_B": False, "CONSTANT_C": False, "MASKED": 0, "SOFTPLUS": True},
    "masked, with constants": {
        "sizes": (1, 1, None, 1, 1, 1), "CONSTANT_B": True, "CONSTANT_C": True, "MASKED": 3, "SOFTPLUS": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_kernels_compile_for_a_gpu(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # The interpreter lets pass what the compiler does not.
    pytest.importorskip("triton")
    from tubelet.ops import selective_scan_gradient_kernels as gradient_kernels
    from tubelet.ops import selective_scan_kernels as kernels

    form = {"REVERSED": 2, "BLOCK": 32, "STATES": 16, "EVERY": 32, **COMPILED[name]}
    short = {key: value for key, value in form.items() if key not in ("EVERY", "CONSTANT_B")}
    absent = dict.fromkeys(("y", "kept", "starts"))
    for kernel, options in (
        (kernels.scan_kernel, {**form, "starts": None, "totals": None}),
        (kernels.scan_kernel, {**form, **absent}),
        (gradient_kernels.scan_gradient_kernel, form),
        (gradient_kernels.gradient_ends_kernel, short),
    ):
        assert "ex2.approx" in compile_for_hopper(kernel, tmp_path, monkeypatch, **options)
