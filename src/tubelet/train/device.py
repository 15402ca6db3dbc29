"""The device of a run, and settings of this process that make it fast."""

import ctypes
import functools
from pathlib import Path

import torch

from tubelet.errors import BackendError


def pick_device(name: str = "auto") -> torch.device:
    """The named device, or the fastest one here: CUDA, Apple's MPS, CPU. One that is not here is an error."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BackendError(f"device {name!r} is not one torch knows; try cpu, cuda, cuda:1 or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise BackendError(f"device {name!r} is not one tubelet runs on; use cpu, cuda or mps")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise BackendError(f"device {name!r} cannot be used here ({reason}); use cpu") from None
    return device


def speed_up_cpu() -> bool:
    """Let oneDNN multiply float32 matrices where that is known to be faster without losing accuracy.

    MKL runs a slow path on AMD processors; oneDNN reaches 1.7 times its speed there, with results that differ
    by about 1e-6. The setting that routes to it permits bfloat16 arithmetic, which oneDNN uses only where AMX
    instructions exist; there, and on other makers' processors, nothing is changed. Returns whether it was.
    """
    keep_freed_memory()
    flags = cpu_flags()
    if "AuthenticAMD" not in flags or "amx_bf16" in flags:
        return False
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # pyright: ignore[reportAttributeAccessIssue]
    return True


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for the next tensor instead of handing it back; glibc only.

    By default every large tensor is fetched page by page from the kernel and returned when it dies, which can
    cost as much as computing it. Returns whether the settings were taken.
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    map_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    return all([set_option(map_threshold, 1 << 30), set_option(trim_threshold, (1 << 31) - 1)])


@functools.cache
def cpu_flags() -> frozenset[str]:
    """The processor's maker and instruction sets as Linux names them; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return frozenset()
    lines = path.read_text().split("\n\n")[0].splitlines()
    values = (line.partition(":")[2].split() for line in lines if line.startswith(("vendor_id", "flags")))
    return frozenset(word for value in values for word in value)
