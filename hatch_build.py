"""Compiles the C kernels while tubelet is being built or installed, where there is a compiler.

Without one the package works all the same, with the slower definitions in PyTorch, and says so once. A wheel also
takes along a few of the recorded cases in tests/golden, which `tubelet verify` runs.
"""

import re
import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OPS = Path("src/tubelet/ops")
SHIPPED = Path("src/tubelet/parity/shipped.py")


def shipped_cases(root: Path) -> dict[str, str]:
    """The files of the cases that a wheel carries, with their places in it."""
    names = runpy.run_path(str(root / SHIPPED))["SHIPPED"]
    files = [f"{name}{suffix}" for name in names for suffix in (".json", ".safetensors")]
    return {str(root / "tests" / "golden" / file): f"tubelet/parity/cases/{file}" for file in files}


class CustomBuildHook(BuildHookInterface):
    """Hatchling calls this before it collects files, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if version != "editable":  # which finds them in the checkout
            build_data["force_include"].update(shipped_cases(Path(self.root)))
        # By its path: tubelet itself cannot be imported before it is built.
        build = runpy.run_path(str(Path(self.root) / OPS / "build_kernels.py"))
        reason = build["compile_kernels"]()
        if reason:
            self.app.display_warning(f"tubelet is built without its C kernels: {reason}")
            return
        build_data["artifacts"].append(str(OPS / build["LIBRARY"].name))
        # The library does not know Python, only the platform.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"
