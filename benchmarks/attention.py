"""The three ways to compute attention on a CPU: `python -m benchmarks.attention [--quick]`.

`written` is `attention_definition`, `tiled` is `tiled_attention`, `sdpa` is torch's fused kernel. Forward and
backward of 6 heads of 64 channels, one thread, CPU time, interleaved. It shows why `tubelet.ops.backend` decides
as it does.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import measure
from tubelet.ops import backend
from tubelet.ops.attention import attention_definition
from tubelet.ops.attention_cpu import tiled_attention

HEADS, HEAD_DIM = 6, 64
WAYS: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "sdpa": lambda q, k, v, scale: F.scaled_dot_product_attention(q, k, v, scale=scale),
    "written": attention_definition,
    "tiled": tiled_attention,
}
PRECISIONS = {
    "fp32 plain": (torch.float32, "none"),
    "fp32 oneDNN": (torch.float32, "bf16"),
    "bf16": (torch.bfloat16, "none"),
}


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Attention, CPU milliseconds of one thread, forward and backward")
    lengths = (160, 400) if arguments.quick else (64, 160, 256, 400, 784, 1024, 1568, 3136)
    figures, ratios = {}, {}
    for precision, (dtype, setting) in PRECISIONS.items():
        torch.backends.mkldnn.matmul.fp32_precision = setting  # pyright: ignore[reportAttributeAccessIssue]
        rows = []
        for length in lengths:
            works = {name: forward_and_backward(way, length, dtype) for name, way in WAYS.items()}
            taken = measure.take_turns(works, rounds=3 if arguments.quick else 15, warmups=2)
            key = f"{precision} {length}"
            figures[key] = measure.medians(taken)
            chosen = choice(length, dtype)
            ratios[key] = {"chosen": chosen, "sdpa/chosen": measure.ratio(taken["sdpa"], taken[chosen])}
            times = [f"{1000 * seconds:.2f}" for seconds in figures[key].values()]
            rows.append([length, *times, chosen, ratios[key]["sdpa/chosen"]])
        measure.table(
            [f"{precision}, tokens", *(f"{name} ms" for name in WAYS), "chosen", "sdpa/chosen"], rows
        )
    measure.finish("attention", figures=figures, ratios=ratios, keep=not arguments.quick)


def forward_and_backward(way: Callable[..., Tensor], length: int, dtype: torch.dtype) -> Callable[[], object]:
    """Work on heads that lie as the layers make them: (batch, tokens, heads, head_dim) in memory."""
    generator = torch.Generator().manual_seed(0)
    shape = (1, length, HEADS, HEAD_DIM)
    q, k, v, grad = (torch.randn(shape, generator=generator).to(dtype).transpose(1, 2) for _ in range(4))
    inputs = [x.requires_grad_() for x in (q, k, v)]
    return lambda: torch.autograd.grad(way(*inputs, HEAD_DIM**-0.5), inputs, grad)


def choice(length: int, dtype: torch.dtype) -> str:
    """The way that `tubelet.ops.attention.attention` goes."""
    keys = torch.empty(1, HEADS, length, HEAD_DIM, dtype=dtype)
    if not backend.matrix_products_are_fast(keys):
        return "sdpa"
    return "written" if backend.scores_fit_the_cache(keys, keys) else "tiled"


if __name__ == "__main__":
    main()
