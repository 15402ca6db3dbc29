"""The three pipelines, and the crossing from pixels to floats and back."""

import pytest
import torch
from torch import Tensor

from tubelet.data.augment import RandAugment
from tubelet.data.colour_jitter import ColourJitter
from tubelet.data.crop import crop, draw_multiscale_crop, draw_resized_crop
from tubelet.data.geometry import center_crop_offset
from tubelet.data.photometric import grayscale
from tubelet.data.randomness import uniform
from tubelet.data.resize import resize, resize_short_side
from tubelet.data.resize_taps import resize_in_whole_numbers
from tubelet.data.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    EvalTransform,
    FinetuneTransform,
    MultiscaleTransform,
    PretrainTransform,
    check_pixels,
    horizontal_flip,
    to_model,
    to_pixels,
)
from tubelet.errors import ConfigError, DataError

# Other processors than these have another kernel for bytes.
EXACT = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
SHAPES = [(4, 3, 40, 52), (1, 3, 33, 33), (3, 3, 7, 120), (2, 3, 90, 5), (2, 3, 1, 1)]


def random_frames(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("transform", "num_views"),
    [
        (PretrainTransform(image_size=24, flip=0.5), 1),
        (FinetuneTransform(image_size=24, num_views=2), 2),
        (MultiscaleTransform(image_size=24), 1),
        (MultiscaleTransform(image_size=24, jitter=ColourJitter(per_frame=True), num_views=2), 2),
        (EvalTransform(image_size=24), 1),
        (EvalTransform(image_size=24, short_side=31, num_crops=5), 5),
    ],
)
def test_views_of_any_frames_are_uint8_clips_whose_colours_lie_side_by_side(
    transform, num_views: int, shape: tuple[int, ...]
):
    pixels = random_frames(*shape)
    before = pixels.clone()
    for layout in (torch.contiguous_format, torch.channels_last):
        views = transform(pixels.contiguous(memory_format=layout), generator())
        assert views.shape == (num_views, 3, shape[0], 24, 24)
        assert views.dtype == torch.uint8
        assert views.permute(0, 2, 3, 4, 1).is_contiguous()
        assert to_model(views).is_contiguous()
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    "transform",
    [
        PretrainTransform(image_size=24),
        FinetuneTransform(image_size=24, num_views=2),
        MultiscaleTransform(image_size=24, num_views=2),
    ],
)
def test_views_depend_on_the_generator_and_on_nothing_else(transform):
    pixels = random_frames(4, 3, 40, 52)
    interleaved = pixels.contiguous(memory_format=torch.channels_last)
    views = transform(pixels, generator(3))
    torch.manual_seed(99)
    assert torch.equal(views, transform(interleaved, generator(3)))
    assert not torch.equal(views, transform(pixels, generator(4)))


ALL_TRANSFORMS = [
    PretrainTransform(image_size=24, flip=0.5, num_views=3),
    FinetuneTransform(image_size=24, num_views=3),
    FinetuneTransform(image_size=24, randaugment=None, antialias=True),
    MultiscaleTransform(image_size=24, num_views=3),
    MultiscaleTransform(image_size=24, antialias=True, jitter=ColourJitter(per_frame=True)),
    EvalTransform(image_size=24, short_side=31, num_crops=3),
    EvalTransform(image_size=24, antialias=True, rounding="xclip"),
    EvalTransform(image_size=24, stretch=True),
]


@pytest.mark.parametrize("transform", ALL_TRANSFORMS)
def test_the_way_of_gpu_tensors_gives_the_same_bytes(transform, monkeypatch: pytest.MonkeyPatch):
    # All else are the same operations on every device.
    clips = [random_frames(4, 3, 40, 52), random_frames(2, 3, 19, 64)]
    here = [transform(clip, generator(3)) for clip in clips]
    monkeypatch.setattr(
        "tubelet.data.resize._interpolate",
        lambda pixels, height, width, antialias: resize_in_whole_numbers(
            pixels, height, width, antialias=antialias
        ),
    )
    for clip, views in zip(clips, here, strict=True):
        assert (transform(clip, generator(3)).int() - views.int()).abs().max() <= (0 if EXACT else 1)


@pytest.mark.gpu
@pytest.mark.parametrize("transform", ALL_TRANSFORMS)
def test_views_made_on_a_gpu_are_the_same_within_a_level(transform):
    pixels = random_frames(4, 3, 40, 52)
    on_gpu = transform(pixels.cuda(), generator(3)).cpu()
    off = (on_gpu.int() - transform(pixels, generator(3)).int()).abs()
    # Of operations in a chain, one may enlarge a level of difference that another has left.
    chained = getattr(transform, "randaugment", None) or getattr(transform, "jitter", None)
    assert (off > 1).double().mean() <= (1e-4 if chained else 0)


