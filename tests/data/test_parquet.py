"""Tables that come back from Parquet files as they went in."""

import os
import sys
from pathlib import Path

import pytest

from tubelet.data import parquet
from tubelet.errors import BackendError, DataError

ROWS = [
    {"path": "a b.mp4", "frames": 30, "fps": 29.97, "error": None},
    {"path": 'ü,"quoted".mp4', "frames": None, "fps": None, "error": "the file is empty"},
]


@pytest.fixture(autouse=True)
def needs_pyarrow(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("pyarrow")


def test_rows_come_back_as_they_were(tmp_path: Path):
    parquet.write_table(tmp_path / "t.parquet", ROWS)
    assert parquet.read_table(tmp_path / "t.parquet") == ROWS
    assert [file.name for file in tmp_path.iterdir()] == ["t.parquet"]


def test_a_column_that_only_later_rows_have_is_kept(tmp_path: Path):
    parquet.write_table(tmp_path / "t.parquet", [{"a": 1}, {"a": 2, "b": "x"}])
    assert parquet.read_table(tmp_path / "t.parquet") == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]


def test_bytes_that_are_no_utf8_are_escaped(tmp_path: Path):
    parquet.write_table(tmp_path / "t.parquet", [{"path": os.fsdecode(b"\xff.mp4")}])
    assert parquet.read_table(tmp_path / "t.parquet") == [{"path": "\\xff.mp4"}]


def test_other_files_are_refused_by_name(tmp_path: Path):
    (tmp_path / "t.parquet").write_text("path,label\n")
    with pytest.raises(DataError, match=r"t\.parquet: not a Parquet file that can be read \("):
        parquet.read_table(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"gone\.parquet: no such file$"):
        parquet.read_table(tmp_path / "gone.parquet")


def test_mixed_columns_are_refused_and_leave_nothing_behind(tmp_path: Path):
    with pytest.raises(DataError, match=r"t\.parquet: rows cannot be a Parquet table"):
        parquet.write_table(tmp_path / "t.parquet", [{"a": 1}, {"a": "x"}])
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendError, match=r'pip install "tubelet\[tables\]", or use a \.csv file'):
        parquet.write_table(tmp_path / "t.parquet", ROWS)
