"""Compiling a Triton kernel for a GPU that is not there."""

from pathlib import Path
from typing import Any

import pytest

FLOAT32 = (
    "A", "D", "bias", "weight", "starts", "kept", "ends", "totals", "first", "last", "sums", "scratch",
    "grad_after", "grad_before", "grad_u", "grad_delta", "grad_A", "grad_B", "grad_C", "grad_D", "grad_bias",
    "grad_x", "grad_z",
)  # fmt: skip
STRIDES = {"B_strides": 4, "C_strides": 4, "x_strides": 2}  # all but the last, which is 1; others have 3


def compile_for_hopper(
    kernel: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    sizes: tuple[int | None, ...] = (),
    **fixed: Any,
) -> str:
    """The assembly of a kernel for compute capability 9.0, with bfloat16 inputs, some arguments being fixed.

    `sizes` are the arguments of that name; Triton builds sizes and strides of 1 into a kernel, others (None here)
    stay open.
    """
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(folder))
    signature: dict[str, Any] = {}
    constants: dict[Any, Any] = {}
    for i, name in enumerate(kernel.arg_names):
        if name in fixed:
            signature[name], constants[name] = "constexpr", fixed[name]
        elif name == "sizes":
            signature[name] = tuple("i32" if size is None else "constexpr" for size in sizes)
            constants |= {(i, j): size for j, size in enumerate(sizes) if size is not None}
        elif name.endswith("strides"):
            num = STRIDES.get(name, 3)
            signature[name] = (*["i32"] * num, "constexpr")
            constants[i, num] = 1
        elif name in ("batch", "length", "channels", "num_spans"):
            signature[name] = "i32"
        else:
            signature[name] = "*fp32" if name in FLOAT32 else "*bf16"
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    options = {"num_warps": 1, "enable_fp_fusion": True}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
