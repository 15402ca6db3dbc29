"""What a video may cost is bounded, and every bound can be moved."""

from pathlib import Path

import pytest

from tests.data.media_files import HEIGHT, WIDTH, moving_pictures, write_picture, write_video, x264
from tubelet.data.reading.limits import UNTRUSTED, Limits
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("limits") / "clip.mp4", 30, options=x264(10, 2))


@pytest.fixture(scope="module")
def sources(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same pictures in every form that has a reader of its own."""
    folder = tmp_path_factory.mktemp("forms")
    for number in range(1, 5):
        write_picture(folder / f"{number}.png", moving_pictures(1)[0])
    write_video(folder / "raw.h264", 4, options=x264(4, 0))
    return {"file": clip, "folder": folder, "picture": folder / "1.png", "counted": folder / "raw.h264"}


@pytest.mark.parametrize("untrusted", [False, True])
@pytest.mark.parametrize("form", ["file", "folder", "picture", "counted"])
def test_pixels_of_a_frame_are_bounded(sources: dict[str, Path], form: str, untrusted: bool):
    few = Limits(pixels=HEIGHT * WIDTH - 1)
    with (
        Video(sources[form], limits=few, untrusted=untrusted) as video,
        pytest.raises(VideoError, match=r"are too large; at most 3071 pixels .*limits: pixels"),
    ):
        video.frames([0])
    with Video(sources[form], limits=Limits(pixels=HEIGHT * WIDTH)) as video:
        assert len(video.frames([0])) == 1


@pytest.mark.parametrize("untrusted", [False, True])
@pytest.mark.parametrize("form", ["file", "folder", "picture"])
def test_bytes_handed_out_at_once_are_bounded(sources: dict[str, Path], form: str, untrusted: bool):
    few = Limits(total_bytes=2 * 3 * HEIGHT * WIDTH)
    with Video(sources[form], limits=few, untrusted=untrusted) as video:
        assert len(video.frames([0, 0])) == 2
        with pytest.raises(VideoError, match=r"3 frames of 64 x 48 are 27648 bytes.*limits: total_bytes"):
            video.frames([0, 0, 0])


@pytest.mark.parametrize("form", ["file", "counted", "folder"])
def test_frames_of_a_video_are_bounded(sources: dict[str, Path], form: str):
    with pytest.raises(VideoError, match=r"has over 3 frames.*limits: frames"):
        len(Video(sources[form], limits=Limits(frames=3)))


def test_time_is_bounded(clip: Path):
    with pytest.raises(VideoError, match=r"clip\.mp4: .*"):
        Video(clip, limits=Limits(seconds=1e-9)).frames([0])
    video = Video(clip)
    assert len(video) == 30
    video._opened()._limits = Limits(seconds=1e-9)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(VideoError, match=r"clip\.mp4: reading takes longer than 1e-09 s \(limits: seconds\)"):
        video.frames([29])


@pytest.mark.parametrize("name", ["seconds", "pixels", "frames", "total_bytes", "memory_bytes"])
def test_a_limit_is_above_nothing(name: str):
    with pytest.raises(ConfigError, match=f"limits: {name} is 0.*; a limit is above 0"):
        Limits(**{name: 0.0 if name == "seconds" else 0})  # pyright: ignore[reportArgumentType]


def test_strangers_get_less_time():
    assert UNTRUSTED.seconds < Limits().seconds


def test_a_jpeg_beyond_all_size_is_called_too_large(tmp_path: Path):
    path = write_video(tmp_path / "a.avi", 4, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    start = -1
    while (start := data.find(b"\xff\xc0", start + 1)) >= 0:
        data[start + 5 : start + 9] = b"\xea\x60\xea\x60"
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"its 60000 x 60000 pixels are too many; .*\(limits: pixels\)"):
        Video(path).frames([0])
