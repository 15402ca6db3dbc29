"""From decoded frames to the views a model sees, in uint8 all the way; `to_model` then makes them floats.

A transform is called with the frames of one clip and a generator: `transform(pixels, generator)`. It returns
views (V, C, T, H, W) whose colours lie side by side in memory, as decoders write them: `to_model` takes them
apart on the model's device, which has more time for that than a data worker. Every random choice is made once
per view, so all frames of a view are treated alike (unless a `ColourJitter` is told to draw per frame).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tubelet.data.augment import RandAugment, apply_in_box
from tubelet.data.colour_jitter import ColourJitter
from tubelet.data.crop import MULTISCALE, crop, draw_multiscale_crop, draw_resized_crop
from tubelet.data.geometry import Rounding, spread_crop_boxes
from tubelet.data.photometric import grayscale
from tubelet.data.randomness import uniform
from tubelet.data.resize import resize, resize_short_side
from tubelet.errors import ConfigError, DataError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What CLIP's image towers were trained with.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def to_model(
    clips: UInt8[Tensor, "*batch 3 frames rows columns"],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Float[Tensor, "*batch 3 frames rows columns"]:
    """Normalised float32 clips, (pixel / 255 - mean) / std: the one crossing from pixels to floats.

    Meant to run on the model's device: bytes are a quarter of the floats to move there. The clips come in
    contiguous memory, one plane per colour and frame.
    """
    scale, shift = _per_channel([1 / (255 * s) for s in std], clips), _per_channel(mean, clips)
    return clips.contiguous().to(torch.float32).mul_(scale).sub_(shift / _per_channel(std, clips))


def to_pixels(
    clips: Float[Tensor, "*batch 3 frames rows columns"],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> UInt8[Tensor, "*batch 3 frames rows columns"]:
    """The uint8 clips that `to_model` maps to `clips`; values outside the range of pixels are clamped."""
    shares = clips.to(torch.float32) * _per_channel(std, clips) + _per_channel(mean, clips)
    return shares.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def horizontal_flip(pixels: UInt8[Tensor, "*batch rows columns"]) -> UInt8[Tensor, "*batch rows columns"]:
    """Frames mirrored left to right."""
    return pixels.flip(-1)


def check_pixels(pixels: Tensor) -> None:
    """Raises `DataError` unless `pixels` are uint8 frames (T, 3, H, W) with at least one pixel."""
    if pixels.dtype != torch.uint8:
        raise DataError(f"frames must be uint8 pixels of 0 to 255, found {pixels.dtype}")
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        hint = "; move the colours to the second place" if pixels.ndim == 4 and pixels.shape[-1] == 3 else ""
        raise DataError(f"frames must be of shape (T, 3, H, W), found {tuple(pixels.shape)}{hint}")
    if not pixels.numel():
        raise DataError(f"frames of shape {tuple(pixels.shape)} hold no pixels")


@dataclass(frozen=True, kw_only=True)
class PretrainTransform:
    """Multi-scale crop, antialiased bilinear resize; as published without a flip and with one view.

    `num_views` > 1 is repeated augmentation: so many crops of the same frames, which are decoded once.
    """

    image_size: int
    scales: tuple[float, ...] = MULTISCALE
    max_distort: int = 1
    flip: float = 0.0
    num_views: int = 1

    def __post_init__(self) -> None:
        _check_positive(image_size=self.image_size, num_views=self.num_views)
        _check_share("flip", self.flip)
        _check_scales(self.scales, self.max_distort)

    def __call__(
        self, pixels: UInt8[Tensor, "frames 3 rows columns"], generator: torch.Generator
    ) -> UInt8[Tensor, "views 3 frames size size"]:
        check_pixels(pixels)
        height, width = pixels.shape[-2:]
        views = _empty_views(self.num_views, pixels, self.image_size)
        for view in views:
            box = draw_multiscale_crop(
                height, width, self.image_size, generator, self.scales, self.max_distort
            )
            flipped = uniform(0.0, 1.0, generator) < self.flip
            _fill_view(view, crop(pixels, box), antialias=True, flipped=flipped)
        return views


@dataclass(frozen=True, kw_only=True)
class FinetuneTransform:
    """RandAugment at full resolution, random resized crop (videos: published without antialias), flip.

    `num_views` > 1 is repeated augmentation: independent augmentations of the same frames (Hoffer et al.
    2020). Set `flip=0` where left and right are part of the label, as in Something-Something.
    """

    image_size: int
    randaugment: RandAugment | None = field(default_factory=RandAugment)
    scale: tuple[float, float] = (0.08, 1.0)
    # Not 4/3: the published recipes say 0.75 and 1.3333.
    ratio: tuple[float, float] = (0.75, 1.3333)
    flip: float = 0.5
    num_views: int = 1
    antialias: bool = False

    def __post_init__(self) -> None:
        _check_positive(image_size=self.image_size, num_views=self.num_views)
        _check_share("flip", self.flip)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ConfigError(f"scale must be two growing numbers from (0, 1], found {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ConfigError(f"ratio must be two growing numbers above 0, found {self.ratio}")

    def __call__(
        self, pixels: UInt8[Tensor, "frames 3 rows columns"], generator: torch.Generator
    ) -> UInt8[Tensor, "views 3 frames size size"]:
        check_pixels(pixels)
        height, width = pixels.shape[-2:]
        views = _empty_views(self.num_views, pixels, self.image_size)
        for view in views:
            drawn = self.randaugment.draw(generator) if self.randaugment else []
            box = draw_resized_crop(height, width, generator, self.scale, self.ratio)
            flipped = uniform(0.0, 1.0, generator) < self.flip
            seen = apply_in_box(pixels, drawn, box)
            _fill_view(view, seen, antialias=self.antialias, flipped=flipped)
        return views


@dataclass(frozen=True, kw_only=True)
class MultiscaleTransform:
    """Short side to `short_side`, multi-scale crop in a corner or the centre, flip, colours: training of X-CLIP.

    `short_side` is 256 / 224 of `image_size`, cut to whole pixels, unless given. Both resizes are bilinear and
    published without antialias. `grayscale` is the probability that a whole view loses its colours. Set `flip=0`
    where left and right are part of the label.
    """

    image_size: int
    short_side: int | None = None
    scales: tuple[float, ...] = MULTISCALE
    max_distort: int = 1
    flip: float = 0.5
    jitter: ColourJitter | None = field(default_factory=ColourJitter)
    grayscale: float = 0.2
    num_views: int = 1
    antialias: bool = False

    def __post_init__(self) -> None:
        _check_positive(image_size=self.image_size, num_views=self.num_views)
        if self.short_side is not None:
            _check_positive(short_side=self.short_side)
        _check_share("flip", self.flip)
        _check_share("grayscale", self.grayscale)
        _check_scales(self.scales, self.max_distort)

    def __call__(
        self, pixels: UInt8[Tensor, "frames 3 rows columns"], generator: torch.Generator
    ) -> UInt8[Tensor, "views 3 frames size size"]:
        check_pixels(pixels)
        short_side = self.short_side or self.image_size * 256 // 224
        resized = resize_short_side(pixels, short_side, antialias=self.antialias, rounding="xclip")
        height, width = resized.shape[-2:]
        views = _empty_views(self.num_views, pixels, self.image_size)
        for view in views:
            box = draw_multiscale_crop(
                height, width, self.image_size, generator, self.scales, self.max_distort, num_places=5
            )
            flipped = uniform(0.0, 1.0, generator) < self.flip
            _fill_view(view, crop(resized, box), antialias=self.antialias, flipped=flipped)
            self._recolour(view, generator)
        return views

    def _recolour(self, view: UInt8[Tensor, "3 frames size size"], generator: torch.Generator) -> None:
        """Changes the colours of a finished view in its place."""
        frames = recoloured = view.transpose(0, 1)
        if self.jitter is not None:
            recoloured = self.jitter(recoloured, generator)
        if uniform(0.0, 1.0, generator) < self.grayscale:
            recoloured = grayscale(recoloured)
        if recoloured is not frames:
            frames.copy_(recoloured)


@dataclass(frozen=True, kw_only=True)
class EvalTransform:
    """Short side to `short_side`, then `num_crops` squares spread along the longer side; one is the centre.

    `short_side` is `image_size` unless given. Smaller videos are enlarged. With `stretch` whole frames become
    squares instead, whatever their shape, and nothing is cut off: one view. Nothing is random.
    """

    image_size: int
    short_side: int | None = None
    num_crops: int = 1
    antialias: bool = False
    rounding: Rounding = "videomae"
    stretch: bool = False

    def __post_init__(self) -> None:
        _check_positive(image_size=self.image_size, num_crops=self.num_crops)
        if self.stretch:
            check_stretched(self.num_crops, self.short_side)
        if self.short_side is not None and self.short_side < self.image_size:
            raise ConfigError(
                f"a crop of image_size {self.image_size} does not fit into short_side {self.short_side}; "
                "give a short_side that is at least image_size"
            )

    def __call__(
        self, pixels: UInt8[Tensor, "frames 3 rows columns"], generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "views 3 frames size size"]:
        check_pixels(pixels)
        if self.stretch:
            views = _empty_views(1, pixels, self.image_size)
            resized = resize(pixels, self.image_size, self.image_size, antialias=self.antialias)
            views[0].copy_(resized.transpose(0, 1))
            return views
        short_side = self.short_side or self.image_size
        resized = resize_short_side(pixels, short_side, antialias=self.antialias, rounding=self.rounding)
        height, width = resized.shape[-2:]
        views = _empty_views(self.num_crops, pixels, self.image_size)
        boxes = spread_crop_boxes(height, width, self.image_size, self.num_crops, self.rounding)
        for view, box in zip(views, boxes, strict=True):
            view.copy_(crop(resized, box).transpose(0, 1))
        return views


def check_stretched(num_crops: int, short_side: int | None) -> None:
    """Raise where frames that become squares as a whole are to be cropped."""
    if num_crops > 1 or short_side is not None:
        raise ConfigError(
            f"stretch leaves nothing to crop, but num_crops is {num_crops} and short_side {short_side}; set "
            "num_crops=1 and no short_side"
        )


def _fill_view(
    view: UInt8[Tensor, "3 frames size size"],
    seen: UInt8[Tensor, "frames 3 rows columns"],
    *,
    antialias: bool,
    flipped: bool,
) -> None:
    """Writes what is seen of the frames, resized, straight into its place among the views."""
    view.copy_(resize(seen, *view.shape[-2:], antialias=antialias).transpose(0, 1))
    if flipped:
        view.copy_(horizontal_flip(view))


def _empty_views(
    num_views: int, pixels: UInt8[Tensor, "frames 3 rows columns"], size: int
) -> UInt8[Tensor, "views 3 frames size size"]:
    return pixels.new_empty(num_views, len(pixels), size, size, 3).permute(0, 4, 1, 2, 3)


def _per_channel(values: Sequence[float], clips: Tensor) -> Float[Tensor, "3 1 1 1"]:
    return torch.tensor(values, dtype=torch.float32, device=clips.device).view(3, 1, 1, 1)


def _check_positive(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise ConfigError(f"{name} must be 1 or more, found {value}")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} is a probability and must lie in 0 to 1, found {value}")


def _check_scales(scales: tuple[float, ...], max_distort: int) -> None:
    if not scales or not all(0 < scale <= 1 for scale in scales):
        raise ConfigError(f"scales must be one or more numbers from (0, 1], found {scales}")
    if max_distort < 0:
        raise ConfigError(f"max_distort must be 0 or more, found {max_distort}")
