from pathlib import Path

import pytest

from tubelet.errors import DataError
from tubelet.text.labels import check_labels, duplicates, parse_labels, read_labels, spoken


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("ApplyEyeMakeup", "Apply Eye Makeup"),
        ("CuttingInKitchen", "Cutting In Kitchen"),
        ("YoYo", "Yo Yo"),
        ("sword_exercise", "sword exercise"),
        ("__tai__chi_", "tai chi"),
        ("ride_BMXBike", "ride BMX Bike"),
        ("3DPrinting", "3D Printing"),
        ("iPhone", "iPhone"),
        ("use_iPhone", "use iPhone"),
        ("TV", "TV"),
        ("abseiling", "abseiling"),
        ("passing American football (in game)", "passing American football (in game)"),
        ("visiting McDonalds", "visiting McDonalds"),
        ("  two   spaces ", "two spaces"),
        ("滑雪", "滑雪"),
        ("None", "None"),
        ("", ""),
    ],
)
def test_labels_are_said_in_words(label: str, said: str):
    assert spoken(label) == said
    assert spoken(said) == said


def test_labels_that_come_twice_are_counted_as_they_are_written():
    assert duplicates(["run", "jump", "run", "Run", "run"]) == {"run": 3}
    assert duplicates([]) == {}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "the list of labels is empty"),
        (["run", " "], "label 1 is ' ', which says nothing"),
    ],
)
def test_lists_that_are_no_labels_are_refused(labels: list[str], message: str):
    with pytest.raises(DataError, match=message):
        check_labels(labels)


def test_names_of_nothing_are_labels():
    check_labels(["None", "nan", "null", "0"])
    assert parse_labels("None,nan") == ["None", "nan"]


def test_labels_on_a_command_line_stand_between_commas():
    assert parse_labels("a,b c , d") == ["a", "b c", "d"]
    assert parse_labels('"slip, then fall",run') == ["slip, then fall", "run"]
    assert parse_labels("run") == ["run"]
    for text in ("", "a,,b", "a,"):
        with pytest.raises(DataError, match=r"says nothing|is empty"):
            parse_labels(text)


@pytest.mark.parametrize("text", ['"unclosed, quote', '"slip", "fall', '"slip" twice, fall'])
def test_quotes_stand_around_a_whole_label(text: str):
    with pytest.raises(DataError, match=r"cannot be told apart .*double quotes stand around a whole label"):
        parse_labels(text)
    assert parse_labels('a 5" nail, run') == ['a 5" nail', "run"]


def test_a_quote_that_is_not_closed_swallows_no_rows_of_a_table(tmp_path: Path):
    (tmp_path / "labels.csv").write_text('name\nrun\n"jump\nfall\n', encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as a table"):
        read_labels(tmp_path / "labels.csv")


def test_a_file_has_a_label_per_line(tmp_path: Path):
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffNone\r\nnan\r\n\r\ncafé, outdoors\r\nNone\r\n".encode())
    assert read_labels(file) == ["None", "nan", "café, outdoors", "None"]


def test_a_table_has_its_labels_in_the_order_of_their_numbers(tmp_path: Path):
    file = tmp_path / "labels.csv"
    file.write_text('id,name\n1,null\n0,"slip, then fall"\n\n2,NA\n', encoding="utf-8")
    assert read_labels(file) == ["slip, then fall", "null", "NA"]
    file.write_text("name,split\nrun,train\njump,test\n", encoding="utf-8")
    assert read_labels(file) == ["run", "jump"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.txt", None, r"missing\.txt cannot be read: No such file"),
        ("latin.txt", "run\ncafé\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8; save the file"),
        ("empty.txt", b" \n\n", "holds no label"),
        ("empty.csv", b"", "has no column `name`"),
        ("only.csv", b"id,name\n", "holds no label"),
        ("plain.csv", b"run\njump\n", r"has no column `name` in its first line; one label per line .* \.txt"),
        ("comma.csv", b"id,name\n0,slip, then fall\n", "row 2: 3 fields under a header of 2"),
        ("gap.csv", b"id,name\n0,run\n2,jump\n", "whose ids are not the numbers from 0 to 1"),
        ("words.csv", b"id,name\nx,run\n", "whose ids are not the numbers from 0 to 0"),
        ("blank.csv", b"id,name\n0,run\n1, \n", "row 3: the label is empty"),
    ],
)
def test_files_that_are_no_labels_are_refused(name: str, content: bytes | None, message: str, tmp_path: Path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_labels(tmp_path / name)
    assert "\n" not in str(caught.value)
