"""Scenes and paths into pixels, bit for bit the same on every machine.

Sprites are signed distance functions on a torus. The pixel loop is float32 and made of +, -, ×, √, minimum,
maximum and rounding only, one operation per call: IEEE 754 fixes the result of each, whatever the number of
threads or the width of the vectors. Sines and cosines, which libraries round differently, are taken once per
frame and rounded to 16 bits before they reach a pixel.
"""

from functools import lru_cache
from math import pi

import torch
from jaxtyping import Float32, Float64, Int32, UInt8
from torch import Generator, Tensor

from tubelet.data.synthetic.motions import Paths
from tubelet.data.synthetic.scene import COLOURS, OCTAVES, Distractor, Occluder, Scene, Wave

Plane = Float32[Tensor, "frames rows columns"]
Picture = Float32[Tensor, "frames 3 rows columns"]

# One octave of smoothly interpolated uniform noise in [-1, 1] has this standard deviation.
OCTAVE_DEVIATION = 0.43
COLOURED = 0.5  # strength of the noise that each colour has for itself, beside the grey noise that all share
MOUTH = (0.03, 0.14)  # half the mouth's angle, in turns, when nearly shut and wide open


def render(
    scene: Scene,
    paths: Paths,
    *,
    size: int,
    radius: tuple[float, float],
    texture: float,
    noise: float,
    generator: Generator,
) -> UInt8[Tensor, "frames 3 rows columns"]:
    """The clip as `size` × `size` pixels; the generator makes the sensor noise only."""
    num_frames = len(paths.angle)
    camera = camera_path(scene.shake, num_frames)
    background = backdrop(scene, size, texture)
    picture = seen_by(camera, background, size)
    for distractor in scene.distractors:
        picture = paint_distractor(picture, distractor, camera)
    back_to_front = sorted(range(len(scene.looks)), key=lambda sprite: sprite == paths.front)
    for sprite in back_to_front:
        picture = paint_sprite(picture, scene, paths, sprite, radius, camera)
    for occluder in scene.occluders:
        picture = paint_occluder(picture, occluder, camera)
    return to_bytes(picture, noise, generator)


def pinned(values: Tensor) -> Tensor:
    """Rounded to multiples of 2^-16, so that the last bits of a library's sine do not matter."""
    return ((values * 65536).round() / 65536).to(torch.float32)


def to_bytes(picture: Picture, noise: float, generator: Generator) -> UInt8[Tensor, "frames 3 rows columns"]:
    levels = picture * 255
    if noise > 0:
        frames, _, rows, columns = picture.shape
        draws = torch.randint(0, 2**24, (frames, rows, columns), generator=generator, dtype=torch.int32)
        grains = torch.stack([draws & 255, (draws >> 8) & 255, draws >> 16], dim=1)  # one byte per colour
        levels = levels + (grains.to(torch.float32) - 127.5) * float(pinned(torch.tensor(2 * noise)))
    return (levels + 0.5).clamp(0, 255).to(torch.uint8)


# Background and camera


