"""The generic form: csv, jsonl and Parquet, rows of one video, segments and boxes in a cell."""

from pathlib import Path

import pytest

from tubelet.data.annotations.annotation import Annotation, collect
from tubelet.data.annotations.generic import is_generic, read_generic, write_generic
from tubelet.data.parquet import write_table
from tubelet.errors import DataError

EXAMPLES = Path(__file__).parents[2] / "media" / "annotations" / "generic"


def read(file: Path) -> list[Annotation]:
    return collect(read_generic([file])).annotations


def test_a_csv_has_a_row_for_all_that_is_said_of_a_video():
    found = read(EXAMPLES / "annotations.csv")
    assert [(e.video, e.start, e.end, e.label) for e in found] == [
        ("videos/a.mp4", 0.0, 2.5, "walk"),
        ("videos/a.mp4", 2.5, 4.0, "run"),
        ("videos/b.mp4", None, None, "run"),
        ("videos/b.mp4", None, None, None),
    ]
    assert found[0].caption == "a person walks, slowly"
    assert found[2].caption == 'she says "go" and runs'
    assert (found[3].question, found[3].answer, found[3].split) == ("who runs?", "she", "test")


def test_segments_boxes_and_captions_in_a_cell_are_rows():
    found = read(EXAMPLES / "annotations.jsonl")
    assert [(e.start, e.end, e.label) for e in found[:2]] == [(0.0, 2.5, "walk"), (2.5, 4.0, "run")]
    assert {e.duration for e in found[:2]} == {30.0}
    assert (found[2].start, found[2].end, found[2].box) == (1.0, 1.0, (0.1, 0.2, 0.5, 0.9))
    assert (found[2].label, found[2].person, found[2].split) == ("run", "7", "val")
    assert [(e.caption, e.label) for e in found[3:]] == [("one", "3"), ("two", "3")]


def test_a_csv_may_hold_segments_as_json(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text('path,segments\na.mp4,"[[0, 1.5, ""run""], [2, 3]]"\n')
    assert [(e.start, e.end, e.label) for e in read(file)] == [(0.0, 1.5, "run"), (2.0, 3.0, None)]


def test_parquet_holds_lists_and_numbers(tmp_path: Path):
    file = tmp_path / "a.parquet"
    write_table(
        file, [{"path": "a.mp4", "label": 3, "caption": ["one", "two"]}, {"path": "b.mp4", "label": 1}]
    )
    assert [(e.video, e.label, e.caption) for e in read(file)] == [
        ("a.mp4", "3", "one"),
        ("a.mp4", "3", "two"),
        ("b.mp4", "1", None),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",,", "the path is empty"),
        ("a.mp4,1,", "has a start alone; give both or none"),
        ("a.mp4,,1", "has an end alone; give both or none"),
        ("a.mp4,2,1", "ends at 1 s, which is before its start at 2 s"),
        ("a.mp4,-1,1", "the start is '-1'; it must be a number from 0 up"),
        ("a.mp4,0,inf", "the end is 'inf'"),
        ("a.mp4,0,1e999", "the end is '1e999'"),
        ("a.mp4,0,1,2", "expected 3 fields"),
        ("https://127.0.0.1/a.mp4,0,1", "is an address, and those are not read"),
        ("file:///etc/hostname,0,1", "is an address"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line(row: str, message: str, tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text(f"path,start,end\nok.mp4,0,1\n{row}\n")
    with pytest.raises(DataError, match="line 3: .*" + message):
        read(file)
    assert len(collect(read_generic([file]), skip_bad=True).annotations) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1]", "expected an object with 'path'"),
        ('{"path": 3}', "the path is 3; it must be a text"),
        ('{"path": "a\\u0000b"}', "the path holds a NUL"),
        ('{"path": "a", "label": [1]}', r"the label is \[1\]"),
        ('{"path": "a", "label": true}', "the label is True"),
        ('{"path": "a", "split": 1}', "the split is 1"),
        ('{"path": "a", "caption": [""]}', "the caption is ''; it must be a text"),
        ('{"path": "a", "segments": {"x": 1}}', "the segments are"),
        ('{"path": "a", "segments": [[1]]}', "expected segments as"),
        ('{"path": "a", "segments": [[2, 1]]}', "the segment ends at 1 s"),
        ('{"path": "a", "boxes": [[1, 0, 0, 2, 1]]}', "the box is 0, 0, 2, 1"),
        (
            '{"path": "a", "boxes": [[1, 0, 0, 1, 1]], "segments": [[0, 1]]}',
            "several segments and several boxes",
        ),
        ('{"path": "a", "x1": 0.1}', "the y1 is nothing"),
        ('{"path": "a"', "is no JSON"),
    ],
)
def test_a_malformed_object_is_an_error_with_its_line(line: str, message: str, tmp_path: Path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"path": "ok.mp4"}\n\n' + line + "\n")
    with pytest.raises(DataError, match="a.jsonl, line 3: .*" + message):
        read(file)
    assert len(collect(read_generic([file]), skip_bad=True).annotations) == 1


def test_names_of_columns_have_no_case_and_others_are_left_alone(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("Path, Label ,width,Split\na.mp4,run,64,Validation\n")
    (entry,) = read(file)
    assert (entry.label, entry.split) == ("run", "val")


@pytest.mark.parametrize(
    ("content", "generic"),
    [
        ("path,label,split\na.mp4,3,train\n", True),
        ("path,caption\na.mp4,x\n", True),
        ('\ufeff"path","label"\r\na.mp4,run\r\n', True),
        ("path,label\na.mp4,3\n", False),
        ("path,label,duration\na.mp4,3,60\n", False),
        ("label,youtube_id,time_start,time_end,split\n", False),
        ("a.mp4 3\n", False),
        ("a.mp4\n", False),
        ("", False),
        ("\xff\n", False),
    ],
)
def test_a_table_is_told_from_lists_of_videos(content: str, generic: bool, tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(content.encode("latin-1" if "\xff" in content else "utf-8"))
    assert is_generic(tmp_path / "a.csv") is generic


def test_only_columns_that_something_fills_are_written(tmp_path: Path):
    write_generic(tmp_path / "a.csv", [Annotation(where="", video="a, b.mp4", label="run")])
    assert (tmp_path / "a.csv").read_text() == 'path,label\n"a, b.mp4",run\n'


def test_a_name_that_is_no_text_is_refused_by_what_holds_text(tmp_path: Path):
    odd = Annotation(where="", video="a\udcff.mp4")
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(DataError, match="the name is no UTF-8"):
            write_generic(tmp_path / name, [odd])
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"expected a name that ends in \.csv, \.jsonl, \.parquet"):
        write_generic(tmp_path / "a.xlsx", [odd])