def test_pretraining_crops_then_resizes_with_antialias():
    pixels = random_frames(4, 3, 40, 52)
    view = PretrainTransform(image_size=24)(pixels, generator(1))[0]
    box = draw_multiscale_crop(40, 52, 24, generator(1))
    assert torch.equal(view, resize(crop(pixels, box), 24, 24, antialias=True).transpose(0, 1))


def test_repeated_augmentation_begins_with_the_view_that_would_be_alone():
    pixels = torch.randint(0, 256, (4, 3, 40, 60), dtype=torch.uint8, generator=generator(5))
    alone, several = (
        PretrainTransform(image_size=24, num_views=count)(pixels, generator(1)) for count in (1, 3)
    )
    assert several.shape == (3, 3, 4, 24, 24)
    assert torch.equal(several[:1], alone)
    assert not torch.equal(several[1], several[2])


def test_finetuning_augments_at_full_resolution_then_crops_then_flips():
    pixels = random_frames(4, 3, 40, 52)
    augment = RandAugment(num_ops=2)
    for seed in range(6):
        view = FinetuneTransform(image_size=24, randaugment=augment)(pixels, generator(seed))[0]
        draws = generator(seed)
        expected = augment(pixels, draws)
        box = draw_resized_crop(40, 52, draws, ratio=(0.75, 1.3333))
        expected = resize(crop(expected, box), 24, 24, antialias=False)
        if uniform(0.0, 1.0, draws) < 0.5:
            expected = horizontal_flip(expected)
        assert torch.equal(view, expected.transpose(0, 1))


def test_multiscale_training_resizes_crops_flips_and_then_changes_colours():
    pixels, jitter = random_frames(3, 3, 50, 62), ColourJitter(per_frame=True)
    for seed in range(8):
        view = MultiscaleTransform(image_size=32, jitter=jitter, grayscale=0.5)(pixels, generator(seed))[0]
        draws = generator(seed)
        resized = resize(pixels, 36, 45, antialias=False)  # 36 is 256 / 224 of 32; 44.64 is rounded
        box = draw_multiscale_crop(36, 45, 32, draws, num_places=5)
        expected = resize(crop(resized, box), 32, 32, antialias=False)
        if uniform(0.0, 1.0, draws) < 0.5:
            expected = horizontal_flip(expected)
        expected = jitter(expected, draws)
        if uniform(0.0, 1.0, draws) < 0.5:
            expected = grayscale(expected)
        assert torch.equal(view, expected.transpose(0, 1))


def test_views_lose_their_colours_as_often_as_asked():
    pixels = random_frames(2, 3, 30, 30)
    transform, draws = MultiscaleTransform(image_size=16, jitter=None, grayscale=0.3), generator()
    grey = [bool((transform(pixels, draws)[0].diff(dim=0) == 0).all()) for _ in range(300)]
    assert sum(grey) / 300 == pytest.approx(0.3, abs=0.08)


def test_multiscale_crops_touch_a_corner_or_the_centre():
    pixels = torch.stack([torch.arange(24).expand(24, 24), torch.arange(24)[:, None].expand(24, 24)])
    pixels = torch.cat([pixels, pixels[:1]])[None].to(torch.uint8)
    half = {"image_size": 16, "short_side": 24, "scales": (2 / 3,), "flip": 0.0, "jitter": None}
    transform = MultiscaleTransform(grayscale=0.0, **half)
    corners = {tuple(transform(pixels, generator(seed))[0, :2, 0, 0, 0].tolist()) for seed in range(60)}
    assert corners == {(0, 0), (8, 0), (0, 8), (8, 8), (4, 4)}


def test_repeated_augmentation_gives_different_views_of_the_same_frames():
    views = FinetuneTransform(image_size=24, num_views=3)(random_frames(2, 3, 40, 52), generator())
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])


