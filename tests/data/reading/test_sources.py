"""A video may be bytes, an open file, an array, or, where that is allowed, an address."""

import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.media_files import decode_all, moving_pictures, write_picture, write_video, x264
from tubelet.data.reading.sources import OPEN_FILES, printable
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError

NUM_FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("sources") / "clip.mp4", NUM_FRAMES, options=x264(6, 2))


@pytest.mark.parametrize("name", ["clip.mp4", "raw.h264"])
def test_bytes_and_files_are_read_like_paths(name: str, tmp_path: Path):
    path = write_video(tmp_path / name, NUM_FRAMES, options=x264(6, 2))
    expected = decode_all(path)
    with path.open("rb") as file:
        for source in (path.read_bytes(), file, io.BytesIO(path.read_bytes())):
            video = Video(source)
            assert torch.equal(video.frames([9, 0, 4]).pixels, expected[[9, 0, 4]])
            video.close()
            assert torch.equal(video.frames([5]).pixels, expected[[5]])  # and opened again
        file.seek(0)  # it was not closed


def test_two_videos_may_share_a_file(clip: Path):
    expected = decode_all(clip)
    with clip.open("rb") as file:
        one, other = Video(file), Video(file)
        for index in (3, 8, 1):
            assert torch.equal(one.frames([index]).pixels[0], expected[index])
            assert torch.equal(other.frames([11 - index]).pixels[0], expected[11 - index])


def test_pictures_may_be_bytes(tmp_path: Path):
    write_picture(tmp_path / "1.png", moving_pictures(1)[0])
    expected = torch.from_numpy(moving_pictures(1)).permute(0, 3, 1, 2)
    assert torch.equal(Video((tmp_path / "1.png").read_bytes()).frames([0]).pixels, expected)


class Pipe(io.RawIOBase):
    def read(self, size: int = -1, /) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("no seeking in a pipe")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", r"<0 bytes>: no bytes at all"),
        (b"<html>", r"<6 bytes>: not a video file this library reads: it is a page"),
        (io.BytesIO(b"x" * 100), r"<BytesIO>: not a video file"),
        (io.StringIO("text"), r"<StringIO>: the file object gives text; open it with mode 'rb'"),
        (Pipe(), "a file object has to be open and seekable"),
        (np.zeros((2, 4, 4, 3)), r"<array>: its numbers are float64; frames are uint8"),
        (np.zeros((4, 4, 3), np.uint8), r"<array>: its shape is \(4, 4, 3\); frames are"),
        (torch.zeros(2, 5, 4, 4, dtype=torch.uint8), r"<array>: its shape is \(2, 5, 4, 4\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_video_says_so(source: Any, reason: str):
    with pytest.raises(VideoError, match=reason):
        len(Video(source))


def test_a_file_that_is_closed_meanwhile_is_an_error(clip: Path):
    with clip.open("rb") as file:
        video = Video(file)
    with pytest.raises(VideoError, match=r"clip\.mp4: .*closed file"):
        len(video)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_an_array_is_a_video(kind: str, last: bool):
    pictures = torch.from_numpy(moving_pictures(5)).permute(0, 3, 1, 2)
    array = pictures.permute(0, 2, 3, 1) if last else pictures
    video = Video(array.numpy() if kind == "numpy" else array, fps=5.0, untrusted=True)  # nothing is decoded
    frames = video.frames([4, 0, 0])
    assert torch.equal(frames.pixels, pictures[[4, 0, 0]])
    assert frames.seconds.tolist() == [0.8, 0, 0]
    assert (len(video), video.height, video.width, video.source) == (5, 48, 64, "<array>")
    frames.pixels.zero_()
    assert torch.equal(video.frames([4]).pixels, pictures[[4]])  # what is handed out is a copy


def test_printable_names_are_left_alone():
    assert printable("/data/Käse 中文 😀.mp4") == "/data/Käse 中文 😀.mp4"
    assert printable("a\nb\0\udcff\u202e") == "a\\nb\\x00\\udcff\\u202e"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if "to=" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.partition("to=")[2])
            self.end_headers()
        else:
            super().do_GET()


@pytest.fixture
def server(clip: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(clip.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_an_address_is_read_only_when_that_is_allowed(server: str, clip: Path):
    with pytest.raises(
        VideoError, match="no such file, and addresses are not read; download the video first"
    ):
        len(Video(f"{server}/clip.mp4"))
    with Video(f"{server}/clip.mp4", allow_network=True) as video:
        assert torch.equal(video.frames([9, 2]).pixels, decode_all(clip)[[9, 2]])


def test_an_address_that_gives_nothing_is_an_error(server: str):
    with pytest.raises(VideoError, match=r"/gone\.mp4: not a video file this library reads \(.*404"):
        len(Video(f"{server}/gone.mp4", allow_network=True))


@pytest.mark.parametrize("target", ["file:///etc/hostname", "concat:/etc/hostname", "pipe:0"])
def test_an_address_leads_to_no_file(server: str, target: str):
    with pytest.raises(VideoError, match="not a video file this library reads"):
        len(Video(f"{server}/?to={target}", allow_network=True))


@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:9/x", "ftp://127.0.0.1/x.mp4", "file:///etc/hostname"])
def test_other_protocols_are_never_read(address: str):
    with pytest.raises(VideoError, match="no such file, and addresses are not read"):
        len(Video(address, allow_network=True))


def test_a_frame_rate_is_above_nothing():
    with pytest.raises(ConfigError, match=r"fps is 0\.0; a frame rate is above 0"):
        Video("clip.mp4", fps=0.0)


@pytest.mark.skipif(not Path(OPEN_FILES).is_dir(), reason="only Linux lets an open file be opened again")
@pytest.mark.parametrize("name", ["clip.mp4", "raw.h264", "many.avi"])
@pytest.mark.parametrize("untrusted", [False, True])
def test_what_becomes_of_a_name_changes_nothing_for_an_open_video(name: str, untrusted: bool, tmp_path: Path):
    path = write_video(tmp_path / name, NUM_FRAMES, options=x264(6, 2))
    expected = decode_all(path)
    with Video(path, untrusted=untrusted) as video:
        assert len(video) == NUM_FRAMES
        path.unlink()
        assert torch.equal(video.frames([9, 2]).pixels, expected[[9, 2]])
        write_video(tmp_path / name, NUM_FRAMES, codec="libx264", options=x264(1, 0), height=64, width=48)
        assert torch.equal(
            video.frames([1, 8]).pixels, expected[[1, 8]]
        )  # raw streams are opened anew for it
    assert (video.height, video.width) == (64, 48)  # a closed one is opened by its name
    video.close()


@pytest.mark.skipif(not Path(OPEN_FILES).is_dir(), reason="only Linux lists open files")
def test_videos_let_go_of_their_files(clip: Path):
    before = len(list(Path(OPEN_FILES).iterdir()))
    for _ in range(5):
        with Video(clip) as video:
            video.frames([3])
    assert len(list(Path(OPEN_FILES).iterdir())) == before
