"""Containers whose clocks start, jump and tick as few do, and videos that are not alone in their files."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from tests.data.media_files import decode_all, moving_pictures, write_video, x264
from tubelet.data.video import Video
from tubelet.errors import VideoError

NUM_FRAMES, FPS = 24, 25
TS_CLOCK = 2**33  # ticks of 1/90000 s after which it starts again


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clocks")
    return write_video(folder / "clip.mp4", NUM_FRAMES, options=x264(8, 2), fps=FPS)


def late_by(seconds: float) -> Callable[[int], float]:
    return lambda _: seconds


def moved(
    clip: Path, path: Path, late: Callable[[int], float], options: dict[str, str] | None = None
) -> Path:
    """A copy in which packet n is `late(n)` seconds later."""
    with av.open(str(clip)) as whole, av.open(str(path), "w", options=options or {}) as copy:
        stream = whole.streams.video[0]
        into = copy.add_stream_from_template(stream)
        for number, packet in enumerate(p for p in whole.demux(stream) if p.size):
            add = round(Fraction(late(number)) / packet.time_base)
            packet.stream = into
            packet.pts, packet.dts = (packet.pts or 0) + add, (packet.dts or 0) + add
            copy.mux(packet)
    return path


def check(path: Path, clip: Path, jump: float = 1 / FPS) -> Video:
    """Every frame, in order and out of it; `jump` is the time between frames 7 and 8."""
    right = decode_all(clip)
    video = Video(path)
    assert len(video) == NUM_FRAMES
    assert torch.equal(video.frames(range(NUM_FRAMES)).pixels, right)
    for index in (20, 3, 8, 7, 23, 16, 0):
        assert torch.equal(video.frames([index]).pixels[0], right[index])
    steps = [1 / FPS] * (NUM_FRAMES - 1)
    steps[7] = jump
    assert video.seconds.diff().tolist() == pytest.approx(steps, abs=2e-3)
    return video


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv", ".mov", ".nut"])
def test_a_clock_may_start_hours_late(suffix: str, clip: Path, tmp_path: Path):
    with check(moved(clip, tmp_path / f"late{suffix}", late_by(3 * 3600)), clip) as video:
        assert 10800 <= float(video.seconds[0]) < 10803
        assert video.duration == pytest.approx(NUM_FRAMES / FPS, abs=2e-3)
        # Frames are asked for by the time since the first one.
        assert video.indices_at([0.0, 0.5]).tolist() == [0, 12]


def test_a_clock_may_start_before_zero(clip: Path, tmp_path: Path):
    options = {"avoid_negative_ts": "disabled"}
    check(moved(clip, tmp_path / "early.mkv", late_by(-0.4), options), clip).close()


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_what_lies_before_zero_in_a_movie_is_cut_by_its_edit_list(suffix: str, clip: Path, tmp_path: Path):
    options = {"avoid_negative_ts": "disabled"}
    with Video(moved(clip, tmp_path / f"early{suffix}", late_by(-0.4), options)) as video:
        assert torch.equal(video.frames(range(len(video))).pixels, decode_all(clip)[10:])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_hours_may_pass_between_two_frames(suffix: str, clip: Path, tmp_path: Path):
    path = moved(clip, tmp_path / f"gap{suffix}", lambda n: 9 * 3600 if n >= 8 else 0)
    with check(path, clip, jump=9 * 3600 + 1 / FPS) as video:
        assert video.indices_at([0.3, 30000.0]).tolist() == [7, 7]


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
def test_the_clock_of_a_transport_stream_may_start_again(codec: str, tmp_path: Path):
    options = x264(8, 2) if codec == "libx264" else {"g": "8", "bf": "2"}
    clip = write_video(tmp_path / "clip.ts", NUM_FRAMES, codec, options, fps=FPS)
    with av.open(str(clip)) as container:
        (start, *_) = (packet.pts for packet in container.demux(video=0))
    half = Fraction(NUM_FRAMES, 2 * FPS)
    late = float(Fraction(TS_CLOCK - (start or 0), 90000) - half)
    path = moved(clip, tmp_path / "again.ts", late_by(late), {"mpegts_copyts": "1"})
    check(path, clip).close()


@pytest.mark.parametrize("ticks", ["600", "1000", "90000"])
@pytest.mark.parametrize("of_movie", ["25", "1000", "2147483647"])
def test_the_clocks_of_a_movie_and_its_tracks_may_tick_apart(
    ticks: str, of_movie: str, clip: Path, tmp_path: Path
):
    options = {"movie_timescale": of_movie, "video_track_timescale": ticks}
    check(moved(clip, tmp_path / "clip.mp4", late_by(0), options), clip).close()


def write_company(path: Path, num_seconds: int, num_frames: int = NUM_FRAMES) -> Path:
    """Silence first, so that the video's stream is not the first one."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac" if path.suffix != ".mkv" else "flac", rate=8000, layout="mono")
        video = container.add_stream("libx264", rate=FPS, options=x264(8, 2))
        assert isinstance(sound, AudioStream)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        packets: list[Packet] = []
        for start in range(0, 8000 * num_seconds, 1024):
            kind = "fltp" if path.suffix != ".mkv" else "s16"
            frame = av.AudioFrame(format=kind, layout="mono", samples=1024)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 8000, start, Fraction(1, 8000)
            packets += sound.encode(frame)
        for picture in moving_pictures(num_frames) if num_frames else ():
            packets += video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24"))
        packets += [*video.encode(None), *sound.encode(None)]
        container.mux(sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_sound_may_come_first_and_last_a_minute_longer(suffix: str, tmp_path: Path):
    path = write_company(tmp_path / f"clip{suffix}", 60)
    with av.open(str(path)) as container:
        assert container.streams[0].type == "audio"
    with check(path, path) as video:
        assert video.duration == pytest.approx(NUM_FRAMES / FPS, abs=2e-3)


def test_a_track_of_pictures_that_was_never_filled_holds_no_frames(tmp_path: Path):
    for suffix in (".mp4", ".mkv", ".ts"):
        path = write_company(tmp_path / f"empty{suffix}", 1, num_frames=0)
        with pytest.raises(VideoError, match=rf"empty\{suffix}: "):
            len(Video(path))
