"""What PIL makes of single images: the oracle for resizing and augmentation, and the pace in benchmarks."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

GREY = (128, 128, 128)

ENHANCE = {
    "ColorIncreasing": ImageEnhance.Color,
    "ContrastIncreasing": ImageEnhance.Contrast,
    "BrightnessIncreasing": ImageEnhance.Brightness,
    "SharpnessIncreasing": ImageEnhance.Sharpness,
}


def images(pixels: Tensor) -> list[Image.Image]:
    """One image per frame of (T, 3, H, W)."""
    return [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in pixels]


def pixels_of(frames: Sequence[Image.Image]) -> Tensor:
    """The frames as (T, 3, H, W)."""
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in frames])


def pil_resize(image: Image.Image, height: int, width: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BILINEAR)


def pil_warp(image: Image.Image, matrix: Sequence[float]) -> Image.Image:
    bicubic = Image.Resampling.BICUBIC
    return image.transform(image.size, Image.Transform.AFFINE, matrix, bicubic, fillcolor=GREY)


def pil_op(image: Image.Image, name: str, amount: float | None) -> Image.Image:
    """One operation of RandAugment by its name in `tubelet.data.augment.OPS`."""
    value, (width, height) = amount or 0.0, image.size
    matrices = {
        "ShearX": (1, value, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, value, 1, 0),
        "TranslateXRel": (1, 0, value * width, 0, 1, 0),
        "TranslateYRel": (1, 0, 0, 0, 1, value * height),
    }
    if name in matrices:
        return pil_warp(image, matrices[name])
    if name == "Rotate":
        return image.rotate(value, Image.Resampling.BICUBIC, fillcolor=GREY)
    if name in ENHANCE:
        return ENHANCE[name](image).enhance(value)
    if name == "SolarizeAdd":
        return image.point([min(255, i + int(value)) if i < 128 else i for i in range(256)] * 3)
    if name == "PosterizeIncreasing" and value == 0:
        return Image.new("RGB", image.size)  # newer releases of PIL refuse 0 bits, older ones gave black
    return {
        "AutoContrast": ImageOps.autocontrast,
        "Equalize": ImageOps.equalize,
        "Invert": ImageOps.invert,
        "PosterizeIncreasing": lambda picture: ImageOps.posterize(picture, int(value)),
        "SolarizeIncreasing": lambda picture: ImageOps.solarize(picture, int(value)),
    }[name](image)
