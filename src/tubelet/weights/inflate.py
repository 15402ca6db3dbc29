"""Kernels of image models turned into kernels of video models."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from tubelet.errors import WeightsError


def inflate_kernel(
    kernel: Float[Tensor, "dim channels 1 rows columns"],
    frames: int,
    mode: Literal["center", "mean"] = "center",
) -> Float[Tensor, "dim channels frames rows columns"]:
    """An image kernel over several frames (Carreira and Zisserman 2017, section 2.4).

    "center" looks at the frame in the middle and at zeros around it, as VideoMamba starts; "mean" looks at the
    mean of all frames. On a still clip both give what the image gave.
    """
    if frames < 1:
        raise WeightsError(f"a kernel over {frames} frames was asked for; it needs at least 1")
    if mode == "mean":
        return kernel.expand(-1, -1, frames, -1, -1) / frames
    inflated = kernel.new_zeros(*kernel.shape[:2], frames, *kernel.shape[3:])
    inflated[:, :, frames // 2] = kernel[:, :, 0]
    return inflated
