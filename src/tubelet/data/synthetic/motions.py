"""What the sprites of the synthetic data set do: one programme per motion.

A programme turns draws that know nothing of the label into the state of every sprite at every time. Three
facts keep the label out of single frames, and the order of frames the only difference inside a reversal pair:

1. Places live on a torus, angles on a circle, and sizes, openings and distances on cycles. A programme only
   adds a motion to a uniform draw, and a uniform draw on a cycle stays uniform wherever it is moved to. So at
   every single time, the state has one and the same distribution for all motions.
2. The second member of a reversal pair is literally the first one `backwards`: for the same draws both show
   the same states in the opposite order.
3. Everything else in a clip (`tubelet.data.synthetic.scene`) is drawn without the label and looks alike in both
   directions of time.

Cycles that are not circles jump: a sprite that grows starts small again when it has become largest.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi, sin

import torch
from jaxtyping import Float64
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Draws:
    """All that is random about a motion. Lengths count frame widths, angles count turns."""

    centre: Float64[Tensor, "sprites 2"]  # (x to the right, y down), each uniform on [0, 1)
    angle: Float64[Tensor, "sprites"]  # uniform on [0, 1); growing angles turn clockwise on the screen
    size: Float64[Tensor, "sprites"]  # uniform on [0, 1): smallest to largest
    opening: Float64[Tensor, "sprites"]  # uniform on [0, 1): nearly shut to wide open
    speed: float  # cycles from the first to the last frame
    heading: float  # direction of a slide, uniform on [0, 1)
    spin: int  # +1 or -1 with equal chance
    switch: float  # when a composed motion changes from its first part to its second; 0.5 on average
    front: int  # sprite that is painted last


@dataclass(frozen=True, kw_only=True)
class Paths:
    """The state of every sprite at every time, in the units of `Draws`."""

    centre: Float64[Tensor, "frames sprites 2"]
    angle: Float64[Tensor, "frames sprites"]
    size: Float64[Tensor, "frames sprites"]
    opening: Float64[Tensor, "frames sprites"]
    front: int


Times = Float64[Tensor, "frames"]  # 0 at the first frame, 1 at the last
Programme = Callable[[Draws, Times], Paths]


@dataclass(frozen=True, kw_only=True)
class Motion:
    """A class of the data set."""

    label: str  # as in classes.txt
    template: str  # as in Something-Something
    programme: Programme
    sprites: int = 1  # how many its template names; motions of one sprite are done by all sprites alike


def cycle(value: Tensor) -> Tensor:
    """`value` wrapped into [0, 1)."""
    return value - value.floor()


def keep_still(draws: Draws, times: Times) -> Paths:
    frames, sprites = len(times), len(draws.centre)
    return Paths(
        centre=draws.centre.expand(frames, sprites, 2),
        angle=draws.angle.expand(frames, sprites),
        size=draws.size.expand(frames, sprites),
        opening=draws.opening.expand(frames, sprites),
        front=draws.front,
    )


def backwards(programme: Programme) -> Programme:
    """The same states in the opposite order."""

    def reversed_programme(draws: Draws, times: Times) -> Paths:
        paths = programme(draws, times)
        return replace(
            paths,
            centre=paths.centre.flip(0),
            angle=paths.angle.flip(0),
            size=paths.size.flip(0),
            opening=paths.opening.flip(0),
        )

    return reversed_programme


def slid(centre: Tensor, x: float, y: float, progress: Times) -> Float64[Tensor, "frames sprites 2"]:
    step = torch.tensor([x, y], dtype=torch.float64)
    return cycle(centre + progress[:, None, None] * step)


def slide(x: float, y: float) -> Programme:
    """At the clip's speed in the direction (x to the right, y down), given as a vector of length 1."""

    def programme(draws: Draws, times: Times) -> Paths:
        centre = slid(draws.centre, x * draws.speed, y * draws.speed, times)
        return replace(keep_still(draws, times), centre=centre)

    return programme


def rotate_clockwise(draws: Draws, times: Times) -> Paths:
    return replace(keep_still(draws, times), angle=cycle(draws.angle + draws.speed * times[:, None]))


def grow(draws: Draws, times: Times) -> Paths:
    return replace(keep_still(draws, times), size=cycle(draws.size + draws.speed * times[:, None]))


def open_up(draws: Draws, times: Times) -> Paths:
    return replace(keep_still(draws, times), opening=cycle(draws.opening + draws.speed * times[:, None]))


def gap(draws: Draws) -> tuple[Tensor, Tensor]:
    """The way from the second sprite to the first, in coordinates that are uniform and independent.

    The displacement on the torus is uniform in the square [-1/2, 1/2)². On the ray through it that ends at
    the square's border, its squared share of the way to the border is uniform on [0, 1), whatever the ray:
    area grows with the square of length. Returns that share and the ray's end.
    """
    displacement = cycle(draws.centre[0] - draws.centre[1] + 0.5) - 0.5
    share = (2 * displacement.abs().max()).clamp(min=1e-6)
    return share * share, displacement / share


