"""How much of a model's outputs is rounding: `python -m benchmarks.precision [--quick]` (some 5 minutes).

Fresh weights, the inputs of `tubelet verify`. Each figure is the largest difference of any output from the same
in float32, as a share of the output's largest value: `float64` says how far float32 is from exact, `oneDNN` how
far two libraries are from each other (on processors without AMX, where it computes in float32), and `bf16` what
autocast costs. The tolerances of `tubelet verify` are chosen by them.
"""

import torch
from torch import Tensor

from benchmarks import measure
from tubelet.models import build_model, variant
from tubelet.parity.agreement import largest_difference
from tubelet.parity.computed import inputs_for, outputs_of

MODELS = (
    "videomae_base",
    "videomae_base_pretrain",
    "videomae_large",
    "videomamba_small",
    "videomambapro_small",
    "uniformerv2_b16",
    "internvideo_mm_b16",
    "viclip_b16",
    "xclip_b16",
    "clip_b16",
)
QUICK = ("videomae_tiny", "videomamba_nano", "xclip_nano")


def main() -> None:
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("rounding")
    found = {name: rounding(name) for name in (QUICK if arguments.quick else MODELS)}
    rows = [[name, *(f"{share:.1e}" for share in shares.values())] for name, shares in found.items()]
    measure.table(["model", "float64", "oneDNN", "bf16"], rows)
    figures = {f"{name} {what}": share for name, shares in found.items() for what, share in shares.items()}
    measure.finish("precision", figures=figures, ratios={}, keep=not arguments.quick)


def rounding(name: str) -> dict[str, float]:
    """Of one size, the largest share by which anything differs from float32."""
    config = variant(name)
    torch.manual_seed(0)
    model, inputs = build_model(config).eval(), inputs_for(config)
    single = outputs_of(model, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        half = outputs_of(model, inputs)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"  # pyright: ignore[reportAttributeAccessIssue]
    other = outputs_of(model, inputs)
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # pyright: ignore[reportAttributeAccessIssue]
    exact = {key: x.double() if x.is_floating_point() else x for key, x in inputs.items()}
    double = outputs_of(model.double(), exact)
    found = {"float64": double, "oneDNN": other, "bf16": half}
    return {what: largest_share(outputs, single) for what, outputs in found.items()}


def largest_share(found: dict[str, Tensor], single: dict[str, Tensor]) -> float:
    return max(largest_difference(found[key], x) / float(x.abs().max()) for key, x in single.items())


if __name__ == "__main__":
    main()
