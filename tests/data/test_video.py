import multiprocessing
import os
import pickle
from pathlib import Path

import av
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.data.media_files import (
    HEIGHT,
    WIDTH,
    decode_all,
    hide_first_frames,
    moving_pictures,
    turn,
    write_audio,
    write_picture,
    write_video,
    x264,
)
from tubelet.data.video import Video
from tubelet.errors import BackendError, VideoError

NUM_FRAMES = 40
UNEVEN = [0, 40, 50, 300, 310, 700, 1500, 1510, *range(2000, 2000 + 100 * (NUM_FRAMES - 8), 100)]


def hidden(path: Path) -> Path:
    write_video(path, NUM_FRAMES, options=x264(12, 2))
    return hide_first_frames(path, num_hidden=7, ticks_per_frame=1024)


VARIANTS = {
    "all keyframes": lambda d: write_video(d / "intra.mp4", NUM_FRAMES, options=x264(1, 0)),
    "short groups": lambda d: write_video(d / "gop5.mp4", NUM_FRAMES, options=x264(5, 0)),
    "one group": lambda d: write_video(d / "gop250.mp4", NUM_FRAMES, options=x264(250, 0)),
    "B-frames": lambda d: write_video(d / "b3.mp4", NUM_FRAMES, options=x264(12, 3, b_adapt=0)),
    "B-pyramid": lambda d: write_video(
        d / "pyramid.mp4", NUM_FRAMES, options=x264(20, 5, b_adapt=0, b_pyramid="normal", ref=4)
    ),
    "open groups": lambda d: write_video(
        d / "open.mp4", NUM_FRAMES, options=x264(10, 3, b_adapt=0, open_gop=1)
    ),
    "intra refresh": lambda d: write_video(
        d / "refresh.mp4", NUM_FRAMES, options=x264(10, 0, intra_refresh=1)
    ),
    "hidden frames": lambda d: hidden(d / "hidden.mp4"),
    "uneven times": lambda d: write_video(
        d / "uneven.mkv", NUM_FRAMES, options=x264(12, 2, b_adapt=0), times=UNEVEN
    ),
    "late start": lambda d: write_video(
        d / "late.mkv", NUM_FRAMES, options=x264(12, 2), times=[5000 + 100 * i for i in range(NUM_FRAMES)]
    ),
    "transport stream": lambda d: write_video(d / "stream.ts", NUM_FRAMES, options=x264(12, 2, b_adapt=0)),
    "raw stream": lambda d: write_video(d / "raw.h264", NUM_FRAMES, options=x264(12, 2, b_adapt=0)),
    "AVI with B-frames": lambda d: write_video(
        d / "b.avi", NUM_FRAMES, codec="mpeg4", options={"g": "12", "bf": "2"}
    ),
    "VP8 with hidden references": lambda d: write_video(
        d / "vp8.webm",
        NUM_FRAMES,
        codec="libvpx",
        options={"auto-alt-ref": "1", "lag-in-frames": "16", "g": "20", "deadline": "realtime"},
    ),
    "odd size": lambda d: write_video(
        d / "odd.webm", NUM_FRAMES, codec="libvpx", height=47, width=61, options={"deadline": "realtime"}
    ),
}


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Video, Tensor]]:
    folder = tmp_path_factory.mktemp("variants")
    paths = {name: make(folder) for name, make in VARIANTS.items()}
    return {name: (Video(path), decode_all(path)) for name, path in paths.items()}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", NUM_FRAMES, options=x264(12, 2))


@pytest.mark.parametrize("name", VARIANTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fractions=st.lists(st.floats(0, 1, exclude_max=True), max_size=8))
def test_frames_in_any_order_are_those_of_decoding_from_the_start(
    name: str, fractions: list[float], variants: dict[str, tuple[Video, Tensor]]
):
    video, sequential = variants[name]
    indices = [int(f * len(video)) for f in fractions]
    frames = video.frames(indices)
    assert frames.pixels.permute(0, 2, 3, 1).is_contiguous()  # colours side by side, as decoders write them
    assert torch.equal(frames.pixels, sequential[indices])
    assert torch.equal(frames.seconds, video.seconds[indices])


@pytest.mark.parametrize("name", VARIANTS)
def test_a_video_has_as_many_frames_as_decoding_gives(name: str, variants: dict[str, tuple[Video, Tensor]]):
    video, sequential = variants[name]
    assert len(video) == len(sequential) == (NUM_FRAMES - 7 if name == "hidden frames" else NUM_FRAMES)
    assert (video.height, video.width) == sequential.shape[2:]


def test_seconds_are_the_times_of_presentation(variants: dict[str, tuple[Video, Tensor]]):
    even = torch.arange(NUM_FRAMES, dtype=torch.float64) / 10
    torch.testing.assert_close(variants["B-pyramid"][0].seconds, even)
    torch.testing.assert_close(variants["raw stream"][0].seconds, even)
    torch.testing.assert_close(variants["late start"][0].seconds, even + 5)
    torch.testing.assert_close(
        variants["uneven times"][0].seconds, torch.tensor(UNEVEN, dtype=torch.float64) / 1000
    )