def retreat(draws: Draws, times: Times) -> Paths:
    """Both sprites leave the point halfway between them; farthest apart, they start again from it.

    A full cycle, whatever the speed, so that every clip shows them close together and far apart.
    """
    share, ray = gap(draws)
    apart = cycle(share + times).sqrt()[:, None] * ray
    middle = draws.centre[1] + share.sqrt() * ray / 2
    centre = cycle(torch.stack([middle + apart / 2, middle - apart / 2], dim=1))
    return replace(keep_still(draws, times), centre=centre)


def passing(front: int) -> Programme:
    """The first sprite crosses the second, once: a full cycle along the line through both."""

    def programme(draws: Draws, times: Times) -> Paths:
        share, ray = gap(draws)
        along = 2 * cycle((share + 2 * draws.spin * times + 1) / 2) - 1
        centre = draws.centre.repeat(len(times), 1, 1)
        centre[:, 0] = cycle(draws.centre[1] + (along.sign() * along.abs().sqrt())[:, None] * ray)
        return replace(keep_still(draws, times), centre=centre, front=front)

    return programme


def spin_then_slide(draws: Draws, times: Times) -> Paths:
    spun = (times / draws.switch).clamp(max=1) * draws.spin * draws.speed
    moved = ((times - draws.switch) / (1 - draws.switch)).clamp(min=0) * draws.speed
    x, y = cos(2 * pi * draws.heading), sin(2 * pi * draws.heading)
    return replace(
        keep_still(draws, times),
        angle=cycle(draws.angle + spun[:, None]),
        centre=slid(draws.centre, x, y, moved),
    )


HALF = 0.5**0.5


def _motion(label: str, template: str, programme: Programme, sprites: int = 1) -> Motion:
    return Motion(label=label, template=template, programme=programme, sprites=sprites)


MOTIONS: dict[str, Motion] = {
    "move_right": _motion("moving right", "Moving [something] right", slide(1.0, 0.0)),
    "move_left": _motion("moving left", "Moving [something] left", backwards(slide(1.0, 0.0))),
    "move_down": _motion("moving down", "Moving [something] down", slide(0.0, 1.0)),
    "move_up": _motion("moving up", "Moving [something] up", backwards(slide(0.0, 1.0))),
    "move_down_right": _motion("moving down right", "Moving [something] down right", slide(HALF, HALF)),
    "move_up_left": _motion("moving up left", "Moving [something] up left", backwards(slide(HALF, HALF))),
    "move_up_right": _motion("moving up right", "Moving [something] up right", slide(HALF, -HALF)),
    "move_down_left": _motion(
        "moving down left", "Moving [something] down left", backwards(slide(HALF, -HALF))
    ),
    "rotate_cw": _motion("rotating clockwise", "Turning [something] clockwise", rotate_clockwise),
    "rotate_ccw": _motion(
        "rotating counterclockwise", "Turning [something] counterclockwise", backwards(rotate_clockwise)
    ),
    "grow": _motion("growing", "Making [something] larger", grow),
    "shrink": _motion("shrinking", "Making [something] smaller", backwards(grow)),
    "open": _motion("opening", "Opening [something]", open_up),
    "close": _motion("closing", "Closing [something]", backwards(open_up)),
    "approach": _motion(
        "approaching", "[Something] and [something] approaching", backwards(retreat), sprites=2
    ),
    "retreat": _motion("retreating", "[Something] and [something] retreating", retreat, sprites=2),
    "spin_then_slide": _motion(
        "spinning then sliding", "Spinning [something] then sliding it", spin_then_slide
    ),
    "slide_then_spin": _motion(
        "sliding then spinning", "Sliding [something] then spinning it", backwards(spin_then_slide)
    ),
    "pass_in_front": _motion(
        "passing in front", "Passing [something] in front of [something]", passing(front=0), sprites=2
    ),
    "pass_behind": _motion(
        "passing behind", "Passing [something] behind [something]", passing(front=1), sprites=2
    ),
}

# Only the order of the frames tells the two apart. (Passing in front and behind is not such a pair: one frame
# shows which sprite is in front, a second one shows which sprite moves.)
REVERSAL_PAIRS: tuple[tuple[str, str], ...] = (
    ("move_right", "move_left"),
    ("move_down", "move_up"),
    ("move_down_right", "move_up_left"),
    ("move_up_right", "move_down_left"),
    ("rotate_cw", "rotate_ccw"),
    ("grow", "shrink"),
    ("open", "close"),
    ("approach", "retreat"),
    ("spin_then_slide", "slide_then_spin"),
)
