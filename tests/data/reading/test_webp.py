"""Animated WebP, held against Pillow."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tubelet.data.reading.limits import Limits
from tubelet.data.video import Video
from tubelet.errors import VideoError

MILLISECONDS = [40, 100, 500, 30, 70, 60]


def animation(*, alpha: bool = False, lossless: bool = True, **options: object) -> bytes:
    """A square that moves over rough ground; with `alpha` half of the picture shines through."""
    random = np.random.default_rng(0)
    ground = random.integers(0, 255, (40, 56, 4), dtype=np.uint8)
    if not lossless:
        # Colours are coded at half the size, and put back in another way here than there: no sharp edges.
        ground[..., :3] = np.add.outer(3 * np.arange(40), 2 * np.arange(56))[..., None] // (1, 2, 3)
    pictures = []
    for i in range(len(MILLISECONDS)):
        picture = ground.copy()
        picture[8 * (i % 4) : 8 * (i % 4) + 8, 8 * i : 8 * i + 8] = (255, 30 * i, 0, 255)
        picture[..., 3] = 255
        if alpha:
            picture[:20, :, 3] = 40 * i
        pictures.append(Image.fromarray(picture))
    file = io.BytesIO()
    pictures[0].save(
        file,
        "WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=MILLISECONDS,
        lossless=lossless,
        exact=True,
        **options,
    )
    return file.getvalue()


def by_pillow(data: bytes) -> torch.Tensor:
    image = Image.open(io.BytesIO(data))
    pictures = []
    for i in range(image.n_frames):  # pyright: ignore[reportAttributeAccessIssue]
        image.seek(i)
        pictures.append(np.array(image.convert("RGBA"))[..., :3])
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def test_frames_and_times_are_pillows():
    data = animation(minimize_size=True)
    video = Video(data)
    expected = by_pillow(data)
    assert torch.equal(video.frames(range(6)).pixels, expected)
    assert torch.equal(video.frames([4, 0, 5, 5, 1]).pixels, expected[[4, 0, 5, 5, 1]])
    assert video.seconds.tolist() == pytest.approx([0, 0.04, 0.14, 0.64, 0.67, 0.74])
    assert video.duration == pytest.approx(0.8, abs=0.1)
    assert (video.height, video.width) == (40, 56)


def test_transparent_pictures_are_laid_over_each_other():
    data = animation(alpha=True, minimize_size=True)
    difference = Video(data).frames(range(6)).pixels.int() - by_pillow(data).int()
    assert int(difference.abs().max()) <= 2  # both round


def test_lossy_pictures_are_close():
    data = animation(alpha=True, lossless=False, quality=90)
    difference = Video(data).frames(range(6)).pixels.float() - by_pillow(data).float()
    assert float(difference.abs().mean()) < 3


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("lossless", [False, True])
def test_a_still_picture_is_one_frame(alpha: bool, lossless: bool, tmp_path: Path):
    image = Image.open(io.BytesIO(animation(alpha=alpha, lossless=lossless)))
    image.convert("RGBA" if alpha else "RGB").save(
        tmp_path / "still.jpg", "WEBP", lossless=lossless, exact=True
    )
    video = Video(tmp_path / "still.jpg")  # by content, not by name
    assert video.frames([0]).pixels.shape == (1, 3, 40, 56)
    if lossless:
        assert torch.equal(video.frames([0]).pixels, by_pillow((tmp_path / "still.jpg").read_bytes()))


def test_a_cut_animation_gives_its_whole_pictures_and_says_that_there_were_more():
    data = animation()
    expected = by_pillow(data)
    for share in (0.8, 0.9, 0.99):
        video = Video(data[: int(share * len(data))])
        whole = len(video) - 1
        assert 0 < whole < 6
        assert torch.equal(video.frames(range(whole)).pixels, expected[:whole])
        with pytest.raises(VideoError, match=f"frame {whole} cannot be read: the file is cut off"):
            video.frames([whole])


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_animation_is_frames_or_an_error(seed: int):
    random = np.random.default_rng(seed)
    data = bytearray(animation())
    for place in random.integers(12, len(data), 3):
        data[place] ^= 1 << int(random.integers(8))
    try:
        video = Video(bytes(data))
        assert len(video.frames(range(len(video)))) == len(video)
    except VideoError as error:
        assert "bytes>: " in str(error)


@pytest.mark.parametrize("keep", [12, 20, 40])
def test_a_file_without_pictures_is_an_error(keep: int):
    with pytest.raises(VideoError, match="WebP"):
        len(Video(animation()[:keep]))


def test_a_canvas_of_claimed_gigabytes_is_refused():
    data = bytearray(animation())
    data[24:30] = b"\xff" * 6  # VP8X: width and height less one
    with pytest.raises(VideoError, match="16777216 x 16777216 are too large"):
        len(Video(bytes(data)))
    with pytest.raises(VideoError, match=r"has over 2 frames|limits: frames"):
        len(Video(animation(), limits=Limits(frames=2)))
