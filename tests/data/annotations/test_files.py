"""Text and JSON taken apart: line numbers, quotation marks, encodings, what is no text at all."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.annotations.files import Record, csv_records, lines_of, split_of_file, table
from tubelet.data.annotations.json_files import json_records, json_value
from tubelet.errors import DataError

FIELDS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r\n"))
VALUES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def write(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def told(found: list[Record | DataError]) -> list[object]:
    return [entry.value if isinstance(entry, Record) else str(entry).split(", ", 1)[1] for entry in found]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_marks_of_byte_order_and_ends_of_lines_do_not_count(mark: str, ending: str, tmp_path: Path):
    file = write(tmp_path, mark + ending.join(["path,label", "a.mp4,run", "", "b.mp4,walk"]) + ending)
    found = [record.value for record in table(file, "path") if isinstance(record, Record)]
    assert found == [{"path": "a.mp4", "label": "run"}, {"path": "b.mp4", "label": "walk"}]


def test_quoted_fields_hold_commas_quotes_and_line_breaks(tmp_path: Path):
    file = write(tmp_path, 'a,b\n"x, y","say ""go""\n\nnow"\nc,d\n')
    found = list(csv_records(file))
    assert told(found) == [["a", "b"], ["x, y", 'say "go"\n\nnow'], ["c", "d"]]
    assert [r.where.rsplit(" ", 1)[1] for r in found if isinstance(r, Record)] == ["1", "2", "5"]


def test_a_quotation_mark_that_never_closes_costs_its_line_alone(tmp_path: Path):
    file = write(tmp_path, 'a,b\n"c,d\ne,f\ng,h\n')
    assert told(list(csv_records(file))) == [
        ["a", "b"],
        "line 2: a quotation mark opens and never closes",
        ["e", "f"],
        ["g", "h"],
    ]


def test_a_quotation_mark_within_a_field_stands_for_itself(tmp_path: Path):
    file = write(tmp_path, 'a,a 5" tv\nb,ok\nc,6"\n"d ""7""",\'8"\'\n')
    assert told(list(csv_records(file))) == [["a", 'a 5" tv'], ["b", "ok"], ["c", '6"'], ['d "7"', "'8\"'"]]


def test_a_record_that_is_malformed_costs_its_first_line_alone(tmp_path: Path):
    file = write(tmp_path, 'a,b\n"c\n",d,"e"f\ng,h\n')
    assert told(list(csv_records(file)))[1:] == [
        "line 2: is no csv (',' expected after '\"')",
        "line 3: is no csv (',' expected after '\"')",
        ["g", "h"],
    ]


def test_a_line_that_is_no_text_costs_itself_alone(tmp_path: Path):
    file = write(tmp_path, b"a\nb\xffc\nd\0e\nf\n")
    assert told(list(lines_of(file))) == [
        "a",
        "line 2: byte 2 is not UTF-8 text",
        "line 3: holds a NUL character, which no path can",
        "f",
    ]


@given(rows=st.lists(st.lists(FIELDS, min_size=2, max_size=2), min_size=1, max_size=5))
def test_what_a_csv_writer_writes_is_read(rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory):
    lines = [",".join('"' + field.replace('"', '""') + '"' for field in row) for row in rows]
    file = write(tmp_path_factory.mktemp("csv"), "\n".join(lines))
    assert told(list(csv_records(file))) == rows


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("a,b", "expected the columns path, found"),
        ("path,a,a", "the column 'a' is there twice"),
        ('"path,a', "opens and never"),
    ],
)
def test_a_table_needs_its_columns(header: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"a.csv, line 1: .*{message}"):
        list(table(write(tmp_path, f"{header}\nx,y\n"), "path"))


def test_an_empty_table_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"a\.csv: the file is empty"):
        list(table(write(tmp_path, "\n"), "path"))


def test_entries_of_json_know_their_lines(tmp_path: Path):
    text = '\ufeff{"version": [1,\n2],\n "all": {"a":\n {"x": "\\n"},\n\n "b": [], "c": 1}\n}\n'
    found = list(json_records(write(tmp_path, text), "all"))
    places = [(r.where.split(", ", 1)[1], r.value) for r in found if isinstance(r, Record)]
    assert places == [("line 4, 'a'", {"x": "\n"}), ("line 6, 'b'", []), ("line 6, 'c'", 1)]


def test_a_name_that_comes_twice_is_an_error_of_its_own(tmp_path: Path):
    file = write(tmp_path, '{"a": 1,\n"a": 2,\n"b": 3}')
    assert [told([r])[0] for r in json_records(file)] == [1, "line 2: 'a' is there twice", 3]


@given(value=VALUES, indent=st.sampled_from([None, 0, 1]))
def test_entries_are_those_that_json_itself_finds(
    value: object, indent: int | None, tmp_path_factory: pytest.TempPathFactory
):
    file = write(
        tmp_path_factory.mktemp("json"), json.dumps({"before": value, "all": [value, value]}, indent=indent)
    )
    assert [r.value for r in json_records(file, "all") if isinstance(r, Record)] == [value, value]
    whole = {r.key: r.value for r in json_records(file) if isinstance(r, Record)}
    assert whole == {"before": value, "all": [value, value]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1,\n2,\n]", "a.json, line 3: is no JSON"),
        ("[1, 2] x", "a.json: is no JSON"),
        ("[NaN]", r"a.json: is no JSON \(NaN is no number\)"),
        ("[" + "9" * 5000 + "]", "a.json: is no JSON"),
        ("[" * 100000, "a.json: is no JSON that can be read|a.json: is no JSON"),
        ("7", "a.json: expected a list or an object, found a int"),
    ],
)
def test_what_is_no_json_says_where(text: str, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        list(json_records(write(tmp_path, text, "a.json")))


def test_an_object_must_have_what_is_read_of_it(tmp_path: Path):
    with pytest.raises(DataError, match="expected an object with 'database', found one with 'data', 'x'"):
        list(json_records(write(tmp_path, '{"data": 1, "x": 2}'), "database"))


def test_a_value_is_all_of_a_text():
    assert json_value("here", ' {"a": [1]} ') == {"a": [1]}
    with pytest.raises(DataError, match="here: is no JSON"):
        json_value("here", "[1] [2]")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.csv", "train"),
        ("vatex_training_v1.0.json", "train"),
        ("something-something-v2-validation.json", "val"),
        ("ava_val_v2.2.csv", "val"),
        ("LSMDC16_challenge_1000_publictect.csv", "test"),
        ("MSRVTT_JSFUSION_test.csv", "test"),
        ("train_or_test.csv", None),
        ("trained.csv", None),
        ("all.csv", None),
    ],
)
def test_names_of_files_say_splits(name: str, split: str | None):
    assert split_of_file(Path(name)) == split
