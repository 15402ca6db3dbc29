"""Labelled motions rendered on demand: a video data set that needs no download.

No single frame tells the label: see `tubelet.data.synthetic.motions` for why, and
`tubelet.data.synthetic.audit` for the proof by experiment.
Clip `index` of a split is a pure function of (config, split, index).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import UInt8
from torch import Tensor

from tubelet.data.randomness import counter_generator
from tubelet.data.synthetic.motions import MOTIONS, REVERSAL_PAIRS
from tubelet.data.synthetic.render import render
from tubelet.data.synthetic.scene import COLOURS, Scene, draw_scene
from tubelet.data.synthetic.synth_checks import check_film, check_limits, check_names, check_ranges
from tubelet.errors import ConfigError

# Raised whenever the same config gives other pixels than before.
RENDERER = 1

RANGES = {"radius": 0.3, "speed": 1.0, "background": 1.0}  # setting: the most that its range may reach
LIMITS = {"texture": 2, "noise": 1, "shake": 0.5, "distractors": 16, "occluders": 8}


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """What the clips show and how hard they are.

    `texture` is by far the strongest knob of difficulty. Lengths are in frame widths.
    """

    motions: tuple[str, ...] = tuple(MOTIONS)  # keys of MOTIONS; their order numbers the labels
    size: int = 64  # rows = columns, in pixels
    num_frames: int = 16
    fps: int = 8
    sprites: int = 2  # that do the motion; motions that relate two sprites need exactly 2
    radius: tuple[float, float] = (0.10, 0.20)  # of the smallest and the largest sprite
    speed: tuple[float, float] = (0.5, 0.8)  # frame widths, turns or sweeps per clip
    colours: tuple[str, ...] = tuple(COLOURS)
    background: tuple[float, float] = (0.3, 0.7)  # range of its mean in each colour; 1 is white
    texture: float = 0.25  # two standard deviations of the background; 1 is black to white
    noise: float = 0.02  # largest error of a pixel; 1 is black to white
    shake: float = 0.0  # largest camera movement
    distractors: int = 0
    moving_distractors: bool = False
    occluders: int = 0  # beams in front of everything
    crf: int = 18  # x264: 0 lossless, 18 clean, 51 worst
    gop: int = 12  # frames between key frames
    seed: int = 0

    def __post_init__(self) -> None:
        check_names("motion", self.motions, MOTIONS, at_least=2)
        check_names("colour", self.colours, COLOURS, at_least=self.sprites)
        check_film(size=self.size, num_frames=self.num_frames, fps=self.fps, crf=self.crf, gop=self.gop)
        related = [name for name in self.motions if MOTIONS[name].sprites == 2]
        if self.sprites < 1 or (related and self.sprites != 2):
            raise ConfigError(f"sprites {self.sprites}: must be at least 1, and exactly 2 for {related}")
        check_ranges(self, RANGES)
        check_limits(self, LIMITS)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in words, by number."""
        return tuple(MOTIONS[name].label for name in self.motions)

    @property
    def reversal_pairs(self) -> tuple[tuple[int, int], ...]:
        """Labels that are each other played backwards."""
        number = {name: label for label, name in enumerate(self.motions)}
        return tuple((number[a], number[b]) for a, b in REVERSAL_PAIRS if a in number and b in number)


_L0 = SynthConfig(texture=0.0, noise=0.0)
_L1 = replace(_L0, texture=0.15, noise=0.02)
_L2 = replace(_L1, texture=0.30, shake=0.03, distractors=1)
_L3 = replace(_L2, texture=0.45, distractors=3, moving_distractors=True, occluders=1)

LEVELS: dict[str, SynthConfig] = {
    "L0": _L0,  # plain background
    "L1": _L1,  # light texture, a little noise
    "L2": _L2,  # more texture, camera shake, a still distractor
    "L3": _L3,  # strong texture, shake, moving distractors, an occluder
}

# What `tubelet quickstart` trains on: four reversal pairs that a very small video transformer learns in minutes.
# Large bright sprites on dark ground, because the sign of their contrast is then always the same.
QUICKSTART = SynthConfig(
    motions=(
        "move_right",
        "move_left",
        "move_down",
        "move_up",
        "move_down_right",
        "move_up_left",
        "move_up_right",
        "move_down_left",
    ),
    size=32,
    sprites=1,
    radius=(0.2, 0.3),
    speed=(0.8, 1.0),
    colours=("yellow", "cyan", "orange", "pink"),
    background=(0.05, 0.2),
    texture=0.1,
    noise=0.0,
)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A rendered clip, its label, and everything else that was drawn for it."""

    pixels: UInt8[Tensor, "frames 3 rows columns"]
    label: int
    motion: str
    scene: Scene


def label_of(config: SynthConfig, split: str, index: int) -> int:
    """The label of a clip; of every block of as many clips as there are motions, each has another.

    It does not depend on how many clips the split has, so a data set can grow.
    """
    return balanced_label(len(config.motions), index, config.seed, "labels", split)


def balanced_label(num_labels: int, index: int, *counter: int | str) -> int:
    """Each of every `num_labels` clips in a row has another label; the counter seeds their order."""
    block, place = divmod(index, num_labels)
    generator = counter_generator(*counter, block)
    keys = torch.rand(num_labels, generator=generator, dtype=torch.float64)
    return int(keys.argsort()[place])


def scene_of(config: SynthConfig, split: str, index: int) -> Scene:
    """The clip without its motion. Seeded by a hash of (seed, split, index); the label has no part in it."""
    return draw_scene(
        counter_generator(config.seed, "scene", split, index),
        sprites=config.sprites,
        speed=config.speed,
        colours=config.colours,
        background=config.background,
        shake=config.shake,
        distractors=config.distractors,
        moving_distractors=config.moving_distractors,
        occluders=config.occluders,
    )


def render_clip(config: SynthConfig, split: str, index: int) -> Clip:
    """Clip `index` of a split, bit for bit the same on every machine."""
    label = label_of(config, split, index)
    scene = scene_of(config, split, index)
    motion = config.motions[label]
    times = torch.linspace(0, 1, config.num_frames, dtype=torch.float64)
    pixels = render(
        scene,
        MOTIONS[motion].programme(scene.draws, times),
        size=config.size,
        radius=config.radius,
        texture=config.texture,
        noise=config.noise,
        generator=counter_generator(config.seed, "noise", split, index),
    )
    return Clip(pixels=pixels, label=label, motion=motion, scene=scene)
