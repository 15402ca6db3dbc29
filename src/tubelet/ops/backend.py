"""Which of several equal implementations is faster here."""

import warnings
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.autograd import forward_ad

from tubelet.ops import compiled

# Bytes of attention scores up to which writing attention out is fastest, because they stay in the cache. Beyond,
# it is two to three times slower, and tiles win (see benchmarks/attention.py).
CACHED_SCORES = 12 << 20
# Why Triton cannot be used, or nothing.
NO_TRITON = "" if find_spec("triton") else "Triton is not installed"


def onednn_multiplies() -> bool:
    """Whether float32 matrix products of this process go to oneDNN (see `tubelet.train.device.speed_up_cpu`)."""
    return torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # pyright: ignore[reportAttributeAccessIssue]


def matrix_products_are_fast(q: Tensor) -> bool:
    """Whether plain matrix products and softmax beat torch's fused attention: on CPUs, where oneDNN multiplies.

    Its fused CPU kernel reaches a fifth of what oneDNN does in bfloat16. A model that is being compiled or
    exported keeps the fused operator, which compilers know.
    """
    if q.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    # The precision is the one the products will have: autocast has cast q and k already.
    return q.dtype == torch.bfloat16 or onednn_multiplies()


def bias_is_faster_added_last(x: Tensor) -> bool:
    """Whether a wide linear map should multiply first and add its bias then.

    Given both at once, torch copies the bias to every row for oneDNN, which reads the copies back. It
    shows where the rows do not stay in the cache.
    """
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.compiler.is_compiling():
        return False
    return onednn_multiplies() and not torch.is_autocast_enabled("cpu")


def scores_fit_the_cache(q: Tensor, k: Tensor) -> bool:
    """Whether attention may as well hold the scores of all its heads at once."""
    return len(q) * scores_of_a_sample(q, k) <= CACHED_SCORES


def samples_in_cache(q: Tensor, k: Tensor) -> int:
    """How many samples attention should do together where no backward pass will follow; 0 if not even one."""
    one = scores_of_a_sample(q, k)
    # A third of the cache is faster than all of it; one sample may have all.
    return max(CACHED_SCORES // 3 // max(one, 1), int(one <= CACHED_SCORES))


def scores_of_a_sample(q: Tensor, k: Tensor) -> int:
    """Bytes of the scores of all heads."""
    _, heads, queries, _ = q.shape
    return heads * queries * k.shape[-2] * q.element_size()


def scan_is_fused(u: Tensor, A: Tensor) -> bool:
    """Whether the fused selective scan can do this one; where it could but is not there, says so once."""
    return kernels_run(u) and A.dtype != torch.float64


def forward_mode() -> bool:
    """Whether tangents are being carried along (`torch.func.jvp`), for which our kernels have no formula."""
    return not torch.compiler.is_compiling() and forward_ad._current_level >= 0


def kernels_run(x: Tensor) -> bool:
    """Whether our kernels can compute with x; where they could but are not there, says so once."""
    if x.dtype == torch.float64 or x.device.type not in ("cpu", "cuda"):
        return False
    missing = compiled.MISSING if x.device.type == "cpu" else NO_TRITON
    if missing:
        _warn_once(missing)
    return not missing


@cache
def _warn_once(reason: str) -> None:
    warnings.warn(
        f"{reason}: selective scans run step by step in PyTorch, which is many times slower",
        stacklevel=3,
    )
