"""Frames by their times, and frames whose pixels are not square."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.orientation import square_size
from tubelet.data.video import Video
from tubelet.errors import VideoError

TIMES = [0, 40, 50, 300, 310, 700, 1500, 1510]  # milliseconds


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Video:
    path = tmp_path_factory.mktemp("times") / "uneven.mkv"
    times = [2000 + time for time in TIMES]  # on a clock that starts at 2 s
    return Video(write_video(path, len(TIMES), options=x264(4, 0), times=times))


def test_a_frame_is_on_screen_from_its_time_to_that_of_the_next(uneven: Video):
    assert uneven.indices_at([0.0, 0.039, 0.04, 0.299, 0.3, 1.4, 1.5, 1.51]).tolist() == [
        0,
        0,
        1,
        2,
        3,
        5,
        6,
        7,
    ]
    assert uneven.indices_at([]).tolist() == []


def test_equal_steps_of_time_skip_and_repeat_frames_of_a_variable_rate(uneven: Video):
    frames = uneven.frames_at(torch.arange(4, dtype=torch.float64) * 0.5)
    assert frames.seconds.tolist() == pytest.approx([2.0, 2.31, 2.7, 3.5])
    assert torch.equal(frames.pixels, uneven.frames([0, 4, 5, 6]).pixels)


@pytest.mark.parametrize("time", [-0.1, 5.0, float("nan")])
def test_a_time_outside_the_video_is_an_error(uneven: Video, time: float):
    with pytest.raises(
        VideoError, match=r"uneven\.mkv: a frame at .* s was asked for, but the video lasts 1\.7"
    ):
        uneven.indices_at([0.0, time])


def test_square_pixels_stretch_columns(tmp_path: Path):
    path = write_video(
        tmp_path / "a.mp4", 4, options={**x264(4, 0), "aspect": "2:1"}
    )  # 64 x 48 shown as 128 x 48
    stored, shown = Video(path), Video(path, square_pixels=True)
    assert (stored.height, stored.width) == (48, 64)
    assert (shown.height, shown.width) == (48, 128)
    assert torch.equal(stored.frames([2]).pixels, decode_all(path)[[2]])
    halved = shown.frames([2]).pixels.float().unflatten(3, (64, 2)).mean(4)
    assert float((halved - stored.frames([2]).pixels).abs().mean()) < 20
    with pytest.raises(VideoError, match="frames of 128 x 48 are too large"):
        len(Video(path, square_pixels=True, limits=Limits(pixels=64 * 48)))


def test_a_senseless_aspect_ratio_is_left_alone():
    assert square_size((48, 64), None) == (48, 64)
    assert square_size((48, 64), Fraction(0)) == (48, 64)
    assert square_size((48, 64), Fraction(1, 1000)) == (48, 1)
