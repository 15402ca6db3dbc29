"""Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019) of batches of clips, drawn first and applied after.

The partner of clip i is clip B - 1 - i, always as it was before mixing. With an odd number of clips the one
in the middle is its own partner and stays as it is.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from tubelet.data.crop import Box
from tubelet.data.randomness import integer, uniform
from tubelet.errors import ConfigError, DataError


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """What to draw. An alpha of 0 switches its half off; with both on, `switch_probability` chooses CutMix.

    `mode` says how often: once per batch, per clip (`elem`), or per pair of partners (`pair`). `minmax`
    draws the sides of CutMix boxes uniformly between two shares of the frame instead of from lambda.
    """

    mode: Literal["batch", "elem", "pair"] = "batch"
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    minmax: tuple[float, float] | None = None
    probability: float = 1.0
    switch_probability: float = 0.5
    correct_lam: bool = True

    def __post_init__(self) -> None:
        if self.mode not in ("batch", "elem", "pair"):
            raise ConfigError(f"mode must be batch, elem or pair, found {self.mode!r}")
        if min(self.mixup_alpha, self.cutmix_alpha) < 0:
            raise ConfigError(
                f"alphas must be 0 or more, found mixup {self.mixup_alpha} and cutmix {self.cutmix_alpha}"
            )
        if not (0 <= self.probability <= 1 and 0 <= self.switch_probability <= 1):
            raise ConfigError(
                "probabilities must lie in 0 to 1, found "
                f"probability {self.probability} and switch_probability {self.switch_probability}"
            )
        if self.minmax is not None and not 0 <= self.minmax[0] <= self.minmax[1] <= 1:
            raise ConfigError(f"minmax must be two growing shares of the frame, found {self.minmax}")


@dataclass(frozen=True, kw_only=True)
class Mix:
    """The draws for one batch: per clip its own share `lam` of the label, and its box if it is cut.

    A clip without a box is averaged with its partner by `lam`; one with a box (top, left, height, width)
    shows its partner inside, in every frame.
    """

    lam: tuple[float, ...]
    boxes: tuple[Box | None, ...]

    def __post_init__(self) -> None:
        if len(self.lam) != len(self.boxes):
            raise DataError(
                f"a mix needs one box or None per clip: {len(self.lam)} lam, {len(self.boxes)} boxes"
            )


def draw_mix(config: MixConfig, batch_size: int, height: int, width: int, generator: torch.Generator) -> Mix:
    """Draws for a batch of clips of `height` x `width` pixels."""
    if config.mode == "batch":
        lam, box = _draw_one(config, height, width, generator)
        return Mix(lam=(lam,) * batch_size, boxes=(box,) * batch_size)
    pairs = config.mode == "pair"
    draws = [
        _draw_one(config, height, width, generator)
        for _ in range((batch_size + 1) // 2 if pairs else batch_size)
    ]
    if pairs:
        draws += draws[: batch_size // 2][::-1]
    return Mix(lam=tuple(lam for lam, _ in draws), boxes=tuple(box for _, box in draws))


def apply_mix(
    clips: Float[Tensor, "batch channels frames rows columns"], mix: Mix
) -> Float[Tensor, "batch channels frames rows columns"]:
    """The mixed clips, in new memory.

    Boxes are cut out of rows and columns of every frame in all modes; the code published with VideoMAE cuts
    frames and rows instead in `pair` mode, by mistake.
    """
    _check_length(len(clips), mix)
    partners = clips.flip(0)
    shares = [1.0 if box else lam for lam, box in zip(mix.lam, mix.boxes, strict=True)]
    if any(share != 1 for share in shares):
        weight = torch.tensor(shares, dtype=clips.dtype, device=clips.device).view(-1, 1, 1, 1, 1)
        mixed = torch.lerp(partners, clips, weight)
    else:
        mixed = clips.clone()
    for clip, partner, box in zip(mixed, partners, mix.boxes, strict=True):
        if box:
            top, left, height, width = box
            inside = (..., slice(top, top + height), slice(left, left + width))
            clip[inside] = partner[inside]
    return mixed


def mix_targets(
    labels: Int64[Tensor, "batch"], mix: Mix, num_classes: int, smoothing: float = 0.0
) -> Float32[Tensor, "batch classes"]:
    """Soft labels of a mixed batch: `lam` of a clip's own smoothed label and the rest of its partner's.

    `smoothing` is the mass spread evenly over all classes (Szegedy et al. 2016).
    """
    _check_length(len(labels), mix)
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= num_classes):
        raise DataError(
            f"labels must lie in 0 to {num_classes - 1}, found {int(labels.min())} to {int(labels.max())}"
        )
    lam = torch.tensor(mix.lam, dtype=torch.float32, device=labels.device)[:, None]
    off = smoothing / num_classes
    own = torch.full((len(labels), num_classes), off, dtype=torch.float32, device=labels.device)
    own.scatter_(1, labels[:, None], 1 - smoothing + off)
    return own * lam + own.flip(0) * (1 - lam)


def cutmix_box(height: int, width: int, lam: float, generator: torch.Generator) -> Box:
    """A box of the frame's shape and 1 - `lam` of its area about a random centre, cut off at the edges."""
    y, x = integer(0, height, generator), integer(0, width, generator)
    return cutmix_box_about(y, x, height, width, lam)