@lru_cache(maxsize=64)
def _interpolation(size: int, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """For every pixel: the lattice points before and after it, and the smooth weight of the latter."""
    place = (torch.arange(size, dtype=torch.float32) + 0.5) * cells / size
    before = place.floor()
    fraction = place - before
    weight = fraction * fraction * (3 - 2 * fraction)
    first = before.to(torch.int64)
    return first, (first + 1) % cells, weight


def stretched(
    lattice: Int32[Tensor, "planes cells cells"], size: int
) -> Float32[Tensor, "planes rows columns"]:
    """A lattice of 16-bit values as a smooth periodic picture with values in [-1, 1)."""
    values = lattice.to(torch.float32) / 32768 - 1
    first, second, weight = _interpolation(size, lattice.shape[-1])
    values = values[:, first] * (1 - weight[:, None]) + values[:, second] * weight[:, None]
    return values[:, :, first] * (1 - weight) + values[:, :, second] * weight


def backdrop(scene: Scene, size: int, texture: float) -> Float32[Tensor, "3 rows columns"]:
    """Slightly coloured 1/f noise, all octaves equally strong; `texture` is two standard deviations."""
    colour = pinned(torch.tensor(scene.background))[:, None, None]
    if texture == 0:
        return colour.expand(3, size, size)
    planes = torch.zeros(4, size, size)
    for lattice in scene.lattices:
        planes = planes + stretched(lattice, size)
    deviation = OCTAVE_DEVIATION * (len(OCTAVES) * (1 + COLOURED**2)) ** 0.5
    gain = pinned(torch.tensor(texture / (2 * deviation)))
    return (colour + (planes[:1] + planes[1:] * COLOURED) * gain).clamp(0, 1)


def camera_path(
    shake: tuple[tuple[Wave, ...], tuple[Wave, ...]], num_frames: int
) -> Float64[Tensor, "frames 2"]:
    """How far the camera has moved the scene, in frame widths."""
    times = torch.linspace(0, 1, num_frames, dtype=torch.float64)
    axes = [
        sum(
            (w.amplitude * (2 * pi * (w.cycles * times + w.phase)).sin() for w in waves),
            torch.zeros_like(times),
        )
        for waves in shake
    ]
    return torch.stack(axes, dim=1)


def seen_by(
    camera: Float64[Tensor, "frames 2"], background: Float32[Tensor, "3 rows columns"], size: int
) -> Picture:
    """The background moved by the camera, between pixels by linear interpolation."""
    if not camera.any():
        return background.expand(len(camera), 3, size, size)
    place = torch.arange(size) - pinned(camera * size)[:, :, None]  # frames, (x, y), pixel
    before = place.floor()
    weight = place - before
    first = before.to(torch.int64) % size
    second = (first + 1) % size
    frame = torch.arange(len(camera))[:, None]
    wide = background.permute(1, 2, 0)  # rows, columns, colours
    y_weight, x_weight = weight[:, 1, :, None, None], weight[:, 0, :, None, None]
    rows = (
        wide[first[:, 1]] * (1 - y_weight) + wide[second[:, 1]] * y_weight
    )  # frames, rows, columns, colours
    turned = rows.transpose(1, 2)  # frames, columns, rows, colours
    moved = turned[frame, first[:, 0]] * (1 - x_weight) + turned[frame, second[:, 0]] * x_weight
    return moved.permute(0, 3, 2, 1).contiguous()


# Sprites


def own_axes(
    centre: Float64[Tensor, "frames 2"],
    angle: Float64[Tensor, "frames"],
    radius: Float64[Tensor, "frames"],
    size: int,
) -> tuple[Plane, Plane]:
    """Every pixel along and across a sprite's axis, in radii, the short way round the torus."""
    pixels = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    away = pixels - pinned(centre)[:, :, None]  # frames, (x, y), pixel
    away = away - (away + 0.5).floor()
    cosine = pinned((2 * pi * angle).cos() / radius)[:, None]
    sine = pinned((2 * pi * angle).sin() / radius)[:, None]
    x, y = away[:, 0], away[:, 1]
    along = (x * cosine)[:, None, :] + (y * sine)[:, :, None]
    across = (y * cosine)[:, :, None] - (x * sine)[:, None, :]
    return along, across


def body(shape: str, along: Plane, across: Plane) -> Plane:
    """Signed distance, in radii, to a shape about as large as the unit disc; negative inside."""
    match shape:
        case "disc":
            return (along * along + across * across).sqrt() - 1
        case "square":
            return torch.maximum(along.abs(), across.abs()) - 0.875
        case "triangle":
            return torch.maximum(across.abs() * 0.875 - along * 0.5, along) - 0.75
        case "ring":
            return ((along * along + across * across).sqrt() - 0.75).abs() - 0.25
        case "bar":
            return torch.maximum(along.abs() - 1, across.abs() - 0.375)
    raise AssertionError(shape)


def covered(distance: Plane, pixels_per_radius: Float32[Tensor, "frames"]) -> Plane:
    """How much of a pixel lies inside: 1 deep inside, 0 outside, half on the edge."""
    return (0.5 - distance * pixels_per_radius[:, None, None]).clamp(0, 1)


def paint(picture: Picture, cover: Plane, light: Plane, colour: tuple[float, float, float]) -> Picture:
    """Covers the picture with a colour dimmed by `light`."""
    tint = pinned(torch.tensor(colour))[None, :, None, None]
    return picture * (1 - cover)[:, None] + (cover * light)[:, None] * tint


def paint_sprite(
    picture: Picture,
    scene: Scene,
    paths: Paths,
    sprite: int,
    radius: tuple[float, float],
    camera: Float64[Tensor, "frames 2"],
) -> Picture:
    """A body with a mouth along its axis, an eye beside it, and a dark rim to stand out from anything."""
    size = picture.shape[-1]
    radii = radius[0] + (radius[1] - radius[0]) * paths.size[:, sprite]
    mouth = MOUTH[0] + (MOUTH[1] - MOUTH[0]) * paths.opening[:, sprite]
    along, across = own_axes(paths.centre[:, sprite] + camera, paths.angle[:, sprite], radii, size)
    scale = pinned(radii * size)

    sine = pinned((2 * pi * mouth).sin())[:, None, None]
    cosine = pinned((2 * pi * mouth).cos())[:, None, None]
    wedge = (along + 0.125) * sine - across.abs() * cosine  # positive inside the mouth
    distance = torch.maximum(body(scene.looks[sprite].shape, along, across), wedge)
    inside = covered(distance + 0.1875, scale)
    eye_along, eye_across = along + 0.125, across + 0.4375
    eye = covered((eye_along * eye_along + eye_across * eye_across).sqrt() - 0.1875, scale)
    light = inside * (1 - eye) * 0.8125 + 0.1875
    return paint(picture, covered(distance, scale), light, COLOURS[scene.looks[sprite].colour])


def paint_distractor(picture: Picture, thing: Distractor, camera: Float64[Tensor, "frames 2"]) -> Picture:
    size, num_frames = picture.shape[-1], len(picture)
    times = torch.linspace(0, 1, num_frames, dtype=torch.float64)[:, None]
    centre = torch.tensor(thing.centre, dtype=torch.float64) + times * torch.tensor(
        thing.velocity, dtype=torch.float64
    )
    angle = torch.full((num_frames,), thing.angle, dtype=torch.float64)
    radius = torch.full((num_frames,), thing.radius, dtype=torch.float64)
    along, across = own_axes(centre + camera, angle, radius, size)
    cover = covered(body(thing.shape, along, across), pinned(radius * size))
    return paint(picture, cover, torch.ones_like(cover), COLOURS[thing.colour])


def paint_occluder(picture: Picture, beam: Occluder, camera: Float64[Tensor, "frames 2"]) -> Picture:
    size = picture.shape[-1]
    pixels = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    away = pixels - pinned(beam.centre + camera[:, 0 if beam.upright else 1])[:, None]
    away = away - (away + 0.5).floor()
    half_width = float(pinned(torch.tensor(beam.half_width)))
    cover = (0.5 - (away.abs() - half_width) * size).clamp(0, 1)
    cover = (cover[:, None, :] if beam.upright else cover[:, :, None]).expand(-1, size, size)
    return paint(picture, cover, torch.ones_like(cover), (beam.grey, beam.grey, beam.grey))
