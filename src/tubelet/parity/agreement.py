"""How far what is computed here is from what was recorded, and how far it may be."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from math import inf, isnan
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from tubelet.weights.rules import Rule, to_official

Group: TypeAlias = Literal["output", "gradient", "pixel"]
OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, 1e-4


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The largest difference of one tensor from its record.

    `share` is that difference over the largest recorded value; for outputs over 1 where all are smaller, and for
    pixels in grey levels. It may be `tolerance` at most.
    """

    name: str
    group: Group
    share: float
    tolerance: float

    @property
    def excess(self) -> float:
        """How many tolerances the difference is: at most 1 where it agrees, infinite for NaN."""
        return inf if isnan(self.share) else self.share / self.tolerance


_measured: ContextVar[list[Difference] | None] = ContextVar("measured", default=None)


@contextmanager
def measured() -> Iterator[list[Difference]]:
    """Collects every difference that the functions here find meanwhile, those that agree included."""
    found: list[Difference] = []
    before = _measured.set(found)
    try:
        yield found
    finally:
        _measured.reset(before)


def note_difference(difference: Difference) -> None:
    """Tell whoever measures of a difference that was judged elsewhere."""
    found = _measured.get()
    if found is not None:
        found.append(difference)


def assert_close(ours: Tensor, recorded: Tensor, what: str, atol: float = OUTPUT_TOLERANCE) -> None:
    """Absolute agreement of values of order one; larger values by the same share of the largest."""
    scale = max(1.0, float(recorded.abs().max())) if recorded.numel() else 1.0
    _judge(ours.to(recorded.dtype), recorded, scale, what, "output", atol)


def compare(seen: Mapping[str, Tensor], recorded: Mapping[str, Tensor]) -> None:
    """Every recorded output has been computed, and agrees."""
    unknown = recorded.keys() - seen.keys()
    if unknown:
        raise AssertionError(f"recorded outputs that nothing computes: {sorted(unknown)}")
    for name, tensor in recorded.items():
        assert_close(seen[name], tensor, name)


def assert_gradients_close(ours: Mapping[str, Tensor], recorded: Mapping[str, Tensor]) -> None:
    """The same gradients are there, and each agrees within 1e-4 of its tensor's largest value."""
    if ours.keys() != recorded.keys():
        raise AssertionError(f"gradients that only one side has: {sorted(ours.keys() ^ recorded.keys())}")
    for name, gradient in recorded.items():
        assert_gradient_close(ours[name], gradient, name)


def assert_gradient_close(
    ours: Tensor,
    recorded: Tensor,
    what: str,
    tolerance: float = GRADIENT_TOLERANCE,
    least: float = 1e-12,
) -> None:
    """One gradient within a share of its largest value, or within `least` where that is more."""
    scale = max(float(recorded.abs().max()), least / tolerance)
    _judge(ours, recorded, scale, what, "gradient", tolerance)


def _judge(ours: Tensor, recorded: Tensor, scale: float, what: str, group: Group, tolerance: float) -> None:
    name = f"gradient of {what}" if group == "gradient" else what
    if ours.shape != recorded.shape:
        raise AssertionError(f"{name}: shape {tuple(ours.shape)}, recorded {tuple(recorded.shape)}")
    ours = ours.detach()
    if _measured.get() is not None:
        share = largest_difference(ours, recorded) / scale
        note_difference(Difference(name=what, group=group, share=share, tolerance=tolerance))
    torch.testing.assert_close(
        ours, recorded, rtol=0, atol=tolerance * scale, msg=lambda text: f"{name}: {text}"
    )


def largest_difference(ours: Tensor, recorded: Tensor) -> float:
    """The largest absolute difference; equal infinities do not differ, and NaN differs by NaN from all."""
    if not recorded.numel():
        return 0.0
    apart = (ours.double() - recorded.double()).abs().masked_fill(ours == recorded, 0.0)
    return float(apart.max())


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients that a backward pass left, by the names of their parameters."""
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_official_gradients(model: nn.Module, rules: tuple[Rule, ...], recorded: dict[str, Tensor]) -> None:
    """By official names: some parts of packed attentions have no gradient but noise, which the whole bounds."""
    expected = {name: g for name, g in recorded.items() if not name.startswith("in_")}
    if expected:
        assert_gradients_close(to_official(gradients(model), rules), expected)


@contextmanager
def recorded_outputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What the named modules return during a forward pass."""
    seen: dict[str, Tensor] = {}
    handles = [module.register_forward_hook(partial(_keep, seen, name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _keep(seen: dict[str, Tensor], name: str, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
    seen[name] = output
