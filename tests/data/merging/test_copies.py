"""Videos that are there more than once, by id and by bytes."""

from pathlib import Path

import pytest

from tubelet.data.merging.copies import copies_by_id, same_bytes
from tubelet.data.merging.video_ids import VideoId, Windows


def ids(*videos: str | None) -> dict[int, VideoId]:
    """`name` or `name:start-end` of every video; None where a video has no id."""
    found = {}
    for number, video in enumerate(videos):
        if video is not None:
            name, _, window = video.partition(":")
            start, _, end = window.partition("-")
            found[number] = VideoId(id=name, window=(float(start), float(end)) if window else None)
    return found


def paths(number: int) -> list[str]:
    return [f"{i}.mp4" for i in range(number)]


@pytest.mark.parametrize(
    ("windows", "copies"), [("same", {1: 0, 2: 0, 3: 0, 5: 0}), ("overlap", {1: 0, 3: 2, 5: 0})]
)
def test_parts_of_one_video_are_one_video_or_those_that_overlap_are(windows: Windows, copies: dict[int, int]):
    videos = ids("a:0-10", "a:5-15", "a:10-20", "a:12-22", "b:0-10", "a")
    assert copies_by_id(videos, ["train"] * 6, paths(6), windows) == copies


def test_another_part_of_a_video_that_judges_is_never_another_video():
    videos = ids("a:0-10", "a:50-60")
    assert copies_by_id(videos, ["test", "train"], paths(2), "overlap") == {1: 0}


def test_parts_that_a_list_names_of_one_file_are_different_clips():
    videos = ids("a:0-10", "a:10-20", "a:15-25")
    assert copies_by_id(videos, ["train"] * 3, ["a.mp4"] * 3, "same") == {2: 1}


def test_videos_without_ids_are_no_copies():
    assert copies_by_id(ids("a", None, "b", "a"), ["train"] * 4, paths(4)) == {3: 0}


def test_files_of_one_size_are_read_and_those_of_the_same_bytes_alike(tmp_path: Path):
    contents = {"a": b"12345", "b": b"54321", "c": b"12345", "d": b"123456"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    seen = []
    names = [str(tmp_path / name) for name in ("a", "b", "c", "d", "link", "missing")]
    known = {name: {number} for number, name in enumerate(names)}
    digests, failures = same_bytes(known, lambda done, total: seen.append((done, total)))
    a, b, c, d, link, missing = names
    assert digests[a] == digests[c] == digests[link] != digests[b]
    assert d not in digests  # the only one of its size
    assert list(failures) == [missing]
    assert "no such file" in failures[missing]
    assert seen[-1] == (4, 4)
    assert same_bytes({a: {0}, c: {0}, link: {0}})[0] == {}  # known to show the same, so none is read


def test_folders_of_pictures_are_compared_picture_by_picture(tmp_path: Path):
    for folder, content in (("a", b"12"), ("b", b"12"), ("c", b"21")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(content)
    digests, _ = same_bytes({str(tmp_path / name): {i} for i, name in enumerate("abc")})
    assert digests[str(tmp_path / "a")] == digests[str(tmp_path / "b")] != digests[str(tmp_path / "c")]
