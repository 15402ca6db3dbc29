"""Our C kernels: one shared library, built when tubelet is installed, and threads to run it on.

Where the library is missing (no compiler was there) or older than its sources, `library()` is None and the
definitions in PyTorch do the work.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

from tubelet.ops.build_kernels import LIBRARY, source_hash

# More ranges than threads, so that one busy core does not hold up the others.
RANGES_PER_THREAD = 4

_pools: dict[int, ThreadPoolExecutor] = {}
# Threads do not survive a fork; a child that computes starts its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)


@cache
def library() -> ctypes.CDLL | None:
    """The library of all C kernels, or None where it is missing or stale."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
        found.tubelet_source_hash.restype = ctypes.c_char_p
        fresh = found.tubelet_source_hash().decode() == source_hash()
    except (OSError, AttributeError):
        return None
    return found if fresh else None


def missing() -> str:
    """Why the C kernels cannot run here, or nothing."""
    if library() is None:
        what = "older than their sources" if LIBRARY.exists() else "not built"
        return (
            f"the C kernels are missing ({LIBRARY} is {what}; with a C compiler, "
            "`python -m tubelet.ops.build_kernels` builds it)"
        )
    return ""


# Found out once, so that torch.compile sees a constant. (To mark the function as one would import the compiler,
# which takes as long as all else that a command imports.)
MISSING = missing()


def in_ranges(num_units: int, work: Callable[[int, int], int]) -> int:
    """The sum of `work(first, last)` over ranges that cover the units, on as many threads as torch has.

    What a unit computes must not depend on the range it came in.
    """
    threads = min(torch.get_num_threads(), num_units)
    if threads <= 1:
        return work(0, num_units)
    pieces = min(num_units, threads * RANGES_PER_THREAD)
    ends = [num_units * i // pieces for i in range(pieces + 1)]
    pool = _pools.get(threads)
    if pool is None:
        pool = _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="tubelet")
    return sum(pool.map(work, ends[:-1], ends[1:]))
