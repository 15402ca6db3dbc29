"""Random erasing (Zhong et al. 2020) of normalised clips: one box of noise, fresh in every frame."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.data.batch import ViewId
from tubelet.data.crop import Box
from tubelet.data.randomness import counter_generator, integer, uniform
from tubelet.errors import ConfigError


def draw_erase_box(
    height: int,
    width: int,
    generator: torch.Generator,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
) -> Box | None:
    """A box (top, left, height, width) smaller than the frame, or None if ten tries find none.

    Its area is uniform in `area` (share of the frame), height / width log-uniform in `aspect`.
    """
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for _ in range(10):
        size = height * width * uniform(*area, generator)
        shape = math.exp(uniform(low, high, generator))
        box_height, box_width = round(math.sqrt(size * shape)), round(math.sqrt(size / shape))
        if 0 < box_height < height and 0 < box_width < width:
            top = integer(0, height - box_height + 1, generator)
            return top, integer(0, width - box_width + 1, generator), box_height, box_width
    return None


def erase(
    clip: Float[Tensor, "3 frames rows columns"],
    box: Box,
    noise: Float[Tensor, "3 frames box_rows box_columns"],
) -> Float[Tensor, "3 frames rows columns"]:
    """A copy of the clip whose box holds `noise`."""
    top, left, height, width = box
    erased = clip.clone()
    erased[..., top : top + height, left : left + width] = noise
    return erased


@dataclass(frozen=True, kw_only=True)
class RandomErasing:
    """Fills a random box of a clip with standard normal noise, with `probability`."""

    probability: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability must lie in 0 to 1, found {self.probability}")
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ConfigError(f"area must be two growing numbers from (0, 1], found {self.area}")
        if not 0 < self.aspect[0] <= self.aspect[1]:
            raise ConfigError(f"aspect must be two growing numbers above 0, found {self.aspect}")

    def __call__(
        self, clip: Float[Tensor, "3 frames rows columns"], generator: torch.Generator
    ) -> Float[Tensor, "3 frames rows columns"]:
        if uniform(0.0, 1.0, generator) >= self.probability:
            return clip
        frames, rows, columns = clip.shape[1:]
        box = draw_erase_box(rows, columns, generator, self.area, self.aspect)
        if box is None:
            return clip
        noise = torch.randn(3, frames, *box[2:], generator=generator)
        return erase(clip, box, noise.to(clip))


def erase_views(
    clips: Float[Tensor, "batch 3 frames rows columns"],
    ids: Sequence[ViewId],
    erasing: RandomErasing,
    seed: int,
) -> None:
    """Erase in each view of a batch, in place, what the view's own counter draws."""
    for i, (clip, view) in enumerate(zip(clips, ids, strict=True)):
        generator = counter_generator(seed, "erase", view.epoch, view.sample, view.view)
        clips[i] = erasing(clip, generator)
