"""CPU time of the pipelines against PIL doing the same: `python -m benchmarks.transforms`.

One thread, interleaved runs, 16 frames of 340 x 256 in, normalised float clips of 224 x 224 out. Frames lie
in memory as a decoder writes them (colours interleaved). The last line is JSON with PIL's time over ours.
"""

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tests.data.pil_oracle import images, pil_op, pil_resize, pixels_of
from tubelet.data.augment import RandAugment
from tubelet.data.colour_jitter import ColourJitter, DrawnChange
from tubelet.data.crop import Box, draw_multiscale_crop, draw_resized_crop
from tubelet.data.geometry import short_side_size, spread_crop_boxes
from tubelet.data.randomness import counter_generator, uniform
from tubelet.data.transforms import (
    EvalTransform,
    FinetuneTransform,
    MultiscaleTransform,
    PretrainTransform,
    to_model,
)

SIZE, ROUNDS = 224, 24


def cut(image: Image.Image, box: Box) -> Image.Image:
    top, left, height, width = box
    return image.crop((left, top, left + width, top + height))


def pretrain(frames: list[Image.Image], generator: torch.Generator) -> list[Image.Image]:
    box = draw_multiscale_crop(frames[0].height, frames[0].width, SIZE, generator)
    return [pil_resize(cut(image, box), SIZE, SIZE) for image in frames]


def finetune(frames: list[Image.Image], generator: torch.Generator) -> list[Image.Image]:
    for drawn in RandAugment().draw(generator):
        frames = [pil_op(image, drawn.name, drawn.amount) for image in frames]
    return resized_crop(frames, generator)


def resized_crop(frames: list[Image.Image], generator: torch.Generator) -> list[Image.Image]:
    box = draw_resized_crop(frames[0].height, frames[0].width, generator)
    return [pil_resize(cut(image, box), SIZE, SIZE) for image in frames]


def multiscale(frames: list[Image.Image], generator: torch.Generator) -> list[Image.Image]:
    height, width = short_side_size(frames[0].height, frames[0].width, 256, "xclip")
    box = draw_multiscale_crop(height, width, SIZE, generator, num_places=5)
    flipped = uniform(0.0, 1.0, generator) < 0.5
    frames = [pil_resize(cut(pil_resize(image, height, width), box), SIZE, SIZE) for image in frames]
    if flipped:
        frames = [ImageOps.mirror(image) for image in frames]
    jittered = uniform(0.0, 1.0, generator) < 0.8
    drawn = ColourJitter().draw(generator)
    for change in drawn if jittered else []:
        frames = [pil_colours(image, change) for image in frames]
    if uniform(0.0, 1.0, generator) < 0.2:
        frames = [image.convert("L").convert("RGB") for image in frames]
    return frames


def pil_colours(image: Image.Image, change: DrawnChange) -> Image.Image:
    if change.name != "hue":
        name = "Color" if change.name == "saturation" else change.name.capitalize()
        return pil_op(image, f"{name}Increasing", change.amount)
    hue, saturation, value = image.convert("HSV").split()
    hue = hue.point([int(level + 256 * change.amount) % 256 for level in range(256)])
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


def evaluate(frames: list[Image.Image], generator: torch.Generator) -> list[Image.Image]:
    height, width = short_side_size(frames[0].height, frames[0].width, SIZE)
    box = spread_crop_boxes(height, width, SIZE, 1)[0]
    return [cut(pil_resize(image, height, width), box) for image in frames]


PIPELINES: dict[str, tuple[Callable[..., Tensor], Callable[..., list[Image.Image]]]] = {
    "pretrain": (PretrainTransform(image_size=SIZE), pretrain),
    "finetune": (FinetuneTransform(image_size=SIZE), finetune),
    "finetune without RandAugment": (FinetuneTransform(image_size=SIZE, randaugment=None), resized_crop),
    "multiscale (X-CLIP)": (MultiscaleTransform(image_size=SIZE), multiscale),
    "evaluate": (EvalTransform(image_size=SIZE), evaluate),
}


def milliseconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return 1000 * (time.thread_time() - start)


def main() -> None:
    torch.set_num_threads(1)
    picture = np.random.default_rng(0).integers(0, 256, (16, 256, 340, 3), dtype=np.uint8)
    pixels = torch.from_numpy(picture).permute(0, 3, 1, 2)
    ratios = {}
    for name, (ours, theirs) in PIPELINES.items():
        times = []
        for i in range(ROUNDS):
            # The same draws for both sides; two rounds of warm-up.
            a, b = counter_generator(name, i), counter_generator(name, i)
            mine = milliseconds(lambda draws=a, make=ours: to_model(make(pixels, draws)))
            pil = milliseconds(
                lambda draws=b, make=theirs: to_model(pixels_of(make(images(pixels), draws)).transpose(0, 1))
            )
            times.append((mine, pil))
        medians = [statistics.median(column) for column in zip(*times[2:], strict=True)]
        ratios[name] = round(statistics.median(pil / mine for mine, pil in times[2:]), 2)
        print(f"{name:30} tubelet {medians[0]:6.2f} ms   PIL {medians[1]:6.2f} ms   {ratios[name]:.2f} x")
    print(json.dumps({"benchmark": "transforms", "pil_time_over_ours": ratios}))


if __name__ == "__main__":
    main()
