"""RandAugment for clips (Cubuk et al. 2020): a few random operations, the same for all frames of a clip."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data import photometric
from tubelet.data.affine import rotation, warp
from tubelet.data.crop import Box, crop
from tubelet.data.randomness import integer, uniform
from tubelet.errors import ConfigError

Clip = UInt8[Tensor, "frames 3 rows columns"]
Part = UInt8[Tensor, "frames 3 box_rows box_columns"]


def rotate(pixels: Clip, degrees: float, box: Box | None = None) -> Part:
    """Counter-clockwise about the centre; bicubic, grey outside, like the other three below."""
    return warp(pixels, rotation(degrees, *pixels.shape[-2:]), box=box)


def shear_x(pixels: Clip, slope: float, box: Box | None = None) -> Part:
    return warp(pixels, (1.0, slope, 0.0, 0.0, 1.0, 0.0), box=box)


def shear_y(pixels: Clip, slope: float, box: Box | None = None) -> Part:
    return warp(pixels, (1.0, 0.0, 0.0, slope, 1.0, 0.0), box=box)


def translate_x(pixels: Clip, share: float, box: Box | None = None) -> Part:
    """Moves the picture left by a share of its width."""
    return warp(pixels, (1.0, 0.0, share * pixels.shape[-1], 0.0, 1.0, 0.0), box=box)


def translate_y(pixels: Clip, share: float, box: Box | None = None) -> Part:
    """Moves the picture up by a share of its height."""
    return warp(pixels, (1.0, 0.0, 0.0, 0.0, 1.0, share * pixels.shape[-2]), box=box)


@dataclass(frozen=True)
class Op:
    """One operation: how it changes a clip by an amount, and the amount that a magnitude of 0 to 10 means.

    The amount of a `signed` operation is `neutral` plus or minus that; of an operation without amount, None.

    `needs` says what a pixel of the result depends on: the same `pixel` before, or more of the `frame`. A `warp`
    can make a part of its result alone: it takes a box.
    """

    apply: Callable[..., Clip]
    amount: Callable[[float], float] | None = None
    signed: bool = False
    neutral: float = 0.0
    needs: Literal["pixel", "frame", "warp"] = "frame"


# The 15 "increasing" operations: a larger magnitude always changes the picture more.
OPS: Mapping[str, Op] = MappingProxyType(
    {
        "AutoContrast": Op(photometric.autocontrast),
        "Equalize": Op(photometric.equalize),
        "Invert": Op(photometric.invert, needs="pixel"),
        "Rotate": Op(rotate, lambda m: m / 10 * 30, signed=True, needs="warp"),
        "PosterizeIncreasing": Op(photometric.posterize, lambda m: 4.0 - int(m / 10 * 4), needs="pixel"),
        "SolarizeIncreasing": Op(photometric.solarize, lambda m: 256.0 - int(m / 10 * 256), needs="pixel"),
        "SolarizeAdd": Op(photometric.solarize_add, lambda m: float(int(m / 10 * 110)), needs="pixel"),
        "ColorIncreasing": Op(
            photometric.color, lambda m: m / 10 * 0.9, signed=True, neutral=1.0, needs="pixel"
        ),
        "ContrastIncreasing": Op(photometric.contrast, lambda m: m / 10 * 0.9, signed=True, neutral=1.0),
        "BrightnessIncreasing": Op(
            photometric.brightness, lambda m: m / 10 * 0.9, signed=True, neutral=1.0, needs="pixel"
        ),
        "SharpnessIncreasing": Op(photometric.sharpness, lambda m: m / 10 * 0.9, signed=True, neutral=1.0),
        "ShearX": Op(shear_x, lambda m: m / 10 * 0.3, signed=True, needs="warp"),
        "ShearY": Op(shear_y, lambda m: m / 10 * 0.3, signed=True, needs="warp"),
        "TranslateXRel": Op(translate_x, lambda m: m / 10 * 0.45, signed=True, needs="warp"),
        "TranslateYRel": Op(translate_y, lambda m: m / 10 * 0.45, signed=True, needs="warp"),
    }
)


@dataclass(frozen=True)
class DrawnOp:
    """A name from `OPS` and the amount to apply it by (None where the operation takes none)."""

    name: str
    amount: float | None


def op_amount(name: str, magnitude: float, *, negative: bool = False) -> float | None:
    """What the operation is called with at a magnitude of 0 to 10.

    >>> op_amount("Rotate", 7.0, negative=True)
    -21.0
    >>> op_amount("PosterizeIncreasing", 7.0)
    2.0
    """
    op = OPS[name]
    if op.amount is None:
        return None
    amount = op.amount(magnitude)
    if not op.signed:
        return amount
    return op.neutral - amount if negative else op.neutral + amount


def apply_op(pixels: Clip, drawn: DrawnOp) -> Clip:
    """The clip after one operation."""
    apply = OPS[drawn.name].apply
    return apply(pixels) if drawn.amount is None else apply(pixels, drawn.amount)


def apply_in_box(pixels: Clip, drawn: Sequence[DrawnOp], box: Box) -> Part:
    """The part `box` of the clip after the operations, at no more cost than that part needs."""
    whole = len(drawn)
    while whole and OPS[drawn[whole - 1].name].needs == "pixel":
        whole -= 1
    warped = whole > 0 and OPS[drawn[whole - 1].name].needs == "warp"
    for op in drawn[: whole - warped]:
        pixels = apply_op(pixels, op)
    if warped:
        last = drawn[whole - 1]
        part = OPS[last.name].apply(pixels, last.amount, box)
    else:
        part = crop(pixels, box)
    for op in drawn[whole:]:
        part = apply_op(part, op)
    return part


@dataclass(frozen=True, kw_only=True)
class RandAugment:
    """Draws `num_ops` operations with replacement and applies each with `probability`.

    Magnitudes are normal about `magnitude` with deviation `magnitude_std`, clamped to 0 to 10 and drawn per
    operation and clip. The defaults are those of fine-tuning VideoMAE.
    """

    magnitude: float = 7.0
    num_ops: int = 4
    magnitude_std: float = 0.5
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude <= 10:
            raise ConfigError(f"the magnitude of RandAugment lies in 0 to 10, found {self.magnitude}")
        if self.num_ops < 1:
            raise ConfigError(f"RandAugment needs at least one operation, found {self.num_ops}")
        if not (self.magnitude_std >= 0 and math.isfinite(self.magnitude_std)):
            raise ConfigError(f"magnitude_std must be a number of 0 or more, found {self.magnitude_std}")
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability must lie in 0 to 1, found {self.probability}")

    def draw(self, generator: torch.Generator) -> list[DrawnOp]:
        """The operations for one clip, in the order in which they are applied."""
        names = tuple(OPS)
        drawn = []
        for _ in range(self.num_ops):
            # Drawn whether used or not, so that later draws do not depend on earlier outcomes.
            name = names[integer(0, len(names), generator)]
            applied = uniform(0.0, 1.0, generator) < self.probability
            noise = float(torch.randn((), generator=generator, dtype=torch.float64))
            negative = uniform(0.0, 1.0, generator) > 0.5
            magnitude = min(max(self.magnitude + self.magnitude_std * noise, 0.0), 10.0)
            if applied:
                drawn.append(DrawnOp(name, op_amount(name, magnitude, negative=negative)))
        return drawn

    def __call__(self, pixels: Clip, generator: torch.Generator) -> Clip:
        for drawn in self.draw(generator):
            pixels = apply_op(pixels, drawn)
        return pixels


_TOKENS = {"m": ("magnitude", float), "n": ("num_ops", int), "mstd": ("magnitude_std", float)}


def parse_randaugment(text: str) -> RandAugment:
    """The value of a string such as `rand-m7-n4-mstd0.5-inc1`.

    m is the magnitude, n the number of operations, mstd its deviation (0 where it is not given, as in other
    readers of this notation). inc must be there: only the increasing operations exist here, and published
    code switches them on by the word, whatever its digit.

    >>> parse_randaugment("rand-m7-n4-mstd0.5-inc1") == RandAugment()
    True
    """
    first, *tokens = text.split("-")
    if first != "rand":
        raise ConfigError(f"{text!r} is not a RandAugment setting: it starts with {first!r}, not with 'rand'")
    settings: dict[str, float] = {"magnitude": 10.0, "num_ops": 2, "magnitude_std": 0.0}
    increasing = False
    for token in tokens:
        match = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?|\.\d+)", token)
        word, number = match.groups() if match else ("", "")
        if word == "inc":
            increasing = True
        elif word in _TOKENS and not (word == "n" and not number.isdigit()):
            name, read = _TOKENS[word]
            settings[name] = read(number)
        else:
            raise ConfigError(f"{text!r}: cannot read {token!r}; known are m7, n4, mstd0.5 and inc1")
    if not increasing:
        raise ConfigError(
            f"{text!r} asks for operations that do not exist here; add '-inc1' for the increasing ones"
        )
    return RandAugment(**settings)  # pyright: ignore[reportArgumentType]
