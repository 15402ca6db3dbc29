"""Clips cut into tubelets and embedded."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def patch_tubelets(
    clip: Float[Tensor, "batch channels frames rows columns"], tubelet: tuple[int, int, int]
) -> Float[Tensor, "batch tokens channels t h w"]:
    """A clip cut into tubelets in (t h w) order, without copying; a rest that fills no tubelet is left out."""
    for axis, size in reversed(list(enumerate(tubelet, start=2))):
        clip = clip.narrow(axis, 0, clip.shape[axis] // size * size).unflatten(axis, (-1, size))
    return clip.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(1, 3)


class TubeletEmbed(nn.Module):
    """A linear map of every tubelet, kept as the 3-D convolution whose stride is its kernel.

    The weights have the shape of a convolution, so that inflating from images stays a sum over time. The work
    is one matrix product, and tubelets that a mask hides are never embedded.
    """

    def __init__(self, dim: int, tubelet: tuple[int, int, int], channels: int = 3):
        super().__init__()
        self.tubelet = tubelet
        self.proj = nn.Conv3d(channels, dim, kernel_size=tubelet, stride=tubelet)

    def grid(self, clip: Float[Tensor, "batch channels frames rows columns"]) -> tuple[int, int, int]:
        """Tokens along time, rows and columns."""
        t, h, w = (size // step for size, step in zip(clip.shape[2:], self.tubelet, strict=True))
        return t, h, w

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        visible: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch kept dim"]:
        """Embedded tubelets in (t h w) order; only the visible ones where a mask is given."""
        tubelets = patch_tubelets(clip, self.tubelet)
        if visible is not None:
            tubelets = keep(tubelets, visible)
        return F.linear(tubelets.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


def keep(
    values: Float[Tensor, "batch tokens *rest"], kept: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch kept *rest"]:
    """The values where `kept` is true, in order; every sample keeps the same number."""
    return values[kept].reshape(len(values), -1, *values.shape[2:])


def keep_rows(
    table: Float[Tensor, "tokens dim"], kept: Bool[Tensor, "batch tokens"]
) -> Float[Tensor, "batch kept dim"]:
    """The rows of a table that each sample keeps."""
    rows = torch.arange(len(table), device=table.device).expand_as(kept)
    return table[rows[kept].reshape(len(kept), -1)]
