"""What is found out about one file."""

import hashlib
from pathlib import Path

import pytest

from tests.data.media_files import HEIGHT, WIDTH, moving_pictures, turn, write_picture, write_video, x264
from tubelet.data.preparing.examine import examine


def test_a_good_file_tells_all(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 30, options=x264(12, 2), fps=10)
    facts = examine(str(path), full=True)
    assert (facts.frames, facts.readable, facts.error) == (30, 30, None)
    assert (facts.width, facts.height, facts.rotation) == (WIDTH, HEIGHT, "0")
    assert (facts.codec, facts.pixel_format) == ("h264", "yuv420p")
    assert (facts.fps, facts.seconds, facts.variable_rate) == (10.0, 3.0, False)
    assert (facts.keyframes, facts.longest_gap) == (3, 12)
    assert facts.bytes == path.stat().st_size
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("matrix", "says"),
    [((0, 1, -1, 0), "90"), ((-1, 0, 0, -1), "180"), ((0, -1, 1, 0), "270"), ((-1, 0, 0, 1), "mirrored")],
)
def test_turned_videos_say_so_and_have_the_size_that_is_shown(
    tmp_path: Path, matrix: tuple[int, int, int, int], says: str
):
    facts = examine(str(turn(write_video(tmp_path / "a.mp4", 3), matrix)), full=False)
    assert facts.rotation == says
    assert (facts.width, facts.height) == ((HEIGHT, WIDTH) if says in ("90", "270") else (WIDTH, HEIGHT))


def test_uneven_times_are_noticed(tmp_path: Path):
    path = write_video(tmp_path / "a.mkv", 6, times=[0, 100, 150, 600, 700, 800])
    assert examine(str(path), full=False).variable_rate is True
    even = write_video(tmp_path / "b.mkv", 6, times=[0, 33, 67, 100, 133, 167])  # 30 a second in milliseconds
    assert examine(str(even), full=False).variable_rate is False


def test_a_damaged_file_keeps_its_facts_and_counts_what_is_readable(tmp_path: Path):
    path = write_video(tmp_path / "a.mp4", 40, options=x264(250, 0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 300] = bytes(300)
    path.write_bytes(data)
    quick, full = (examine(str(path), full=full) for full in (False, True))
    assert quick.frames == full.frames == 40
    assert quick.error is not None
    assert full.error is not None
    assert full.readable in range(10, 30)
    assert full.error.startswith(f"frame {full.readable} cannot be read: the stream is damaged")


def test_a_folder_of_pictures_is_a_video_by_its_content(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for i, picture in enumerate(moving_pictures(3)):
            write_picture(tmp_path / folder / f"{i}.png", picture)
    first, second = (examine(str(tmp_path / folder), full=True) for folder in ("a", "b"))
    assert (first.frames, first.readable, first.codec, first.error) == (3, 3, "pictures", None)
    assert first == second
    (tmp_path / "b" / "0.png").write_bytes((tmp_path / "b" / "1.png").read_bytes())
    assert examine(str(tmp_path / "b"), full=True).sha256 != first.sha256


def test_what_is_no_video_is_an_error_of_its_own_words(tmp_path: Path):
    (tmp_path / "page.mp4").write_text("<html>not found</html>")
    facts = examine(str(tmp_path / "page.mp4"), full=False)
    assert facts.error is not None
    assert facts.error.startswith("not a video file")
    assert facts.bytes == 22
    assert facts.sha256 is not None
    gone = examine(str(tmp_path / "gone.mp4"), full=False)
    assert gone.error == "no such file"
    assert gone.bytes is None
