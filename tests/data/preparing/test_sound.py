"""Sound that is copied beside pictures encoded anew."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from tests.data.media_files import moving_pictures, write_video
from tests.data.preparing.test_prepare import FAST, run
from tubelet.data.preparing import sound as room
from tubelet.data.preparing.prepare_video import Preparation, prepare_video
from tubelet.data.video import Video
from tubelet.errors import VideoError

KEEP = Preparation(short_side=32, audio="keep", encoding=FAST.encoding)
RATE = 16000


def write_sounding(path: Path, codec: str = "aac", *, first: int = 0, video: str = "libx264") -> Path:
    """Two seconds of pictures, the first of them `first` tenths of a second late, and sound from 1 s on."""
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video, rate=10)
        assert isinstance(pictures, VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(stream, AudioStream)
        for number, picture in enumerate(moving_pictures(20)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first + number, Fraction(1, 10)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        times = np.arange(2 * RATE) / RATE
        wave = np.where(times < 1, 0, 0.5 * np.sin(2760 * times)).astype(np.float32)
        for start in range(0, 2 * RATE, 1000):
            part = wave[None, start : start + 1000]
            if stream.format.name == "s16":
                part = (32767 * part).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(part, format=stream.format.name, layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def heard_at(path: Path) -> float:
    """When the sound begins, in seconds."""
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            wave = np.abs(frame.to_ndarray()[0].astype(float))
            if wave.max() > (0.1 if wave.max() <= 1 else 3000):
                assert frame.time is not None
                return frame.time + int(wave.argmax()) / frame.sample_rate
    raise AssertionError("silence")


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.mkv", "libopus")])
def test_sound_is_copied_to_the_byte_and_stays_in_step(name: str, codec: str, tmp_path: Path):
    source, target = write_sounding(tmp_path / name, codec), tmp_path / "new" / "a.mp4"
    prepared = prepare_video(str(source), target, KEEP)
    assert prepared.sound == codec.removeprefix("lib")
    assert packets(target) == packets(source)
    assert heard_at(target) == pytest.approx(heard_at(source), abs=0.001)
    assert len(Video(target)) == 20
    assert [file.name for file in target.parent.iterdir()] == ["a.mp4"]


def test_sound_follows_pictures_whose_clock_starts_late(tmp_path: Path):
    source, target = write_sounding(tmp_path / "a.mp4", first=5), tmp_path / "b.mp4"
    prepare_video(str(source), target, KEEP)
    assert float(Video(target).seconds[0]) == 0
    assert heard_at(target) == pytest.approx(heard_at(source) - 0.5, abs=0.001)


def test_sound_that_an_mp4_cannot_hold_is_left_out_and_counted(tmp_path: Path):
    source = tmp_path / "old"
    source.mkdir()
    write_sounding(source / "a.avi", "pcm_mulaw", video="mpeg4")
    write_sounding(source / "b.mp4")
    write_video(source / "mute.mp4", 3)
    summary = run(source, tmp_path / "new", KEEP)
    assert (dict(summary.silenced), summary.failures) == ({"pcm_mulaw": 1}, {})
    assert dict(run(source, tmp_path / "new", KEEP).silenced) == {"pcm_mulaw": 1}  # also of what was kept
    with av.open(str(tmp_path / "new" / "a.mp4")) as container:
        assert not container.streams.audio
    assert len(Video(tmp_path / "new" / "a.mp4")) == 20


def test_without_being_asked_for_sound_is_dropped(tmp_path: Path):
    prepare_video(str(write_sounding(tmp_path / "a.mp4")), tmp_path / "b.mp4", FAST)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio


def test_sound_that_did_not_arrive_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = write_sounding(tmp_path / "a.mp4")
    monkeypatch.setattr(room, "_num_packets", lambda path: 7)
    with pytest.raises(VideoError, match=r"of \d+ packets of sound 7 are in the new file"):
        prepare_video(str(source), tmp_path / "b.mp4", KEEP)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]
