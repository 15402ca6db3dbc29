import hashlib
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.media_files import decode_all, write_video, x264
from tubelet.data.reading import index_cache, open_indexed
from tubelet.data.reading.index_file import DIGEST_BYTES, MAGIC, packed, unpacked
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.readers import PyAVReader
from tubelet.data.reading.sources import make_source
from tubelet.data.video import Video
from tubelet.errors import VideoError

NUM_FRAMES = 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(index_cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(index_cache, "MIN_FILE_BYTES", 0)
    index_cache.forget()
    yield tmp_path / "cache"
    index_cache.forget()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", NUM_FRAMES, options=x264(12, 2))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files whose index was made, in order."""
    names: list[str] = []
    build = open_indexed.build_index

    def noted(source, limits, container, stream):
        names.append(source.name)
        return build(source, limits, container, stream)

    monkeypatch.setattr(open_indexed, "build_index", noted)
    return names


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def read(path: Path) -> torch.Tensor:
    with Video(path) as video:
        return video.frames([30, 3, 17]).pixels


def test_the_second_opening_finds_the_index_in_memory_and_the_third_in_the_folder(
    folder: Path, clip: Path, built: list[str]
):
    right = decode_all(clip)[[30, 3, 17]]
    for _ in range(2):
        assert torch.equal(read(clip), right)
    index_cache.forget()
    assert torch.equal(read(clip), right)
    assert built == [str(clip)]
    assert len(files_in(folder)) == 1
    assert [path.name for path in clip.parent.iterdir() if path.is_file()] == [
        "clip.mp4"
    ]  # nothing beside it


def test_what_is_kept_is_what_was_found(clip: Path):
    for path in (clip, write_video(clip.with_name("raw.h264"), 20, options=x264(12, 2, b_adapt=0))):
        reader = PyAVReader(make_source(path, False), Limits(), keeps_index=False)
        for is_whole in (None, True, False):
            kept = replace(reader._video._kept, is_whole=is_whole, undecoded=0)
            found = unpacked(packed(kept))
            assert found is not None
            assert np.array_equal(found.index.seconds, kept.index.seconds)
            seconds = found.index.seconds
            kept = replace(kept, index=replace(kept.index, seconds=seconds))
            assert found == kept
        reader.close()


def test_a_changed_file_is_indexed_anew(folder: Path, clip: Path, built: list[str]):
    read(clip)
    status = clip.stat()
    data = write_video(clip.with_name("other.mp4"), NUM_FRAMES, options=x264(7, 0)).read_bytes()
    clip.write_bytes(data[: status.st_size].ljust(status.st_size, b"\0"))
    os.utime(clip, ns=(status.st_atime_ns, status.st_mtime_ns))
    if len(data) <= status.st_size:
        assert torch.equal(read(clip), decode_all(clip)[[30, 3, 17]])
    else:
        with pytest.raises(VideoError):
            read(clip)
    assert len(built) == 2


@pytest.mark.parametrize("harm", ["empty", "cut", "flipped", "older", "bomb", "nonsense"])
def test_a_damaged_or_foreign_index_is_made_anew(harm: str, folder: Path, clip: Path, built: list[str]):
    right = read(clip)
    (path,) = files_in(folder)
    data = path.read_bytes()
    harmed = {
        "empty": b"",
        "cut": data[:-9],
        "flipped": data[:-9] + bytes([data[-9] ^ 4]) + data[-8:],
        "older": data.replace(b"tubelet index", b"tubelet older"),
        "bomb": signed(b"\0" * 2**28),
        "nonsense": signed(b'{"counts": [1, 1, 1], "by_time": [[]]}\n' + b"\xff" * 64),
    }[harm]
    path.write_bytes(harmed)
    index_cache.forget()
    assert torch.equal(read(clip), right)
    assert len(built) == 2
    index_cache.forget()
    read(clip)
    assert len(built) == 2  # and a good one took its place


def signed(body: bytes) -> bytes:
    """What has a right checksum, as whoever may write to the folder can make it."""
    rest = zlib.compress(body)
    return MAGIC + hashlib.blake2b(rest, digest_size=DIGEST_BYTES).digest() + rest


@pytest.mark.parametrize(
    "change",
    [
        {"keys": (1, 2)},
        {"packet": (0, 99)},
        {"entry": (1, 1)},
        {"fps": float("nan")},
        {"fps": -1.0},
        {"loss": "the file is cut off"},
        {"seconds": np.array([0.0, np.inf])},
    ],
)
def test_an_index_that_contradicts_itself_is_not_taken(change: dict, tmp_path: Path):
    path = write_video(tmp_path / "clip.mp4", 2, options=x264(12, 0))
    reader = PyAVReader(make_source(path, False), Limits(), keeps_index=False)
    reader.close()
    kept = reader._video._kept
    assert unpacked(packed(kept)) is not None
    assert unpacked(packed(replace(kept, index=replace(kept.index, **change)))) is None


def test_a_folder_that_cannot_be_written_to_is_no_matter(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(index_cache, "MIN_FILE_BYTES", 0)
    monkeypatch.setenv(index_cache.VARIABLE, str(tmp_path / "file" / "cache"))
    index_cache.forget()
    assert torch.equal(read(clip), decode_all(clip)[[30, 3, 17]])


def test_files_of_strangers_and_bytes_leave_nothing_behind(folder: Path, clip: Path):
    with Video(clip, untrusted=True) as video:
        video.frames([0])
    with Video(clip.read_bytes()) as video:
        video.frames([0])
    assert not folder.exists()


def test_the_limit_of_frames_holds_for_a_kept_index_too(folder: Path, clip: Path):
    read(clip)
    with pytest.raises(VideoError, match="over 10 frames"):
        len(Video(clip, limits=Limits(frames=10)))


def test_memory_and_folder_are_bounded(folder: Path, clip: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(index_cache, "MAX_PACKETS", 2 * NUM_FRAMES + 2)
    for i in range(4):
        read(write_video(clip.with_name(f"{i}.mp4"), NUM_FRAMES, options=x264(5 + i, 0)))
    assert len(index_cache._kept) == 2
    newest = max(files_in(folder), key=lambda path: path.stat().st_mtime_ns)
    index_cache.clean(folder, most_bytes=4 * newest.stat().st_size // 2)
    assert newest in files_in(folder)
    assert len(files_in(folder)) < 4


def test_several_processes_may_fill_the_folder_at_once(folder: Path, clip: Path):
    # The rooms of data alone: loading every model would take the longest.
    program = (
        "import sys, types; package = types.ModuleType('tubelet'); package.__path__ = [sys.argv[2]]\n"
        "sys.modules['tubelet'] = package\n"
        "from tubelet.data.reading import index_cache; index_cache.MIN_FILE_BYTES = 0\n"
        "from tubelet.data.video import Video\n"
        "for _ in range(10):\n    index_cache.forget(); print(len(Video(sys.argv[1])))"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(clip), str(Path(index_cache.__file__).parents[2])],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [child.communicate()[0].split() for child in children] == [[str(NUM_FRAMES)] * 10] * 2
    (path,) = files_in(folder)
    assert unpacked(path.read_bytes()) is not None


def test_a_kept_index_is_nobody_s_to_change(folder: Path, clip: Path):
    with Video(clip) as video:
        video.seconds.zero_()
    with Video(clip) as video:
        assert video.seconds[-1] > 0