def test_rate_and_duration_follow_from_the_times(variants: dict[str, tuple[Video, Tensor]]):
    for name in ("B-frames", "late start", "raw stream", "transport stream"):
        assert variants[name][0].fps == pytest.approx(10)
        assert variants[name][0].duration == pytest.approx(NUM_FRAMES / 10)
    spread = variants["uneven times"][0]
    assert spread.fps == pytest.approx((NUM_FRAMES - 1) / (UNEVEN[-1] / 1000), rel=0.02)


@pytest.mark.parametrize(
    ("matrix", "red", "green"),
    [
        ((1, 0, 0, 1), "top left", "top right"),
        ((0, 1, -1, 0), "top right", "bottom right"),  # a quarter turn clockwise
        ((-1, 0, 0, -1), "bottom right", "bottom left"),
        ((0, -1, 1, 0), "bottom left", "top left"),
        ((-1, 0, 0, 1), "top right", "top left"),  # a mirror
        ((0, 1, 1, 0), "top left", "bottom left"),  # a transposition
    ],
)
def test_frames_come_out_the_way_the_display_matrix_says(
    clip: Path, matrix: tuple[int, int, int, int], red: str, green: str
):
    video = Video(turn(clip, matrix))
    pixels = video.frames([3]).pixels[0].int()
    _, height, width = pixels.shape
    assert (video.height, video.width) == (height, width)
    assert (height, width) == ((WIDTH, HEIGHT) if matrix[0] == 0 else (HEIGHT, WIDTH))
    rows, columns = {"top": 4, "bottom": height - 5}, {"left": 4, "right": width - 5}
    for channel, corner in ((0, red), (1, green)):
        row, column = corner.split()
        assert pixels[channel, rows[row], columns[column]] > 180
        assert pixels[1 - channel, rows[row], columns[column]] < 80


def test_frames_may_be_asked_for_by_a_tensor(clip: Path):
    video = Video(clip)
    assert torch.equal(video.frames(torch.tensor([5, 2])).pixels, video.frames([5, 2]).pixels)
    assert video.frames([]).pixels.shape == (0, 3, HEIGHT, WIDTH)


@pytest.mark.parametrize("index", [-1, NUM_FRAMES, 10**9])
def test_a_frame_that_does_not_exist_is_an_error_with_both_numbers(clip: Path, index: int):
    with pytest.raises(VideoError, match=rf"clip.mp4: frame {index} .* {NUM_FRAMES} frames"):
        Video(clip).frames([0, index])


def test_nothing_is_opened_before_the_first_use(clip: Path):
    video = Video("/does/not/exist.mp4")
    with pytest.raises(VideoError, match=r"/does/not/exist\.mp4: no such file"):
        len(video)
    with Video(clip) as video:
        first = video.frames([1]).pixels
    assert torch.equal(video.frames([1]).pixels, first)  # and closing does not end its life


def test_a_video_travels_to_a_spawned_and_to_a_forked_worker(clip: Path):
    video = Video(clip)
    pixels = video.frames([7]).pixels
    assert torch.equal(pickle.loads(pickle.dumps(video)).frames([7]).pixels, pixels)
    assert pickle.loads(pickle.dumps(video))._reader is None
    handle = video._opened()
    pid, video._pid = video._pid, -1  # as a forked child sees it
    assert video._opened() is not handle
    assert pid == os.getpid()
    assert multiprocessing.current_process().pid == video._pid


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("no pictures here")
    return path


def without_data(path: Path) -> Path:
    """An MP4 whose table of contents comes first and whose pictures are missing."""
    write_video(path, 8, options=x264(4, 0))
    data = path.read_bytes()
    moov = data.index(b"moov") - 4
    return write_bytes(path, data[: data.index(b"mdat") - 4] + data[moov:])


