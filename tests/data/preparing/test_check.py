"""A whole data set looked into: one report per file, whatever a file does."""

import csv
import os
import socket
from pathlib import Path

import pytest

from tests.data.media_files import write_video
from tubelet.data.journal import Journal
from tubelet.data.preparing import check
from tubelet.data.preparing.check import (
    FileReport,
    check_videos,
    failing,
    shared_between_lists,
    write_report,
)
from tubelet.data.preparing.examine import VideoFacts
from tubelet.data.quarantine import write_quarantine
from tubelet.errors import ConfigError


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, str]:
    """Two good videos, a copy of one of them, an empty file, a page, and one that is not there."""
    first = write_video(tmp_path / "a.mp4", 5)
    write_video(tmp_path / "b.mp4", 6)
    (tmp_path / "copy, of a.mp4").write_bytes(first.read_bytes())
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "page.mp4").write_text("<html>")
    names = ["a.mp4", "b.mp4", "copy, of a.mp4", "empty.mp4", "page.mp4", "gone.mp4"]
    return {str(tmp_path / name): "val" if "copy" in name else "train" for name in names}


def test_every_file_gets_one_report_in_the_order_of_the_list(videos: dict[str, str]):
    told: list[tuple[int, int]] = []
    reports = check_videos(videos, workers=2, on_progress=lambda done, total: told.append((done, total)))
    assert [report.path for report in reports] == list(videos)
    assert [report.facts.frames for report in reports] == [5, 6, 5, None, None, None]
    assert [Path(path).name for path in failing(reports)] == ["empty.mp4", "page.mp4", "gone.mp4"]
    assert told == [(i, 6) for i in range(7)]


def test_copies_are_found_and_those_in_two_lists_counted(videos: dict[str, str]):
    reports = check_videos(videos)
    first = reports[0].path
    assert [report.duplicate_of for report in reports] == [None, None, first, None, None, None]
    assert shared_between_lists(reports) == 1


def test_files_that_wait_or_never_end_are_reports_like_others(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.mp4"))
        (tmp_path / "zeros.mp4").symlink_to("/dev/zero")
        (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
        odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.mp4")
        write_video(tmp_path / "a.mp4", 3).rename(odd)
        paths = [*(str(tmp_path / f"{name}.mp4") for name in ("fifo", "socket", "zeros", "loop")), odd]
        paths += ["http://127.0.0.1:9/a.mp4", "a" * 5000]
        reports = check_videos(dict.fromkeys(paths, ""), workers=2, silence=20.0)
    assert [report.facts.error is None for report in reports] == [False] * 4 + [True] + [False] * 2
    write_report(tmp_path / "report.csv", reports)
    write_quarantine(tmp_path / "bad.txt", {odd: "two\nlines"})
    assert b"/\xff\\n.mp4\ttwo\\nlines\n" in (tmp_path / "bad.txt").read_bytes()
    with (tmp_path / "report.csv").open(newline="", errors="surrogateescape") as file:
        assert [row["path"] for row in csv.DictReader(file)] == paths


def test_what_was_good_is_not_read_again_unless_it_changed(
    tmp_path: Path, videos: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    report = tmp_path / "report.csv"
    before = check_videos(videos, report=report)
    looked: list[str] = []

    def note(work: object, items: list[str], **options: object) -> list[object]:
        looked.extend(Path(item).name for item in items)
        return []

    def again(*, full: bool = False) -> list[str]:
        looked.clear()
        with monkeypatch.context() as patch:
            patch.setattr(check, "work_apart", note)
            with pytest.raises(KeyError):  # the bad ones have no report, for nobody looked
                check_videos(videos, report=report, full=full)
        return looked.copy()

    bad = ["empty.mp4", "page.mp4", "gone.mp4"]
    assert again() == bad
    assert again(full=True) == ["a.mp4", "b.mp4", "copy, of a.mp4", *bad]
    os.utime(tmp_path / "b.mp4", (1, 1))
    assert again() == ["b.mp4", *bad]
    assert check_videos(videos, report=report) == before


def test_a_journal_of_another_version_is_no_obstacle(tmp_path: Path, videos: dict[str, str]):
    report = tmp_path / "report.csv"
    before = check_videos(videos, report=report)
    with Journal(tmp_path / "report.csv.journal") as journal:
        for name, entry in list(journal.entries.items()):
            journal.add(name, {**entry, "facts": {"frames": 1}})
    assert check_videos(videos, report=report) == before


def test_columns_of_a_parquet_report_have_their_types_also_where_they_are_empty(tmp_path: Path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_report(tmp_path / "report.parquet", [FileReport(path="a.mp4", split="", facts=VideoFacts())])
    schema = parquet.read_schema(tmp_path / "report.parquet")
    found = {name: str(schema.field(name).type) for name in ("readable", "fps", "variable_rate", "error")}
    assert found == {"readable": "int64", "fps": "double", "variable_rate": "bool", "error": "string"}
    assert str(schema.field("duplicate_of").type) == "string"


def test_csv_and_parquet_tell_the_same(tmp_path: Path, videos: dict[str, str]):
    pytest.importorskip("pyarrow")
    from tubelet.data.parquet import read_table

    reports = check_videos(videos, full=True)
    for ending in ("csv", "parquet"):
        write_report(tmp_path / f"report.{ending}", reports)
    rows = read_table(tmp_path / "report.parquet")
    with (tmp_path / "report.csv").open(newline="") as file:
        texts = list(csv.DictReader(file))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == texts
    assert rows[0]["readable"] == 5
    assert rows[3]["error"] == "the file is empty"


def test_a_report_of_another_kind_is_refused(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"report\.xlsx: a report is a table; give a name that ends in \.csv or"
    ):
        write_report(tmp_path / "report.xlsx", [])
