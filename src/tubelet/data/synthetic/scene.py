"""Everything in a synthetic clip that does not depend on its label.

`draw_scene` never sees the label, so no colour, shape, background, shake or distractor can tell it. What
moves here (camera, distractors) moves alike in both directions of time: a shake is a sum of sine waves with
uniform phases, a distractor slides in a uniform direction.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int32
from torch import Generator, Tensor

from tubelet.data.randomness import integer, uniform
from tubelet.data.synthetic.motions import Draws

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.15, 0.15),
    "orange": (0.98, 0.58, 0.10),
    "yellow": (0.97, 0.92, 0.20),
    "green": (0.15, 0.75, 0.25),
    "cyan": (0.20, 0.85, 0.90),
    "blue": (0.20, 0.35, 0.95),
    "purple": (0.60, 0.25, 0.85),
    "pink": (1.00, 0.60, 0.80),
}
SHAPES = ("disc", "square", "triangle")
DISTRACTOR_SHAPES = ("ring", "bar")
OCTAVES = (4, 8, 16, 32)  # cells of background noise across the frame


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a sprite looks."""

    shape: str
    colour: str


@dataclass(frozen=True, kw_only=True)
class Distractor:
    """A small plain thing that does nothing for the label; its velocity is in frame widths per clip."""

    shape: str
    colour: str
    centre: tuple[float, float]
    angle: float
    radius: float
    velocity: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Occluder:
    """A grey beam across the whole frame, in front of everything."""

    upright: bool
    centre: float
    half_width: float
    grey: float


@dataclass(frozen=True, kw_only=True)
class Wave:
    """One sine wave of the camera's shake; cycles per clip, amplitude in frame widths, phase in turns."""

    cycles: float
    amplitude: float
    phase: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A clip without its motion."""

    draws: Draws
    looks: tuple[Look, ...]
    background: tuple[float, float, float]
    lattices: tuple[Int32[Tensor, "4 _ _"], ...]  # grey, red, green, blue; 16-bit noise
    shake: tuple[tuple[Wave, ...], tuple[Wave, ...]]  # x, y
    distractors: tuple[Distractor, ...]
    occluders: tuple[Occluder, ...]


def draw_scene(
    generator: Generator,
    *,
    sprites: int,
    speed: tuple[float, float],
    colours: tuple[str, ...],
    background: tuple[float, float],
    shake: float,
    distractors: int,
    moving_distractors: bool,
    occluders: int,
) -> Scene:
    """Draws a scene; takes no label, on purpose."""
    draws = _draw_motion(generator, sprites, speed)
    palette = [colours[i] for i in _order(len(colours), generator)]  # no two sprites share a colour
    return Scene(
        draws=draws,
        looks=tuple(Look(shape=_choice(SHAPES, generator), colour=palette[i]) for i in range(sprites)),
        background=(
            uniform(*background, generator),
            uniform(*background, generator),
            uniform(*background, generator),
        ),
        lattices=tuple(
            torch.randint(0, 2**16, (4, k, k), generator=generator, dtype=torch.int32) for k in OCTAVES
        ),
        shake=(_draw_waves(shake, generator), _draw_waves(shake, generator)),
        distractors=tuple(
            _draw_distractor(
                generator, palette[sprites:] or palette, speed if moving_distractors else (0.0, 0.0)
            )
            for _ in range(distractors)
        ),
        occluders=tuple(_draw_occluder(generator) for _ in range(occluders)),
    )


def _draw_motion(generator: Generator, sprites: int, speed: tuple[float, float]) -> Draws:
    def uniforms(*shape: int) -> Float64[Tensor, "..."]:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    return Draws(
        centre=uniforms(sprites, 2),
        angle=uniforms(sprites),
        size=uniforms(sprites),
        opening=uniforms(sprites),
        speed=uniform(*speed, generator),
        heading=uniform(0.0, 1.0, generator),
        spin=2 * integer(0, 2, generator) - 1,
        switch=uniform(0.4, 0.6, generator),
        front=integer(0, sprites, generator),
    )


def _draw_waves(shake: float, generator: Generator) -> tuple[Wave, ...]:
    return tuple(
        Wave(
            cycles=uniform(low, 2 * low, generator),
            amplitude=shake * uniform(0.3, 0.5, generator),
            phase=uniform(0.0, 1.0, generator),
        )
        for low in (0.5, 2.0)
    )


def _draw_distractor(generator: Generator, palette: list[str], speed: tuple[float, float]) -> Distractor:
    # A velocity from the disc, without sine or cosine; its direction is as likely as the opposite one.
    x, y = uniform(-1.0, 1.0, generator), uniform(-1.0, 1.0, generator)
    length = uniform(*speed, generator) / max((x * x + y * y) ** 0.5, 0.1)
    return Distractor(
        shape=_choice(DISTRACTOR_SHAPES, generator),
        colour=_choice(palette, generator),
        centre=(uniform(0.0, 1.0, generator), uniform(0.0, 1.0, generator)),
        angle=uniform(0.0, 1.0, generator),
        radius=uniform(0.05, 0.08, generator),
        velocity=(x * length, y * length),
    )


def _draw_occluder(generator: Generator) -> Occluder:
    return Occluder(
        upright=bool(integer(0, 2, generator)),
        centre=uniform(0.0, 1.0, generator),
        half_width=uniform(0.03, 0.06, generator),
        grey=uniform(0.3, 0.7, generator),
    )


def _choice(options: tuple[str, ...] | list[str], generator: Generator) -> str:
    return options[integer(0, len(options), generator)]


def _order(length: int, generator: Generator) -> list[int]:
    """A random order of 0, …, length - 1 (sorting draws: the same in every version of torch)."""
    keys = [uniform(0.0, 1.0, generator) for _ in range(length)]
    return sorted(range(length), key=keys.__getitem__)
