"""Triton's interpreter: GPU kernels on a CPU, for a few modules and for as long as a test lasts."""

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest


def interpreted(monkeypatch: pytest.MonkeyPatch, *names: str) -> ModuleType:
    """A copy of the last of these modules of `tubelet.ops`; its kernels and those of the others are interpreted.

    Triton decides when a kernel is decorated, so the modules are imported anew. Everybody else keeps theirs.
    """
    # The interpreter of 3.6 does not understand scalars of a recent NumPy.
    triton = pytest.importorskip("triton", minversion="3.9", reason="needs the interpreter of Triton 3.9")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    language: Any = triton.language

    def interpreted_sum(x: Any, axis: int) -> Any:
        return language.reduce(x, axis, language.standard._sum_combine)

    # Triton's own was decorated long ago.
    monkeypatch.setattr(language, "sum", interpreted_sum)
    package = importlib.import_module("tubelet.ops")
    for name in names:
        # Those that are there come back after the test: as modules, and as attributes of the package.
        monkeypatch.delitem(sys.modules, f"tubelet.ops.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    copies = [importlib.import_module(f"tubelet.ops.{name}") for name in names]
    for name in names:
        del sys.modules[f"tubelet.ops.{name}"]
        delattr(package, name)
    return copies[-1]
