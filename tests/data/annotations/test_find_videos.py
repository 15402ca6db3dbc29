"""How names of data sets meet files on disk."""

import sys
from pathlib import Path

import pytest

from tubelet.data.annotations.annotation import Annotation
from tubelet.data.annotations.find_videos import find_videos
from tubelet.errors import DataError

KINETICS = Annotation(
    where="",
    video="-a_B.mp4",
    clip="-a_B_000010_000020.mp4",
    start=10.0,
    end=20.0,
    label="folding paper",
    split="val",
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(entry: Annotation, root: Path) -> tuple[str, float | None] | None:
    entries = find_videos([entry], root).annotations
    return (str(Path(entries[0].video).relative_to(root)), entries[0].start) if entries else None


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("-a_B_000010_000020.mp4", None),
        ("val/-a_B_000010_000020.mkv", None),
        ("folding paper/-a_B_10_20.webm", None),
        ("-a_B.mp4", 10.0),
        ("whole/-a_B.MKV", 10.0),
        ("v_-a_B.mp4", 10.0),
    ],
)
def test_a_clip_of_its_own_needs_no_times_and_a_whole_video_does(
    file: str, start: float | None, tmp_path: Path
):
    assert found(KINETICS, touch(tmp_path, file)) == (file, start)


def test_a_clip_goes_before_the_whole_video(tmp_path: Path):
    touch(tmp_path, "-a_B.mp4", "-a_B_000010_000020.mp4")
    assert found(KINETICS, tmp_path) == ("-a_B_000010_000020.mp4", None)


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (("folding_paper/-a_B.mp4", "walking/-a_B.mp4"), "folding_paper/-a_B.mp4"),
        (("train/-a_B.mp4", "val/-a_B.mp4"), "val/-a_B.mp4"),
        (("-a_B.mp4", "-a_B.mkv"), "-a_B.mp4"),
        (("x/-a_B.mp4", "-a_B.mp4"), "-a_B.mp4"),
        (("x/-a_B.mp4", "y/-a_B.mp4"), None),
    ],
)
def test_of_several_files_of_a_name_one_is_meant_or_none(
    files: tuple[str, ...], chosen: str | None, tmp_path: Path
):
    touch(tmp_path, *files)
    place = found(KINETICS, tmp_path)
    assert (place and place[0]) == chosen
    if chosen is None:
        assert "2 files have its name, such as" in find_videos([KINETICS], tmp_path).missing["-a_B.mp4"]


@pytest.mark.parametrize(
    ("file", "there"),
    [
        ("P03/cam01/P03_tea.avi", True),
        ("videos/P03/cam01/P03_tea.mp4", True),
        ("P03_cam01_P03_tea.avi", True),
        ("P03_tea.avi", True),
        ("P03/cam02/P03_tea.avi", False),
        ("cam01/P03_tea.avi", False),
    ],
)
def test_another_folder_is_another_video(file: str, there: bool, tmp_path: Path):
    entry = Annotation(where="", video="P03/cam01/P03_tea.avi")
    assert (found(entry, touch(tmp_path, file)) is not None) == there


def test_dots_in_a_name_are_no_ending(tmp_path: Path):
    name = "0001_Film_00.00.51.926-00.00.54.129"
    touch(tmp_path, f"0001_Film/{name}.mp4")
    assert found(Annotation(where="", video=f"0001_Film/{name}.avi"), tmp_path) is not None
    assert (
        found(Annotation(where="", video="0001_Film/0001_Film_00.00.51.926-00.00.54.130.avi"), tmp_path)
        is None
    )


def test_a_folder_of_pictures_is_a_video(tmp_path: Path):
    touch(tmp_path, "frames/100001/00001.jpg", "frames/100002/00001.jpg")
    assert found(Annotation(where="", video="100002"), tmp_path) == ("frames/100002", None)


def test_what_is_not_there_is_told_once(tmp_path: Path):
    touch(tmp_path, "b.mp4", ".hidden/a.mp4")
    entries = [Annotation(where="", video=name, caption=name) for name in ("a.mp4", "a.mp4", "b.mp4")]
    done = find_videos(entries, tmp_path)
    assert [Path(entry.video).name for entry in done.annotations] == ["b.mp4"]
    assert done.missing == {"a.mp4": "not there"}


def test_links_to_folders_are_followed_and_not_for_ever(tmp_path: Path):
    touch(tmp_path, "elsewhere/a.mp4", "root/b.mp4")
    (tmp_path / "root/more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/round").symlink_to(tmp_path / "root")
    assert found(Annotation(where="", video="a.mp4"), tmp_path / "root") == ("more/a.mp4", None)


def test_a_folder_without_videos_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no videos"):
        find_videos([KINETICS], tmp_path)
    with pytest.raises(DataError, match="gone: no such folder of videos"):
        find_videos([KINETICS], tmp_path / "gone")


def calls_of(num_videos: int, name: str, root: Path) -> int:
    """How many functions are called to find so many videos of one name, each in a folder of its own."""
    entries = []
    for number in range(num_videos):
        folder = f"{number % 7}/{number}" if "/" in name else str(number)
        touch(root, f"{folder}/video.mp4")
        label = None if "/" in name else str(number)
        entries.append(Annotation(where="", video=name.format(folder=folder), label=label))
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        assert len(find_videos(entries, root).annotations) == num_videos
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("name", ["{folder}/video.mp4", "video.mp4"])
def test_work_grows_with_the_number_of_videos_and_not_with_its_square(name: str, tmp_path: Path):
    calls_of(3, name, tmp_path / "first")  # what is done once
    few, many = (calls_of(n, name, tmp_path / str(n)) for n in (50, 200))
    assert many < 5 * few
