"""A file that kills, holds up or bloats its reader costs one error, and the next file is read."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from tests.data.media_files import moving_pictures, write_picture, write_video, x264
from tubelet.data.reading import supervised
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.supervised import SupervisedReader
from tubelet.data.video import Video
from tubelet.errors import BackendError, VideoError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("supervised") / "clip.mp4", 20, options=x264(10, 2))


def child_of(video: Video) -> supervised.Child:
    reader = video._opened()
    assert isinstance(reader, SupervisedReader)
    assert reader._child is not None
    return reader._child


def test_frames_come_in_the_order_asked_for(clip: Path):
    with Video(clip) as here, Video(clip, untrusted=True) as apart:
        for indices in ([], [3], [19, 0, 7, 7, 2]):
            assert torch.equal(apart.frames(indices).pixels, here.frames(indices).pixels)
        assert (apart.height, apart.width) == (here.height, here.width)
        with pytest.raises(VideoError, match="frame 20 was asked for, but the video has 20 frames"):
            apart.frames([20])


def test_many_frames_are_asked_for_in_pieces(clip: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(supervised, "FIRST_CHUNK", 2)
    monkeypatch.setattr(supervised, "CHUNK_BYTES", 3 * 3 * 48 * 64)
    with Video(clip) as here, Video(clip, untrusted=True) as apart:
        assert torch.equal(apart.frames(range(20)).pixels, here.frames(range(20)).pixels)


def test_options_reach_the_child(tmp_path: Path):
    write_picture(tmp_path / "1.png", moving_pictures(1)[0])
    with Video(tmp_path, untrusted=True, fps=7.0) as video:
        assert video.fps == 7


def test_a_crash_is_an_error_and_the_next_read_works(clip: Path):
    with Video(clip, untrusted=True) as video:
        expected = video.frames([5]).pixels
        child_of(video).process.send_signal(signal.SIGSEGV)
        with pytest.raises(
            VideoError, match=r"clip\.mp4: cannot be read: the process .* crashed \(SIGSEGV\)"
        ):
            video.frames([5])
        assert torch.equal(video.frames([5]).pixels, expected)


def test_a_hang_is_stopped(clip: Path):
    with Video(clip, untrusted=True, limits=Limits(seconds=0.4)) as video:
        assert len(video) == 20
        process = child_of(video).process
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(
            VideoError, match=r"clip\.mp4: .*took longer than 0\.4 s and was stopped \(limits: seconds"
        ):
            video.frames([5])
        assert process.poll() is not None


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux shows what a process has loaded")
def test_a_child_loads_no_torch(clip: Path):
    with Video(clip, untrusted=True) as video:
        assert len(video.frames([3])) == 1
        loaded = Path(f"/proc/{child_of(video).process.pid}/maps").read_text()
    assert "libavcodec" in loaded
    assert "libtorch" not in loaded


def test_memory_is_bounded(tmp_path: Path):
    path = write_video(tmp_path / "wide.mp4", 4, options=x264(1, 0), height=1024, width=1024)
    few = Limits(memory_bytes=12 << 20)
    with (
        Video(path, untrusted=True, limits=few) as video,
        pytest.raises(VideoError, match=r"wide\.mp4: .*(memory|crashed)"),
    ):
        video.frames(range(4))
    with Video(path, untrusted=True) as video:
        assert len(video.frames(range(4))) == 4


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="only Linux shows the limits of a process")
def test_a_child_writes_no_files(clip: Path):
    with Video(clip, untrusted=True) as video:
        limits = Path(f"/proc/{child_of(video).process.pid}/limits").read_text().splitlines()
    assert next(line for line in limits if line.startswith("Max file size")).split()[3] == "0"


def test_an_error_of_the_file_says_what_it_says_here(tmp_path: Path):
    path = tmp_path / "page.mp4"
    path.write_text("<html>not found</html>")
    messages = set()
    for untrusted in (False, True):
        with pytest.raises(VideoError) as caught:
            len(Video(path, untrusted=untrusted))
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_child_is_used_again_and_not_for_ever(clip: Path, monkeypatch: pytest.MonkeyPatch):
    supervised.stop_idle_children()
    pids = []
    monkeypatch.setattr(supervised, "VIDEOS_PER_CHILD", 2)
    for _ in range(3):
        with Video(clip, untrusted=True) as video:
            pids.append(child_of(video).process.pid)
    assert pids[0] == pids[1] != pids[2]


def test_a_child_whose_video_was_refused_is_used_again(clip: Path, tmp_path: Path):
    supervised.stop_idle_children()
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError):
        len(Video(tmp_path / "empty.mp4", untrusted=True))
    (child,) = supervised.idle_children()
    with Video(clip, untrusted=True) as video:
        assert child_of(video) is child


def test_relative_names_and_folders_that_change(clip: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(clip.parent)
    with Video("clip.mp4", untrusted=True) as video:
        assert len(video) == 20
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoError, match=r"^clip\.mp4: no such file"):
        len(Video("clip.mp4", untrusted=True))


def test_bytes_and_files_are_read_apart_too(clip: Path):
    with Video(clip) as video:
        expected = video.frames([4, 19]).pixels
    with Video(clip.read_bytes(), untrusted=True) as video:
        assert torch.equal(video.frames([4, 19]).pixels, expected)
    with clip.open("rb") as file, Video(file, untrusted=True) as video:
        assert torch.equal(video.frames([4, 19]).pixels, expected)
    with pytest.raises(VideoError, match=r"bytes>: has over 1000 bytes \(limits: total_bytes\)"):
        len(Video(clip.read_bytes(), untrusted=True, limits=Limits(total_bytes=1000)))


def test_threads_read_side_by_side(clip: Path):
    with Video(clip) as video:
        expected = video.frames(range(20)).pixels
    right = []

    def work() -> None:
        with Video(clip, untrusted=True) as apart:
            right.append(torch.equal(apart.frames(range(20)).pixels, expected))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 2


def test_an_untrusted_video_travels(clip: Path):
    with Video(clip, untrusted=True) as video:
        pixels = video.frames([7]).pixels
        with pickle.loads(pickle.dumps(video)) as copy:
            assert torch.equal(copy.frames([7]).pixels, pixels)


def test_what_a_child_says_is_not_trusted(clip: Path, monkeypatch: pytest.MonkeyPatch):
    shapes = [1, 3, 10**6, 10**6], [2, 3, 48, 64], [1, 3, "48", 64]
    for answer in ({}, {"size": [10**6, 10**6]}, *({"shape": shape} for shape in shapes)):
        with Video(clip, untrusted=True) as video:
            assert len(video) == 20
            monkeypatch.setattr(SupervisedReader, "_talk", lambda *_, said=answer: (said, 9))
            with pytest.raises(VideoError, match="says something that makes no sense"):
                _ = video.height if "size" in answer else video.frames([1])
            monkeypatch.undo()


def test_a_video_that_was_replaced_while_its_child_died_is_not_taken_for_the_first(
    clip: Path, tmp_path: Path
):
    path = tmp_path / "changing.mp4"
    path.write_bytes(clip.read_bytes())
    with Video(path, untrusted=True) as video:
        video.frames([1])
        child = child_of(video)
        child.process.kill()
        child.process.wait()
        path.unlink()
        write_video(path, 7)
        with pytest.raises(VideoError, match="crashed"):
            video.frames([1])
        with pytest.raises(VideoError, match="finds another video in its place now"):
            video.frames([1])


def test_a_child_that_cannot_start_is_said_so(clip: Path, monkeypatch: pytest.MonkeyPatch):
    supervised.stop_idle_children()
    monkeypatch.setattr(supervised, "PROGRAM", "raise SystemExit(3) # {path}{package}{handle}")
    with pytest.raises(BackendError, match="the process that reads untrusted videos does not start"):
        len(Video(clip, untrusted=True))


PARENT = """
import sys, time
from tubelet.data.video import Video
from tubelet.data.reading import supervised
video = Video(sys.argv[1], untrusted=True)
len(video)
print(video._opened()._child.process.pid, flush=True)
time.sleep(60)
"""


def test_a_child_ends_with_its_parent(clip: Path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(clip)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # Where nobody collects orphans it stays listed as a zombie.
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("the child lives on")
