"""`tubelet data check` and `tubelet data prepare` as a user types them."""

import csv
import os
from pathlib import Path

import pytest

from tests.data.media_files import write_video, x264
from tests.data.preparing.test_sound import write_sounding
from tests.test_cli import error_line, tubelet
from tubelet.cli import resumes
from tubelet.data.manifest import read_annotations


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    folder = tmp_path / "videos"
    for name in ("run/a.mp4", "run/b.mp4", "sit/c.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_video(folder / name, 8 if "b" in name else 6, options=x264(250, 2))
    return folder


def test_a_check_tells_what_there_is_and_what_is_not_good(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    report, bad = tmp_path / "report.csv", tmp_path / "bad.txt"
    assert tubelet("data", "check", videos, "--out", report, "--quarantine", bad) == 0
    assert bad.read_text() == ""
    (videos / "run" / "[red]d.mp4").write_text("<html>")
    capsys.readouterr()
    assert tubelet("data", "check", videos, "--out", report, "--quarantine", bad, "--full") == 2
    printed = capsys.readouterr()
    assert f"not good: {videos}/run/[red]d.mp4: not a video file this library reads" in printed.err
    figures = {
        cells[0].strip(): cells[1].strip()
        for line in printed.out.splitlines()
        if len(cells := line.strip("│").split("│")) == 2
    }
    assert figures["files"] == "4"
    assert figures["good"] == "3"
    assert figures["copies of another file"] == "1"
    assert figures["frames"] == "20"
    assert figures["codecs"] == "h264 3"
    with report.open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert [rows[name]["readable"] for name in ("a.mp4", "b.mp4", "c.mp4", "[red]d.mp4")] == [
        "6",
        "8",
        "6",
        "",
    ]
    assert rows["c.mp4"]["duplicate_of"] == str(videos / "run" / "a.mp4")
    assert [line.split("\t")[0] for line in bad.read_text().splitlines()] == [
        str(videos / "run" / "[red]d.mp4")
    ]


def test_a_check_of_a_folder_tells_links_that_lead_nowhere_and_pipes(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (videos / "run" / "gone.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(videos / "run" / "pipe.mkv")
    assert tubelet("data", "check", videos, "--quarantine", tmp_path / "bad.txt") == 2
    bad = (tmp_path / "bad.txt").read_text().splitlines()
    assert [Path(line.split("\t")[0]).name for line in bad] == ["gone.mp4", "pipe.mkv"]
    assert "no such file" in bad[0]
    assert "not a regular file" in bad[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("gone",), "gone: no such file or folder"),
        (
            ("videos", "--out", "report.txt"),
            "report.txt: a report is a table; give a name that ends in .csv or",
        ),
        (("videos", "--out", "no/report.csv"), "no/report.csv: its folder does not exist; make it first"),
        (("videos", "--out", "x.csv", "--quarantine", "x.csv"), "--out and --quarantine both name x.csv"),
        (("list.csv", "--out", "list.csv"), "--out would write over list.csv"),
        (("videos", "--workers", "0"), "--workers is 0; it must be at least 1"),
        (("videos", "--patience", "0"), "--patience is 0; it must be a number of seconds above 0"),
        (
            ("videos", "--patience", "inf"),
            "--patience is inf; it must be a number of seconds above 0 and up to",
        ),
        (("videos", "--out", "folder.csv"), "folder.csv: is a folder; name a file"),
        (("videos", "--quarantine", "folder.csv"), "folder.csv: is a folder; name a file"),
    ],
)
def test_a_mistaken_check_is_one_line(
    videos: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("videos/run/a.mp4 0\n")
    (tmp_path / "folder.csv").mkdir()
    assert tubelet("data", "check", *words) == 1
    assert says in error_line(capsys)
    assert (tmp_path / "list.csv").read_text() == "videos/run/a.mp4 0\n"


def test_a_prepared_folder_is_a_data_set_like_the_old_one(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    new = tmp_path / "new"
    options = ("--short-side", "32", "--keyframe-every", "1", "--preset", "ultrafast")
    assert tubelet("data", "prepare", videos, new, *options, "--estimate", "1") == 0
    assert "all 3 would be about" in " ".join(capsys.readouterr().err.split())
    assert tubelet("data", "prepare", videos, new, *options) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "2 videos prepared, 1 already there" in printed
    before, after = read_annotations(videos), read_annotations(new)
    assert [(s.id, s.label) for s in after.samples] == [(s.id, s.label) for s in before.samples]
    assert after.classes == before.classes == ["run", "sit"]


def test_videos_that_cannot_be_prepared_are_told_and_change_the_exit_code(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (videos / "run" / "a.mp4").write_bytes(b"")
    assert tubelet("data", "prepare", videos, tmp_path / "new", "--short-side", "32") == 2
    assert f"not prepared: {videos}/run/a.mp4: the file is empty" in capsys.readouterr().err
    assert (tmp_path / "new" / "failures.txt").read_text() == f"{videos}/run/a.mp4\tthe file is empty\n"


def test_what_a_preparation_loses_is_told(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_sounding(videos / "run" / "a.avi", "pcm_mulaw", video="mpeg4")
    (videos / "sit" / "c.mp4").write_bytes(b"")
    options = ("--short-side", "32", "--preset", "ultrafast", "--audio", "keep")
    assert tubelet("data", "prepare", videos, tmp_path / "new", *options) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "no video left: of the class 'sit' to train on; classes.txt keeps the numbers" in printed
    assert "without sound: 1 videos, for an mp4 cannot hold pcm_mulaw" in printed


def test_videos_that_a_check_found_bad_can_be_left_out(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (videos / "run" / "a.mp4").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert tubelet("data", "check", "videos", "--quarantine", "bad.txt") == 2
    monkeypatch.chdir(videos)
    capsys.readouterr()
    options = ("--skip", tmp_path / "bad.txt", "--short-side", "32")
    assert tubelet("data", "prepare", videos, tmp_path / "new", *options) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert f"left out: 1 of 3 videos, which {tmp_path}/bad.txt names" in printed
    assert [sample.id for sample in read_annotations(tmp_path / "new").samples] == ["run/b.mp4", "sit/c.mp4"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--skip", "gone.txt"), "gone.txt: cannot be read (No such file or directory)"),
        (("--skip", __file__), "has none of the"),
        (("--short-side", "255"), "short_side is 255; it must be an even number"),
        (("--crf", "-1"), "crf is -1; x264 knows 0 (lossless) to 51"),
        (("--keyframe-every", "0"), "keyframe_every is 0; it must be at least 1"),
        (("--preset", "quick"), "preset 'quick' does not exist"),
        (("--estimate", "0"), "--estimate is 0; it must be at least 1 video"),
    ],
)
def test_a_mistaken_preparation_is_one_line_and_makes_no_folder(
    videos: Path, tmp_path: Path, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("data", "prepare", videos, tmp_path / "new", *words) == 1
    assert says in error_line(capsys)
    assert not (tmp_path / "new").exists()


def test_only_commands_that_remember_promise_to_go_on():
    assert resumes(["data", "prepare", "old", "new"])
    assert resumes(["data", "check", "old", "--out=report.csv"])
    assert not resumes(["data", "check", "old"])
    assert not resumes(["data"])
