"""One recorded case of a published implementation: `<case>.json` and, for most, `<case>.safetensors`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class Case:
    path: Path
    facts: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.facts["kind"]

    @property
    def config(self) -> dict[str, Any]:
        return self.facts["config"]

    def tensors(self, group: str) -> dict[str, Tensor]:
        """Tensors of one group (`state`, `in`, `out`, `grad`) under their names without the group."""
        prefix = f"{group}/"
        stored = load_file(self.path.with_suffix(".safetensors"))
        return {name.removeprefix(prefix): t for name, t in stored.items() if name.startswith(prefix)}


def read_cases(folder: Path) -> list[Case]:
    """All cases of a folder; companions (`*.config.json`) are not cases."""
    paths = sorted(p for p in folder.rglob("*.json") if not p.name.endswith(".config.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} holds no recorded cases (*.json)")
    cases = [Case(path, json.loads(path.read_text())) for path in paths]
    for case in cases:
        if "kind" not in case.facts:
            raise ValueError(f"{case.path} has no `kind`, so nothing says what it records")
    return cases


def assert_close(ours: Tensor, recorded: Tensor, what: str, atol: float = 1e-5) -> None:
    """Absolute agreement of values of order one; larger values by the same share of the largest."""
    assert ours.shape == recorded.shape, (
        f"{what}: shape {tuple(ours.shape)}, recorded {tuple(recorded.shape)}"
    )
    scale = max(1.0, float(recorded.abs().max())) if recorded.numel() else 1.0
    torch.testing.assert_close(
        ours.to(recorded.dtype), recorded, rtol=0, atol=atol * scale, msg=lambda text: f"{what}: {text}"
    )


def assert_gradients_close(ours: dict[str, Tensor], recorded: dict[str, Tensor]) -> None:
    """Each gradient agrees within 1e-4 of its tensor's largest value."""
    assert ours.keys() == recorded.keys(), sorted(ours.keys() ^ recorded.keys())
    for name, gradient in recorded.items():
        bound = 1e-4 * float(gradient.abs().max())
        torch.testing.assert_close(
            ours[name], gradient, rtol=0, atol=max(bound, 1e-12), msg=lambda text, n=name: f"grad {n}: {text}"
        )
