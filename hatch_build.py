"""Compiles the C kernels while tubelet is being built or installed, where there is a compiler.

Without one the package works all the same, with the slower definitions in PyTorch, and says so once.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OPS = Path("src/tubelet/ops")
# The order decides the hash, by which the library is told from one of older sources (tubelet/ops/compiled.py).
SOURCES = ("lanes.h", "selective_scan_cpu.c", "causal_conv1d_cpu.c")
LIBRARY = "_kernels.so"
# Not -ffast-math: rounding by a magic number would be optimized away.
FLAGS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")


class CustomBuildHook(BuildHookInterface):
    """Hatchling calls this before it collects files, for wheels and for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / OPS
        reason = compile_kernels(folder)
        if reason:
            self.app.display_warning(f"tubelet is built without its C kernels: {reason}")
            return
        build_data["artifacts"].append(str(OPS / LIBRARY))
        # The library does not know Python, only the platform.
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def compile_kernels(folder: Path) -> str:
    """Write the library beside its sources; returns why that was not possible, or nothing."""
    found = [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    compiler = next((path for name in found if name and (path := shutil.which(name))), None)
    if compiler is None:
        return "there is no C compiler (cc, gcc or clang, or one named by CC)"
    digest = hashlib.sha256(b"".join((folder / name).read_bytes() for name in SOURCES)).hexdigest()[:16]
    sources = [str(folder / name) for name in SOURCES if name.endswith(".c")]
    unfinished = folder / f"{LIBRARY}.{os.getpid()}"
    command = [compiler, *FLAGS, f'-DSOURCE_HASH="{digest}"', "-o", str(unfinished), *sources]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return f"{compiler} failed: {lines[0] if lines else f'status {done.returncode}'}"
        unfinished.replace(folder / LIBRARY)
    finally:
        unfinished.unlink(missing_ok=True)
    return ""
