"""Compiles the C kernels: called while tubelet is being built, or as `python -m tubelet.ops.build_kernels`.

Only the standard library is needed, because the build runs before anything else is installed.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LIBRARY = FOLDER / "_kernels.so"
SOURCES = ("lanes.h", "selective_scan_cpu.c", "causal_conv1d_cpu.c")
# Not -ffast-math: rounding by a magic number would be optimized away.
FLAGS = (
    "-O3",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
)


def source_hash(folder: Path = FOLDER) -> str:
    """Names sources and flags, so that a library built from other ones is never used."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for name in SOURCES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def compiler() -> list[str] | None:
    """The command of a C compiler: the one that CC names, or cc, gcc, clang; None where there is none."""
    asked = shlex.split(os.environ.get("CC", ""))
    for command in ([asked] if asked else []) + [["cc"], ["gcc"], ["clang"]]:
        found = shutil.which(command[0])
        if found:
            return [found, *command[1:]]
    return None


def compile_kernels(folder: Path = FOLDER) -> str:
    """Write the library beside its sources; returns why that was not possible, or nothing."""
    command = compiler()
    if command is None:
        return "there is no C compiler (cc, gcc or clang, or one named by CC)"
    sources = [str(folder / name) for name in SOURCES if name.endswith(".c")]
    unfinished = folder / f"{LIBRARY.name}.{os.getpid()}"
    named = f'-DSOURCE_HASH="{source_hash(folder)}"'
    try:
        done = subprocess.run(
            [*command, *FLAGS, named, "-o", str(unfinished), *sources],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return f"{command[0]} failed: {lines[0] if lines else f'status {done.returncode}'}"
        unfinished.replace(folder / LIBRARY.name)
    finally:
        unfinished.unlink(missing_ok=True)
    return ""


if __name__ == "__main__":
    sys.exit(compile_kernels() or 0)
