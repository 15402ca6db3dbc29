"""Random inputs for scans of every shape."""

from typing import Any

import torch
from torch import Tensor


def scan_inputs(
    batch: int = 2,
    length: int = 21,
    channels: int = 6,
    states: int = 5,
    *,
    groups: int | None = None,
    constant: str = "",
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything `selective_scan` takes; B and C in groups, or constant where `constant` names them."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype)

    def matrix(name: str) -> Tensor:
        if name in constant:
            return normal(channels, states)
        return normal(batch, length, states) if groups is None else normal(batch, length, groups, states)

    return {
        "u": normal(batch, length, channels),
        "delta": normal(batch, length, channels),
        "A": -torch.rand((channels, states), generator=generator, dtype=dtype) * 4 - 0.05,
        "B": matrix("B"),
        "C": matrix("C"),
        "D": normal(channels),
        "z": normal(batch, length, channels),
        "delta_bias": normal(channels) * 0.1,
    }


def both_directions(ahead: dict[str, Tensor], back: dict[str, Tensor]) -> dict[str, Any]:
    """Inputs of two scans as those of a bidirectional one; the gate is the first one's."""
    stacked = {name: torch.stack([ahead[name], back[name]]) for name in ahead if name != "z"}
    return stacked | {"z": ahead["z"]}
