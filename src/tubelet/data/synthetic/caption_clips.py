"""Captioned clips rendered on demand: one sprite does what words say that recombine.

Each frame shows the sprite's colour and its shape; what it does, and in which order, only frames at known times
tell (see `CaptionConfig.spread`). Clip `index` of a split is a pure function of (config, split, index).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.randomness import counter_generator
from tubelet.data.synthetic.captions import ACTIONS, Caption, CaptionSplit, combinations, hold_out_captions
from tubelet.data.synthetic.motions import Draws, Paths, Times, cycle, keep_still
from tubelet.data.synthetic.render import render
from tubelet.data.synthetic.scene import COLOURS, SHAPES, Look, Scene, draw_scene
from tubelet.data.synthetic.synth import LIMITS, RANGES, balanced_label
from tubelet.data.synthetic.synth_checks import check_film, check_limits, check_names, check_ranges
from tubelet.errors import ConfigError

# Raised whenever the same config gives other pixels than before.
CAPTION_RENDERER = 2

HALF_TIME = torch.tensor([0.5], dtype=torch.float64)
UNSEEN = "unseen"  # the split whose captions no other split shows


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """The words of the captions, how many captions are never trained on, and how the clips look.

    The settings that `SynthConfig` has too mean the same. The speed is that of every part of a clip, so a motion
    that lasts half of it gets half as far.

    With a `spread` of 1 no single frame tells what a sprite does. With less, sprites are about the middle of the
    frame, and of medium size, half-way through: a frame at a known time then hints at the motion, as in most real
    videos, and very small models learn it; frames in an unknown order still do not tell a motion from its
    reversal.
    """

    colours: tuple[str, ...] = ("red", "green", "blue")
    shapes: tuple[str, ...] = ("disc", "triangle")
    motions: tuple[str, ...] = ("moves left", "moves right", "grows", "shrinks")  # keys of ACTIONS
    num_unseen: int = 24  # captions
    size: int = 32
    num_frames: int = 8
    fps: int = 8
    radius: tuple[float, float] = (0.1, 0.3)
    speed: tuple[float, float] = (0.7, 0.8)
    spread: float = 0.1  # of places and sizes in the middle of a clip; 1 is all there are
    background: tuple[float, float] = (0.05, 0.2)
    texture: float = 0.0
    noise: float = 0.0
    crf: int = 18
    gop: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        check_names("colour", self.colours, COLOURS, at_least=1)
        check_names("shape", self.shapes, dict.fromkeys(SHAPES), at_least=1)
        check_names("motion", self.motions, ACTIONS, at_least=2)
        check_film(size=self.size, num_frames=self.num_frames, fps=self.fps, crf=self.crf, gop=self.gop)
        check_ranges(self, RANGES)
        check_limits(self, {name: LIMITS[name] for name in ("texture", "noise")})
        if not 0 <= self.spread <= 1:
            raise ConfigError(f"spread {self.spread}: must be between 0 and 1")
        if self.num_unseen < 0:
            raise ConfigError(f"num_unseen {self.num_unseen}: must be 0 or more")
        _ = self.split  # refuses more unseen captions than there can be

    @property
    def split(self) -> CaptionSplit:
        """The captions to learn from and the unseen ones."""
        captions = combinations(self.colours, self.shapes, self.motions)
        return hold_out_captions(captions, self.num_unseen, self.seed)


# A small set: 96 captions, of which 24 are unseen. It has sizes beside slides because a model of single frames
# finds how large something is sooner than where it is.
CAPTIONS = CaptionConfig()


@dataclass(frozen=True, kw_only=True)
class CaptionClip:
    """A rendered clip, its caption, the number of that among the captions of its split, and what was drawn."""

    pixels: UInt8[Tensor, "frames 3 rows columns"]
    label: int
    caption: Caption
    scene: Scene


def captions_of(config: CaptionConfig, split: str) -> tuple[Caption, ...]:
    """What the labels of a split mean: the unseen captions for the split "unseen", else the seen ones."""
    return config.split.unseen if split == UNSEEN else config.split.seen


def caption_label(config: CaptionConfig, split: str, index: int) -> int:
    """The label of a clip; of every block of as many clips as there are captions, each has another."""
    captions = captions_of(config, split)
    if not captions:
        raise ConfigError(f"num_unseen {config.num_unseen}: there is no clip {index} of the split {split!r}")
    return balanced_label(len(captions), index, config.seed, "caption labels", split)


def render_caption_clip(config: CaptionConfig, split: str, index: int) -> CaptionClip:
    """Clip `index` of a split, bit for bit the same on every machine."""
    label = caption_label(config, split, index)
    caption = captions_of(config, split)[label]
    scene = caption_scene(config, caption, split, index)
    times = torch.linspace(0, 1, config.num_frames, dtype=torch.float64)
    pixels = render(
        scene,
        caption_paths(caption, scene.draws, times, config.spread),
        size=config.size,
        radius=config.radius,
        texture=config.texture,
        noise=config.noise,
        generator=counter_generator(config.seed, "caption noise", split, index),
    )
    return CaptionClip(pixels=pixels, label=label, caption=caption, scene=scene)


def caption_scene(config: CaptionConfig, caption: Caption, split: str, index: int) -> Scene:
    """The clip without its motion; of the caption, only colour and shape have a part in it."""
    scene = draw_scene(
        counter_generator(config.seed, "caption scene", split, index),
        sprites=1,
        speed=config.speed,
        colours=config.colours,
        background=config.background,
        shake=0.0,
        distractors=0,
        moving_distractors=False,
        occluders=0,
    )
    # An open mouth takes a third of a triangle away; shut, it still shows how a sprite is turned.
    draws = replace(scene.draws, opening=torch.zeros_like(scene.draws.opening))
    return replace(scene, draws=draws, looks=(Look(shape=caption.shape, colour=caption.colour),))


def caption_paths(caption: Caption, draws: Draws, times: Times, spread: float = 1.0) -> Paths:
    """One action after the other, changed at `draws.switch`; what they do adds up.

    Where, how large and how turned the sprite is in the middle of the clip is drawn: `spread` says from how much
    of the frame and of the sizes, about the middle. With a spread of 1, as in
    `tubelet.data.synthetic.motions`, all only adds to uniform draws on cycles, so at any single
    time the state has one and the same distribution for all captions.
    """
    switch = draws.switch if caption.second is not None else 1.0
    middle = replace(
        draws, centre=0.5 + spread * (draws.centre - 0.5), size=0.5 + spread * (draws.size - 0.5)
    )
    paths = keep_still(middle, times)
    for number, word in enumerate(caption.actions):
        action = ACTIONS[word]
        progress = draws.speed * (spent(times, number, switch) - spent(HALF_TIME, number, switch))
        step = torch.tensor([action.x, action.y], dtype=torch.float64)
        paths = replace(
            paths,
            centre=cycle(paths.centre + progress[:, None, None] * step),
            angle=cycle(paths.angle + draws.spin * action.turns * progress[:, None]),
            size=cycle(paths.size + action.growth * progress[:, None]),
        )
    return paths


def spent(times: Times, number: int, switch: float) -> Times:
    """How much of the clip the first action (0) or the second one (1) has had at a time."""
    return times.clamp(max=switch) if number == 0 else (times - switch).clamp(min=0)