BROKEN = {
    "missing": (lambda d: d / "gone.mp4", "no such file"),
    "empty": (lambda d: write_bytes(d / "empty.mp4", b""), "empty"),
    "text": (lambda d: write_bytes(d / "page.mp4", b"<html>404 not found</html>" * 40), "not a video"),
    "random": (lambda d: write_bytes(d / "noise.mp4", bytes(range(256)) * 40), "not a video"),
    "audio only": (lambda d: write_audio(d / "sound.mp4"), "no video stream"),
    "play list": (
        lambda d: write_bytes(d / "list.m3u8", b"#EXTM3U\n#EXTINF:1,\nclip.ts\n#EXT-X-ENDLIST\n"),
        "not a video",
    ),
    "script": (
        lambda d: write_bytes(d / "script.mp4", b"ffconcat version 1.0\nfile clip.mp4\n"),
        "not a video",
    ),
    "pipe": (lambda d: pipe(d / "fifo.mp4"), "not a regular file"),
    "device": (lambda d: Path("/dev/zero"), "not a regular file"),
    "NUL in the name": (lambda d: "a\0b.mp4", "cannot be opened"),
    "address": (lambda d: "http://127.0.0.1:9/clip.mp4", "no such file, and addresses are not read"),
    "protocol": (lambda d: "concat:/etc/hostname|/etc/passwd", "no such file"),
    "folder without pictures": (lambda d: folder(d / "folder"), "no .jpg or .png"),
    "no pictures in the file": (lambda d: without_data(d / "hollow.mp4"), "."),
    "too large": (
        lambda d: write_video(d / "large.mp4", 1, options=x264(1, 0), height=4128, width=4128),
        "too large",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_read_is_one_line_naming_the_file(kind: str, tmp_path: Path):
    make, reason = BROKEN[kind]
    source = make(tmp_path)
    with pytest.raises(VideoError) as caught:
        Video(source).frames([0])
    message = str(caught.value)
    assert reason in message
    assert "\n" not in message
    assert Path(str(source)).name.encode("unicode_escape").decode() in message


def test_a_name_that_looks_like_an_address_is_a_file(clip: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(clip.parent)
    clip.rename("http:clip %03d.mp4")
    assert len(Video("http:clip %03d.mp4")) == NUM_FRAMES


def test_a_cut_file_gives_its_whole_frames_and_errors_for_the_rest(tmp_path: Path):
    options = {**x264(10, 2, b_adapt=0), "movflags": "faststart"}
    with av.open(str(tmp_path / "whole.mp4"), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        for picture in moving_pictures(NUM_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    whole = tmp_path / "whole.mp4"
    sequential, data = decode_all(whole), whole.read_bytes()
    for keep in (0.3, 0.5, 0.7, 0.9, 0.999):
        cut = write_bytes(tmp_path / "cut.mp4", data[: int(keep * len(data))])
        assert readable_frames(cut, sequential) < NUM_FRAMES


@pytest.mark.parametrize("seed", range(8))
def test_a_damaged_file_gives_right_frames_or_errors(clip: Path, seed: int, tmp_path: Path):
    sequential, data = decode_all(clip), bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 1500
    end = data.index(b"moov") if data.index(b"moov") > start else len(data)
    hole = start + (end - start) * seed // 9
    data[hole : hole + 300] = bytes(300)
    damaged = write_bytes(tmp_path / "damaged.mp4", bytes(data))
    assert readable_frames(damaged, sequential) < NUM_FRAMES


def readable_frames(path: Path, expected: Tensor) -> int:
    """How many frames can be read; each is checked to be the right one."""
    count = 0
    try:
        video = Video(path)
        assert len(video) == len(expected)
        for index in range(len(video)):
            try:
                pixels = video.frames([index]).pixels[0]
            except VideoError as error:
                assert path.name in str(error)
                continue
            assert torch.equal(pixels, expected[index]), f"frame {index} is wrong"
            count += 1
    except VideoError:
        return 0
    return count


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder `1.png`, …, `12.png`, so that the order of names differs from that of numbers."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, picture in enumerate(moving_pictures(12), start=1):
        write_picture(folder / f"{i}.png", picture)
    (folder / ".hidden.png").write_text("not a picture")
    return folder


def test_a_folder_of_pictures_is_a_video(pictures: Path):
    video = Video(pictures, fps=5.0)
    expected = torch.from_numpy(moving_pictures(12)).permute(0, 3, 1, 2)
    indices = [11, 0, 1, 1, 9]
    frames = video.frames(indices)
    assert len(video) == 12
    assert (video.height, video.width, video.fps) == (HEIGHT, WIDTH, 5)
    assert torch.equal(frames.pixels, expected[indices])
    assert frames.seconds.tolist() == [2.2, 0.0, 0.2, 0.2, 1.8]


def test_jpeg_frames_are_close_to_what_was_saved(tmp_path: Path):
    smooth = (moving_pictures(1)[0] // 255) * 200
    write_picture(tmp_path / "a.jpg", smooth)
    pixels = Video(tmp_path).frames([0]).pixels[0].permute(1, 2, 0)
    assert (pixels.int() - torch.from_numpy(smooth).int()).abs().float().mean() < 8


def test_a_picture_that_is_none_or_of_another_size_is_named(pictures: Path):
    write_picture(pictures / "13.png", moving_pictures(1, height=32, width=32)[0])
    (pictures / "14.png").write_text("not a picture")
    (pictures / "15.png").write_bytes((pictures / "1.png").read_bytes()[:200])
    video = Video(pictures)
    for index, reason in ((12, r"13\.png: is 32 x 32"), (13, r"14\.png: neither"), (14, r"15\.png: the ")):
        with pytest.raises(VideoError, match=reason):
            video.frames([index])


def test_torchcodec_gives_the_same_frames_or_says_what_it_needs(clip: Path):
    try:
        video = Video(clip, reader="torchcodec")
        pixels = video.frames([30, 2, 2]).pixels
    except BackendError as error:
        assert 'pip install "tubelet[fast]"' in str(error)
        pytest.skip("torchcodec cannot be loaded here")
    assert torch.equal(pixels, Video(clip).frames([30, 2, 2]).pixels)
