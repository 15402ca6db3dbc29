from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.media_files import moving_pictures, turn, write_picture, write_video, x264
from tubelet.data.reading.limits import Limits
from tubelet.data.resize import resize
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError

HEIGHT, WIDTH = 96, 128


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_video(path, 20, options=x264(12, 2), height=HEIGHT, width=WIDTH)


def blurred(num_frames: int) -> np.ndarray:
    """Pictures without fine detail, of which halving loses nothing."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin((rows + columns * (c + 1)) / 40 + t / 5) for t in range(num_frames) for c in range(3)]
    return (127 + 100 * np.stack(waves)).reshape(num_frames, 3, HEIGHT, WIDTH).astype(np.uint8)


def test_frames_have_the_short_side_asked_for_and_their_own_shape(clip: Path):
    with Video(clip, short_side=48) as video:
        assert (video.height, video.width) == (48, 64)
        assert video.frames([3, 0]).pixels.shape == (2, 3, 48, 64)


@pytest.mark.parametrize("short_side", [96, 500])
def test_frames_are_never_enlarged_nor_touched_without_need(clip: Path, short_side: int):
    with Video(clip, short_side=short_side) as video, Video(clip) as whole:
        assert torch.equal(video.frames([7]).pixels, whole.frames([7]).pixels)


def test_any_order_gives_the_pixels_of_reading_all(clip: Path):
    with Video(clip, short_side=40) as video:
        everything = video.frames(range(20)).pixels
    for order in ([19, 4, 4, 0], [11, 12, 13], [2]):
        with Video(clip, short_side=40) as video:
            assert torch.equal(video.frames(order).pixels, everything[order])


def test_pixels_are_averages_like_those_of_an_antialiased_resize(tmp_path: Path):
    pictures = torch.from_numpy(blurred(4))
    smaller = Video(pictures, short_side=32).frames(range(4)).pixels
    right = resize(pictures, 32, 42, antialias=True)
    assert smaller.shape == right.shape
    assert (smaller.int() - right.int()).abs().max() <= 2


def test_noise_is_averaged_and_not_picked_from():
    noise = torch.randint(
        0, 256, (1, 3, 400, 400), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    smaller = Video(noise, short_side=40).frames([0]).pixels.float()
    assert smaller.std() < 20 < noise.float().std()


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_turned_videos_are_measured_as_shown(tmp_path: Path, clip: Path, matrix: tuple[int, int, int, int]):
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(clip.read_bytes())
    turn(turned, matrix)
    with Video(turned) as whole, Video(turned, short_side=48) as video:
        assert (video.height, video.width) == (whole.height // 2, whole.width // 2)
        assert video.frames([0]).pixels.shape[2:] == (video.height, video.width)


def test_pictures_arrays_and_children_obey_too(tmp_path: Path, clip: Path):
    for i, picture in enumerate(moving_pictures(2, HEIGHT, WIDTH)):
        write_picture(tmp_path / f"{i}.png", picture)
    for source in (tmp_path, tmp_path / "0.png", moving_pictures(2, HEIGHT, WIDTH)):
        with Video(source, short_side=48) as video:
            assert video.frames([0]).pixels.shape == (1, 3, 48, 64)
    with Video(clip, short_side=48, untrusted=True) as video, Video(clip, short_side=48) as trusted:
        assert torch.equal(video.frames([5, 1]).pixels, trusted.frames([5, 1]).pixels)


def test_the_limit_on_bytes_counts_what_is_handed_out(clip: Path):
    limits = Limits(total_bytes=20 * 3 * 48 * 64)
    with Video(clip, short_side=48, limits=limits) as video:
        assert len(video.frames(range(20))) == 20
    with Video(clip, limits=limits) as video, pytest.raises(VideoError, match="total_bytes"):
        video.frames(range(20))


def test_frames_have_at_least_one_pixel(clip: Path):
    with pytest.raises(ConfigError, match="short_side is 0"):
        Video(clip, short_side=0)
