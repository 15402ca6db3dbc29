"""Random colours for clips: brightness, contrast, saturation and hue, each by an amount of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data import photometric
from tubelet.data.randomness import uniform
from tubelet.errors import ConfigError

Clip = UInt8[Tensor, "frames 3 rows columns"]

CHANGES: Mapping[str, Callable[[Clip, float], Clip]] = MappingProxyType(
    {
        "brightness": photometric.brightness,
        "contrast": photometric.contrast,
        "saturation": photometric.color,
        "hue": photometric.hue,
    }
)


@dataclass(frozen=True)
class DrawnChange:
    """A name from `CHANGES` and its amount: a factor about 1, or of hue a share of the colour circle."""

    name: str
    amount: float


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Changes the colours of a clip with `probability`; the defaults are X-CLIP's.

    Brightness, contrast and saturation are multiplied by factors from 1 - strength to 1 + strength (never below
    0), hues moved by up to `hue` of the colour circle either way. The four come in an order that is drawn too.

    All frames of a clip get the same change. With `per_frame` each is given its own, as X-CLIP was trained:
    colours then flicker in a way that no video does. Whether a clip is changed at all is drawn once either way.
    """

    probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.2
    hue: float = 0.1
    per_frame: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"probability must lie in 0 to 1, found {self.probability}")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"the strength of {name} must be 0 or more, found {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ConfigError(
                f"hue is a share of the colour circle and must lie in 0 to 0.5, found {self.hue}"
            )

    def draw(self, generator: torch.Generator) -> list[DrawnChange]:
        """The changes for a clip, or for a frame of one, in the order in which they are applied.

        A strength of 0 takes part in the draw and then changes nothing, so that it does not shift later draws.
        """
        names = tuple(CHANGES)
        order = torch.randperm(len(names), generator=generator).tolist()
        amounts = {name: self._amount(name, generator) for name in names}
        wanted = [names[i] for i in order if getattr(self, names[i]) > 0]
        return [DrawnChange(name, amounts[name]) for name in wanted]

    def __call__(self, pixels: Clip, generator: torch.Generator) -> Clip:
        changed = uniform(0.0, 1.0, generator) < self.probability
        # Drawn whether used or not, so that later draws do not depend on this one.
        draws = [self.draw(generator) for _ in range(len(pixels) if self.per_frame else 1)]
        if not changed:
            return pixels
        parts = pixels.split(1) if self.per_frame else [pixels]
        return torch.cat([apply_changes(part, drawn) for part, drawn in zip(parts, draws, strict=True)])

    def _amount(self, name: str, generator: torch.Generator) -> float:
        strength = getattr(self, name)
        if name == "hue":
            return uniform(-strength, strength, generator)
        return uniform(max(0.0, 1 - strength), 1 + strength, generator)


def apply_changes(pixels: Clip, drawn: list[DrawnChange]) -> Clip:
    """The clip after the changes, one after the other; each rounds to whole levels."""
    for change in drawn:
        pixels = CHANGES[change.name](pixels, change.amount)
    return pixels