def cutmix_box_about(y: int, x: int, height: int, width: int, lam: float) -> Box:
    """The same about row `y` and column `x` of a frame of `height` x `width` pixels.

    >>> cutmix_box_about(y=2, x=50, height=100, width=100, lam=0.75)
    (0, 25, 27, 50)
    """
    ratio = math.sqrt(1 - lam)
    half_height, half_width = int(height * ratio) // 2, int(width * ratio) // 2
    top, left = max(y - half_height, 0), max(x - half_width, 0)
    return top, left, min(y + half_height, height) - top, min(x + half_width, width) - left


def minmax_box(height: int, width: int, minmax: tuple[float, float], generator: torch.Generator) -> Box:
    """A box whose sides are uniform between two shares of the frame's, inside the frame."""
    low, high = minmax
    box_height = _side(int(height * low), int(height * high), generator)
    box_width = _side(int(width * low), int(width * high), generator)
    top = integer(0, height - box_height + 1, generator)
    return top, integer(0, width - box_width + 1, generator), box_height, box_width


def _draw_one(
    config: MixConfig, height: int, width: int, generator: torch.Generator
) -> tuple[float, Box | None]:
    """Share and box of one clip, pair or batch; a share of 1 without a box changes nothing."""
    enabled = config.mixup_alpha > 0 or config.cutmix_alpha > 0
    if not enabled or uniform(0.0, 1.0, generator) >= config.probability:
        return 1.0, None
    cut = config.cutmix_alpha > 0
    if cut and config.mixup_alpha > 0:
        cut = uniform(0.0, 1.0, generator) < config.switch_probability
    lam = _beta(config.cutmix_alpha if cut else config.mixup_alpha, generator)
    if not cut:
        return lam, None
    if config.minmax is None:
        box = cutmix_box(height, width, lam, generator)
    else:
        box = minmax_box(height, width, config.minmax, generator)
    if config.correct_lam or config.minmax is not None:
        # The box was cut off at the edges or drawn apart from lam: the label follows what is seen.
        lam = 1 - box[2] * box[3] / (height * width)
    return lam, box


def _side(low: int, high: int, generator: torch.Generator) -> int:
    return integer(low, max(high, low + 1), generator)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha): the share of one of two equal gamma draws in their sum."""
    # The only gamma draw of torch that takes a generator; the public distributions do not.
    draws = torch._standard_gamma(  # pyright: ignore[reportPrivateImportUsage]
        torch.full((2,), alpha, dtype=torch.float64), generator
    )
    one, other = draws.tolist()
    return one / (one + other)


def _check_length(batch_size: int, mix: Mix) -> None:
    if batch_size != len(mix.lam):
        raise DataError(f"the mix was drawn for {len(mix.lam)} clips, but the batch has {batch_size}")
