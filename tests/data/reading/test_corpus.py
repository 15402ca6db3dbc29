"""Every file of the corpus gives what its manifest says, or one clear error; see docs/reading.md."""

import itertools
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.corpus_marks import (
    corner_colours,
    expected_numbers,
    frame_number,
    has_right_corners,
    is_upright,
    upright,
)
from tubelet.data.manifest import read_video_list
from tubelet.data.reading.limits import Limits
from tubelet.data.reading.sources import printable
from tubelet.data.reading.torchcodec_reader import import_decoder
from tubelet.data.video import Video
from tubelet.errors import BackendError, DataError, VideoError

Entry = Mapping[str, Any]


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    folder: Any = metafunc.config.getoption("corpus")
    manifest = manifest_of(folder)
    files = manifest["files"]
    entries = {
        "entry": files,
        "decodable": [entry for entry in files if entry["expect"] == "decode"],
        "file_case": manifest.get("file_system_cases", []),
        "line_case": manifest.get("list_line_cases", []),
    }
    for name, found in entries.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, found, ids=[entry.get("file", entry.get("case")) for entry in found])


@dataclass(frozen=True)
class Corpus:
    folder: Path
    marks: Entry
    limits: Limits

    def entry(self, name: str) -> Entry:
        return next(entry for entry in manifest_of(self.folder)["files"] if entry["file"] == name)


