"""Which of several equal implementations is faster here."""

import torch
from torch import Tensor

# Up to this many keys the score matrices fit the cache, and writing attention out beats torch's CPU kernel
# (by 2 to 5 times forward and backward where oneDNN multiplies; see benchmarks/attention.py).
SHORT = 256


def onednn_multiplies() -> bool:
    """Whether float32 matrix products of this process go to oneDNN (see `tubelet.train.device.speed_up_cpu`)."""
    return torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # pyright: ignore[reportAttributeAccessIssue]


def written_out_attention_pays(q: Tensor, k: Tensor) -> bool:
    """Whether attention should be computed as two matrix products and a softmax.

    Elsewhere than on a CPU, and for long sequences, torch's fused kernel is faster and far smaller.
    """
    if q.device.type != "cpu" or k.shape[-2] > SHORT:
        return False
    # The precision is the one the products will have: autocast has cast q and k already.
    return q.dtype == torch.bfloat16 or onednn_multiplies()