def test_flips_happen_as_often_as_asked():
    pixels = torch.arange(24, dtype=torch.uint8).expand(1, 3, 24, 24)
    whole = {"image_size": 24, "randaugment": None, "scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    for flip, expected in [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)]:
        transform, draws = FinetuneTransform(flip=flip, **whole), generator()
        flipped = [bool(transform(pixels, draws)[0, 0, 0, 0, 0] == 23) for _ in range(300)]
        assert sum(flipped) / 300 == pytest.approx(expected, abs=0.08)
    never = PretrainTransform(image_size=24, scales=(1.0,))
    assert all(torch.equal(never(pixels, generator(s))[0, :, 0], pixels[0]) for s in range(20))


def test_one_evaluation_crop_is_the_centre_and_three_span_the_long_side():
    for pixels in (random_frames(2, 3, 40, 57), random_frames(2, 3, 57, 40)):
        resized = resize_short_side(pixels, 24)
        one = EvalTransform(image_size=24)(pixels)
        top, left = (center_crop_offset(size, 24) for size in resized.shape[-2:])
        assert torch.equal(one[0], resized[..., top : top + 24, left : left + 24].transpose(0, 1))
        three = EvalTransform(image_size=24, num_crops=3)(pixels)
        assert torch.equal(three[0], resized[..., :24, :24].transpose(0, 1))
        assert torch.equal(three[2], resized[..., -24:, -24:].transpose(0, 1))


def test_stretched_frames_are_whole_whatever_their_shape():
    pixels = random_frames(2, 3, 40, 57)
    views = EvalTransform(image_size=24, stretch=True)(pixels)
    assert torch.equal(views[0].transpose(0, 1), resize(pixels, 24, 24, antialias=False))
    square = random_frames(2, 3, 40, 40)
    assert torch.equal(*(EvalTransform(image_size=24, stretch=stretch)(square) for stretch in (True, False)))


def test_model_values_are_normalised_per_channel():
    clip = torch.zeros(3, 1, 1, 1, dtype=torch.uint8)
    clip[1] = 255
    values = to_model(clip).flatten()
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, -0.406 / 0.225]
    torch.testing.assert_close(values, torch.tensor(expected))
    assert to_model(random_frames(2, 3, 4, 5, 6)).shape == (2, 3, 4, 5, 6)


def test_pixels_survive_the_way_to_the_model_and_back():
    clips = torch.arange(256, dtype=torch.uint8).expand(2, 3, 1, 1, 256)
    assert torch.equal(to_pixels(to_model(clips)), clips)
    half = {"mean": (0.5, 0.5, 0.5), "std": [0.5, 0.25, 1.0]}
    assert torch.equal(to_pixels(to_model(clips, **half), **half), clips)
    assert to_pixels(torch.tensor([-9.0, 0.0, 9.0]).view(3, 1, 1, 1)).flatten().tolist() == [0, 116, 255]


def test_normalising_agrees_with_the_formula_to_float_precision():
    clips = random_frames(3, 2, 8, 8)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    expected = ((clips.double() / 255 - mean) / std).float()
    torch.testing.assert_close(to_model(clips), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "uint8 pixels of 0 to 255, found torch.float32"),
        (torch.zeros(2, 8, 8, 3, dtype=torch.uint8), r"found \(2, 8, 8, 3\); move the colours"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"\(T, 3, H, W\), found \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "hold no pixels"),
    ],
)
def test_frames_that_are_no_frames_are_named(pixels: Tensor, message: str):
    with pytest.raises(DataError, match=message):
        check_pixels(pixels)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (PretrainTransform, {"image_size": 0}, "image_size must be 1 or more, found 0"),
        (PretrainTransform, {"image_size": 8, "scales": (1.5,)}, "scales"),
        (PretrainTransform, {"image_size": 8, "max_distort": -1}, "max_distort"),
        (FinetuneTransform, {"image_size": 8, "num_views": 0}, "num_views must be 1 or more, found 0"),
        (FinetuneTransform, {"image_size": 8, "flip": 1.5}, "flip is a probability"),
        (FinetuneTransform, {"image_size": 8, "scale": (0.0, 1.0)}, "scale"),
        (FinetuneTransform, {"image_size": 8, "ratio": (2.0, 1.0)}, "ratio"),
        (MultiscaleTransform, {"image_size": 8, "short_side": 0}, "short_side must be 1 or more, found 0"),
        (MultiscaleTransform, {"image_size": 8, "grayscale": -0.1}, "grayscale is a probability"),
        (MultiscaleTransform, {"image_size": 8, "scales": ()}, "scales"),
        (MultiscaleTransform, {"image_size": 8, "num_views": 0}, "num_views must be 1 or more, found 0"),
        (EvalTransform, {"image_size": 8, "num_crops": 0}, "num_crops must be 1 or more, found 0"),
        (EvalTransform, {"image_size": 8, "short_side": 7}, "give a short_side that is at least image_size"),
        (EvalTransform, {"image_size": 8, "stretch": True, "num_crops": 3}, "stretch leaves nothing to crop"),
        (
            EvalTransform,
            {"image_size": 8, "stretch": True, "short_side": 9},
            "stretch leaves nothing to crop",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, settings: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        make(**settings)


def test_antialias_averages_what_shrinks():
    checkers = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).mul(255).to(torch.uint8)
    frames = checkers.expand(1, 3, 64, 64).contiguous()
    smooth, rough = (
        EvalTransform(image_size=9, antialias=antialias)(frames).float().std() for antialias in (True, False)
    )
    assert smooth < rough / 3
    transform = FinetuneTransform(
        image_size=9, randaugment=None, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, antialias=True
    )
    assert torch.equal(
        transform(frames, torch.Generator().manual_seed(0)),
        EvalTransform(image_size=9, antialias=True)(frames),
    )