@pytest.fixture(scope="module")
def corpus(request: pytest.FixtureRequest) -> Corpus:
    given: Any = request.config.getoption("corpus")
    folder: Path = given.absolute()
    manifest = manifest_of(folder)
    allowed = manifest.get("limits_for_all", {})
    limits = Limits(
        seconds=float(allowed.get("seconds", 10)), memory_bytes=allowed.get("memory_mb", 1024) << 20
    )
    return Corpus(folder, manifest["frame_marks"], limits)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket | None]:
    """A server at the address that the corpus's play lists and lines name, where this user may open it."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("127.0.0.1", 9))
    except OSError:  # an ordinary user may not, and another process may have it
        server.close()
        yield None
        return
    server.listen()
    server.setblocking(False)
    yield server
    server.close()


def assert_unvisited(listener: socket.socket | None) -> None:
    if listener is not None:
        with pytest.raises(BlockingIOError):
            listener.accept()


@pytest.fixture(params=["pyav", "torchcodec"])
def decoder(request: pytest.FixtureRequest) -> str:
    if request.param == "torchcodec":
        try:
            import_decoder()
        except BackendError as error:
            pytest.skip(str(error))
    return request.param


def numbers_in(pixels: Tensor, entry: Entry, marks: Entry) -> list[int | None]:
    """Which frames these are, after checking that they stand as a player shows them."""
    numbers = []
    for picture in pixels.permute(0, 2, 3, 1).numpy():
        standing = upright(picture, entry)
        assert not entry.get("colour", True) or has_right_corners(standing, marks), "the picture is turned"
        numbers.append(frame_number(standing, marks))
    return numbers


def check_decode(video: Video, entry: Entry, marks: Entry) -> None:
    """All frames of the entry, in their order, at their times, also when asked for in any order."""
    assert len(video) == entry["frames"]
    frames = video.frames(range(len(video)))
    if "display_size_wh" in entry:
        assert [video.width, video.height] == entry["display_size_wh"]
        assert list(frames.pixels.shape[:1:-1]) == entry["display_size_wh"]
    numbers = numbers_in(frames.pixels, entry, marks)
    if entry.get("ids_readable", True):
        assert numbers == expected_numbers(entry)
    mixed = torch.randperm(len(video), generator=torch.Generator().manual_seed(0))
    assert torch.equal(video.frames(mixed).pixels, frames.pixels[mixed])
    check_times(video, entry)
    if "red_corner_rgb" in entry:
        red = corner_colours(upright(frames.pixels[0].permute(1, 2, 0).numpy(), entry), marks)[0, 0]
        assert np.abs(red - entry["red_corner_rgb"]).max() < 8


def check_times(video: Video, entry: Entry) -> None:
    seconds = video.seconds
    assert bool((seconds.diff() > 0).all())
    if "pts_ms" in entry:
        expected = torch.tensor(entry["pts_ms"], dtype=torch.float64) / 1000
        torch.testing.assert_close(seconds - seconds[0], expected - expected[0], atol=1.1e-3, rtol=0)
        assert video.indices_at(expected - expected[0] + 2e-3).tolist() == list(range(len(video)))
    if "fps" in entry:
        assert video.fps == pytest.approx(entry["fps"], rel=0.01)


def check_prefix(video: Video, entry: Entry, marks: Entry) -> None:
    """At least so many frames, each of them right and in order; the others are errors."""
    numbers = readable_numbers(video, entry, marks)
    assert len(numbers) >= entry.get("min_frames", 0)
    assert is_in_order(numbers, expected_numbers(entry))
    try:
        together = video.frames(range(len(video)))
    except VideoError:
        return
    assert numbers_in(together.pixels, entry, marks) == numbers


def readable_numbers(video: Video, entry: Entry, marks: Entry) -> list[int | None]:
    """Which frames come out when each is asked for alone."""
    try:
        length = len(video)
    except VideoError as error:
        check_message(error, video.source)
        return []
    numbers = []
    for index in range(length):
        try:
            frames = video.frames([index])
        except VideoError as error:
            check_message(error, video.source)
            continue
        numbers += numbers_in(frames.pixels, entry, marks)
    return numbers


def is_in_order(numbers: Sequence[int | None], expected: Sequence[int]) -> bool:
    """Whether the numbers are some of the expected ones, each once and in their order."""
    rest = iter(expected)
    return all(any(number == other for other in rest) for number in numbers)


def check_error(video: Video, entry: Entry, marks: Entry) -> None:
    with pytest.raises(VideoError) as caught:
        video.frames([0])
    check_message(caught.value, video.source)


def check_message(error: VideoError, name: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert message.isprintable()
    assert name in message
    assert len(message) < len(name) + 300


def check_policy(video: Video, entry: Entry, marks: Entry) -> None:
    """Frames or errors; where the manifest says which frames, none but those."""
    if "frame_ids" in entry:
        numbers = readable_numbers(video, entry, marks)
        assert numbers in ([], expected_numbers(entry))
        return
    try:
        length = len(video)
    except VideoError as error:
        check_message(error, video.source)
        return
    for index in range(min(length, 1000)):
        try:
            assert len(video.frames([index])) == 1
        except VideoError as error:
            check_message(error, video.source)


CHECKS = {
    "decode": check_decode,
    "decode_prefix": check_prefix,
    "error": check_error,
    "policy": check_policy,
}


def test_an_entry_gives_what_its_manifest_says(
    entry: Entry, corpus: Corpus, decoder: Any, listener: socket.socket | None
):
    # What is not simply a good video is read where it can do no harm, under the corpus's limits.
    untrusted = entry["expect"] != "decode"
    with Video(
        corpus.folder / entry["file"], reader=decoder, untrusted=untrusted, limits=corpus.limits
    ) as video:
        CHECKS[entry["expect"]](video, entry, corpus.marks)
    assert_unvisited(listener)


def test_a_supervised_process_gives_the_same_frames(decodable: Entry, corpus: Corpus):
    path = corpus.folder / decodable["file"]
    with Video(path) as here, Video(path, untrusted=True, limits=corpus.limits) as apart:
        everything = range(len(here))
        expected, found = here.frames(everything), apart.frames(everything)
        assert torch.equal(found.pixels, expected.pixels)
        assert torch.equal(found.seconds, expected.seconds)
        assert (apart.fps, apart.width, apart.height) == (here.fps, here.width, here.height)


def test_bytes_and_file_objects_give_the_same_frames(decodable: Entry, corpus: Corpus):
    path = corpus.folder / decodable["file"]
    with Video(path) as video:
        expected = video.frames(range(len(video)))
    with Video(path.read_bytes()) as video:
        mixed = torch.randperm(len(expected), generator=torch.Generator().manual_seed(1))
        assert torch.equal(video.frames(mixed).pixels, expected.pixels[mixed])
        assert torch.equal(video.seconds, expected.seconds)
    with path.open("rb") as file, Video(file) as video:
        assert torch.equal(video.frames([len(expected) - 1, 0]).pixels, expected.pixels[[-1, 0]])


def test_a_name_or_a_kind_of_file_changes_nothing(
    file_case: Entry, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # relative names are the ones that look like addresses
    name = os.fsdecode(bytes.fromhex(file_case["name_hex"])) if "name_hex" in file_case else "case.mp4"
    make_file(file_case, name, corpus)
    source = file_case.get("source", file_case.get("target"))
    for untrusted in (False, True):
        with Video(name, untrusted=untrusted, limits=corpus.limits) as video:
            assert video.source == printable(name)
            if file_case["expect"] == "error":
                check_error(video, file_case, corpus.marks)
                continue
            entry = corpus.entry(str(source))
            if file_case["op"] in LATER:
                assert len(video) == entry["frames"]
                LATER[file_case["op"]](Path(name))
            CHECKS[file_case["expect"]](video, {**entry, "min_frames": 0}, corpus.marks)
        if file_case["op"] in LATER:
            shutil.copyfile(corpus.folder / str(source), name)


def make_file(case: Entry, name: str, corpus: Corpus) -> None:
    """Makes what a recipe of the manifest says."""
    operation = case["op"]
    if operation == "symlink":
        target: str = name if case["target"] == "SELF" else case["target"]
        if (corpus.folder / target).is_file() and not Path(target).is_absolute():
            target = str(corpus.folder / target)
        Path(name).symlink_to(target)
    elif operation == "mkfifo":
        os.mkfifo(name)
    elif operation == "mkdir":
        Path(name).mkdir()
    elif operation == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
    elif operation in ("copy", "chmod000", *LATER):
        try:
            shutil.copyfile(corpus.folder / case["source"], name)
        except OSError as error:
            pytest.skip(f"this file system does not take the name ({error})")
        if operation == "chmod000":
            Path(name).chmod(0)
            if os.access(name, os.R_OK):
                pytest.skip("nothing is forbidden to this user")
    else:
        pytest.skip(f"this test does not know how to make {operation!r}")


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


LATER = {"unlink_after_open": Path.unlink, "truncate_while_read": halve}  # what happens to an open file

# How many of a line's samples are videos that are there; of what is in neither set, any answer but harm is right.
GOOD_LINES = {"crlf": 1, "bom": 1, "tab": 1, "quoted_comma": 1, "spaced_name": 1, "duplicate": 2}
BAD_LINES = {"url", "file_url", "rtsp", "concat", "pipe", "subfile", "data_uri", "crypto", "parent_dirs"} | {
    *(
        "nul",
        "missing_file",
        "no_label",
        "label_text",
        "label_range",
        "label_negative",
        "label_float",
        "blank",
    ),
    "spaces",
}


def test_a_line_of_a_list_is_a_video_or_an_error(
    line_case: Entry, corpus: Corpus, tmp_path: Path, listener: socket.socket | None
):
    good = next(entry for entry in manifest_of(corpus.folder)["files"] if entry["expect"] == "decode")
    for name in ("ok_h264.mp4", "my clip, final 1 2.mp4"):
        shutil.copyfile(corpus.folder / good["file"], tmp_path / name)
    file = tmp_path / "list.txt"
    file.write_text(line_case["line"] + "\n", encoding="utf-8", newline="")
    try:
        samples = read_video_list(file, num_classes=10)
    except DataError as error:
        assert str(file) in str(error)
        assert "\n" not in str(error)
        assert line_case["case"] not in GOOD_LINES
        return
    numbers = [numbers_of(sample.path, good, corpus) for sample in samples]
    assert all(found in ([], expected_numbers(good)) for found in numbers)
    if line_case["case"] in GOOD_LINES or line_case["case"] in BAD_LINES:
        assert sum(map(bool, numbers)) == GOOD_LINES.get(line_case["case"], 0)
    assert all(sample.label in range(10) for sample in samples)
    assert_unvisited(listener)


def numbers_of(path: str, entry: Entry, corpus: Corpus) -> list[int | None]:
    """Which frames the video at a path has; none where it cannot be read."""
    with Video(path, limits=corpus.limits) as video:
        return readable_numbers(video, entry, corpus.marks)


def test_marks_tell_frames_and_orientations_apart():
    marks = {
        "bits": 3,
        "barcode_x": [0.1, 0.9],
        "barcode_y": [0.4, 0.5],
        "complement_y": [0.5, 0.6],
        "corners": "0.2 x 0.2 of the picture",
    }
    picture = np.full((100, 100, 3), 128, np.uint8)
    for bit, lit in enumerate((True, False, True)):
        columns = slice(10 + 27 * bit, 10 + 27 * (bit + 1) - 1)
        picture[40:50, columns] = 255 * lit
        picture[50:60, columns] = 255 * (not lit)
    assert frame_number(picture, marks) == 5
    picture[50:60] = picture[40:50]
    assert frame_number(picture, marks) is None
    for (row, column), colour in zip(
        itertools.product((slice(0, 20), slice(80, 100)), repeat=2),
        ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)),
        strict=True,
    ):
        picture[row, column] = colour
    assert has_right_corners(picture, marks)
    assert is_upright(picture, marks)
    for turn in ("rot90cw", "rot180", "rot270cw", "hflip", "vflip", "transpose", "transverse"):
        shown = upright(picture, {"shown_orientation": turn})
        assert not has_right_corners(shown, marks)
        assert not is_upright(shown, marks)
