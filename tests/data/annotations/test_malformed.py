"""What is wrong in a file is an error that names file and line, or is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from tubelet.data.annotations.formats import FORMATS, read_format
from tubelet.errors import DataError

KINETICS = "label,youtube_id,time_start,time_end\n"
MALFORMED = {
    # format: name, good lines, a bad line, what the error says after file and line
    "kinetics": ("train.csv", KINETICS + "run,abc,0,10", "run,abc,ten,20", "the time is 'ten'"),
    "list": ("train.csv", "a b.mp4 0\nc.mp4 1", "b.mp4 x", "the label is 'x'"),
    "xclip": ("train.txt", "a b.mp4 0\nc.mp4 1", "b.mp4", "expected `path label`"),
    "something_v1": ("train.csv", "1;Turning something", "2;Turning;something", "expected `id;template`"),
    "ucf101": ("trainlist01.txt", "Archery/v_1.avi 1", "v_2.avi 1", "expected `class/video.avi`"),
    "hmdb51": ("wave_test_split1.txt", "a.avi 1", "b.avi 3", "expected a video and 0"),
    "thumos": ("Diving_val.txt", "video_1 1.0 2.0", "video_1 2.0 1.0", "the segment ends at 1 s"),
    "breakfast_actions": ("P03_cam01_P03_tea.txt", "1-30 SIL", "30-1 SIL", "expected `first-last action`"),
    "lvu": ("train.csv", "a.mp4 1 60", "b.mp4 1", "expected `path label duration`"),
    "msvd": ("all.txt", "abc_1_9 a dog", "abc_9 a dog", "expected a video as `id_start_end`"),
    "lsmdc": ("train.csv", "a\t1\t2\t1\t2\tA dog.", "a\t1\t2\tA dog.", "expected a clip, four times"),
    "generic": ("train.csv", "path,start,end\na.mp4,0,1", "a.mp4,1", "expected 3 fields"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_line_is_an_error_or_counted(name: str, tmp_path: Path):
    file_name, good, bad, message = MALFORMED[name]
    file = tmp_path / file_name
    file.write_text(f"{good}\n\n{bad}\n{good.splitlines()[-1]}\n")
    line = len(good.splitlines()) + 2
    with pytest.raises(DataError) as raised:
        read_format(name, [file])
    assert str(raised.value).startswith(f"{file}, line {line}: {message}")
    found = read_format(name, [file], skip_bad=True)
    assert [str(error) for error in found.skipped] == [str(raised.value)]
    assert len(found.annotations) == 2 + (name in ("list", "xclip"))


IN_JSON: dict[str, tuple[Any, Any, str]] = {
    "something_v2": (
        {"id": "1", "template": "Turning [something]", "label": "turning a cup"},
        {"id": "2", "template": 7},
        "the template is 7",
    ),
    "didemo": (
        {"video": "a.mp4", "description": "a dog", "times": [[0, 0]]},
        {"video": "a.mp4", "description": "a dog", "times": [[2, 1]]},
        "the segment ends at 10 s, which is not after its start at 10 s",
    ),
    "vatex": (
        {"videoID": "abc_000001_000011", "enCap": ["a dog"]},
        {"videoID": "abc", "enCap": ["a dog"]},
        "expected a video as `id_start_end`, found 'abc'",
    ),
    "video_json": ({"video": "a.mp4", "caption": "a dog"}, {"video": "b.mp4"}, "has no 'caption'; there is"),
    "msrvtt_qa": (
        {"video_id": 1, "question": "who?", "answer": "a dog"},
        {"video_id": 1, "question": "who?"},
        "has no 'answer'",
    ),
}


@pytest.mark.parametrize("name", IN_JSON)
def test_a_malformed_entry_of_json_has_its_line(name: str, tmp_path: Path):
    good, bad, message = IN_JSON[name]
    file = tmp_path / "train.json"
    file.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in (good, bad, good)) + "\n]\n")
    with pytest.raises(DataError) as raised:
        read_format(name, [file])
    assert str(raised.value).startswith(f"{file}, line 3: {message}")
    found = read_format(name, [file], skip_bad=True)
    assert (len(found.annotations), len(found.skipped)) == (2, 1)


@pytest.mark.parametrize("name", ["activitynet", "hacs", "fineaction", "thumos", "coin_steps"])
def test_one_bad_segment_costs_no_other(name: str, tmp_path: Path):
    key = "annotation" if name == "coin_steps" else "annotations"
    segments = [{"segment": s, "label": "run"} for s in ([0, 1], [2, 1], [3, "4"], [5], [-1, 2])]
    file = tmp_path / "all.json"
    file.write_text(json.dumps({"database": {"abc": {"subset": "training", key: segments}}}, indent=1))
    with pytest.raises(DataError, match=r"all\.json, line 3, 'abc': the segment ends at 1 s"):
        read_format(name, [file])
    found = read_format(name, [file], skip_bad=True)
    assert [entry.end for entry in found.annotations] == [1.0, 4.0]
    assert len(found.skipped) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1/x",
        "a/../../b",
        "..\\b",
        "nul\0",
        "",
        None,
        True,
        1.5,
        [],
    ],
)
def test_a_name_of_a_video_can_only_mean_a_file_in_the_folder(name: Any, tmp_path: Path):
    file = tmp_path / "train.json"
    file.write_text(json.dumps([{"video": name, "caption": "a dog"}]))
    with pytest.raises(DataError, match=r"line 1: (the video|expected the name of a video)"):
        read_format("video_json", [file])


@pytest.mark.parametrize(
    ("lines", "rows", "says"),
    [
        (["a.mp4 0 9", "b.mp4 1 x", "c.mp4 1 12"], ["a.mp4", "c.mp4"], "the label is 'x'"),
        (["a b 20 0", "b 0 1", "c 12 1"], ["a b", "c"], "the number of frames is '0'"),
        (["path,label", "a.mp4,0", "a.mp4,1", "b.mp4,1"], ["a.mp4", "b.mp4"], "has the label 1, but 0 above"),
        (["a.mp4 0", "\xff.mp4 1", "b.mp4 1"], ["a.mp4", "b.mp4"], "byte 1 is not UTF-8 text"),
    ],
)
def test_a_bad_line_of_a_list_costs_no_other(lines: list[str], rows: list[str], says: str, tmp_path: Path):
    file = tmp_path / "list.txt"
    file.write_bytes("\n".join(lines).encode("latin-1"))
    with pytest.raises(DataError, match=r"list\.txt, line [23]"):
        read_format("list", [file])
    found = read_format("list", [file], skip_bad=True)
    assert [entry.video for entry in found.annotations] == rows
    assert len(found.skipped) == 1
    assert says in str(found.skipped[0])


@pytest.mark.parametrize("label", ["[]", "[0, 1]", "true", "-1", '"0"', "1.5"])
def test_xclip_s_json_has_one_number_for_a_label(label: str, tmp_path: Path):
    (tmp_path / "train.json").write_text(f'[{{"filename": "a.mp4", "label": {label}}}]')
    with pytest.raises(DataError, match=r"line 1: the label is .*one whole number"):
        read_format("xclip", [tmp_path / "train.json"])


def test_xclip_s_labels_are_those_of_its_csv(tmp_path: Path):
    (tmp_path / "train.txt").write_text("a.mp4 0\nb.mp4 2\n")
    (tmp_path / "labels.csv").write_text("id,name\n1,run\n0,jump\n")
    files = [tmp_path / "train.txt", tmp_path / "labels.csv"]
    with pytest.raises(DataError, match="line 2: the label is 2; 2 classes have names"):
        read_format("xclip", files)
    (tmp_path / "labels.csv").write_text("id,name\n0,jump\n2,run\n")
    with pytest.raises(DataError, match="are not numbered from 0 to 1"):
        read_format("xclip", files)
    (tmp_path / "labels.csv").write_text("id,name\n0,jump\n0,run\n")
    with pytest.raises(DataError, match="line 3: the id is '0'; every class has a number of its own"):
        read_format("xclip", files)


def test_nothing_but_bad_entries_is_an_error_even_when_they_may_be_skipped(tmp_path: Path):
    file = tmp_path / "trainlist01.txt"
    file.write_text("x\ny\n")
    with pytest.raises(DataError, match=r"all 2 entries are malformed; the first: .*line 1: expected"):
        read_format("ucf101", [file], skip_bad=True)


@pytest.mark.parametrize("name", [n for n in FORMATS if n not in ("folders", "ava", "breakfast")])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"\xff\xfe\x00a",
        b"\0",
        b"{",
        b"[1, x",
        b"[]",
        b"{}",
        b"null",
        b'{"database": []}',
        b"[" * 20000,
    ],
    ids=repr,
)
def test_what_is_no_such_file_is_one_error(name: str, content: bytes, tmp_path: Path):
    file = tmp_path / {"hmdb51": "a_test_split1.txt", "thumos": "thumos.json"}.get(
        name, "P03_cam01_P03_tea.txt"
    )
    file.write_bytes(content)
    for skip_bad in (False, True):
        with pytest.raises(DataError) as raised:
            read_format(name, [file], skip_bad=skip_bad)
        assert "\n" not in str(raised.value)


def test_an_action_needs_a_label_map(tmp_path: Path):
    file = tmp_path / "ava_train_v2.2.csv"
    file.write_text("abc,902,0.1,0.1,0.5,0.5,12,0\n")
    with pytest.raises(DataError, match=r"give the label map \(.pbtxt\)"):
        read_format("ava", [file])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'item { name: "stand" id: 12 }\nitem { name: "sit" id: 12 }',
            "line 2: the number 12 is there twice",
        ),
        ('item { name: "stand" }', "line 1: expected"),
        ('item { name: "stand" id: 12 }\nname: "sit"', "line 2: expected"),
        ("\n\nstand", "line 3: expected"),
    ],
)
def test_a_label_map_is_read_whole_or_refused(text: str, message: str, tmp_path: Path):
    (tmp_path / "map.pbtxt").write_text(text)
    (tmp_path / "ava_train.csv").write_text("abc,902,0.1,0.1,0.5,0.5,12,0\n")
    with pytest.raises(DataError, match=f"map.pbtxt, {message}"):
        read_format("ava", [tmp_path / "ava_train.csv", tmp_path / "map.pbtxt"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("0.5,0.1,0.4,0.9,12,0", "the box is 0.5, 0.1, 0.4, 0.9; it must be x1 < x2"),
        ("0.1,0.1,0.4,1.9,12,0", "the box is 0.1, 0.1, 0.4, 1.9"),
        ("0.1,0.1,nan,0.9,12,0", "the x2 is 'nan'; it must be a number"),
        ("0.1,0.1,0.4,0.9,stand,0", "the action is 'stand'"),
        ("0.1,0.1,0.4,0.9", "expected `video,time,x1"),
    ],
)
def test_a_box_lies_within_the_picture(fields: str, message: str, tmp_path: Path):
    (tmp_path / "map.pbtxt").write_text('label { name: "stand" label_id: 12 label_type: PERSON_MOVEMENT }')
    (tmp_path / "ava_train.csv").write_text(f"abc,902,{fields}\n")
    with pytest.raises(DataError, match=f"ava_train.csv, line 1: {message}"):
        read_format("ava", [tmp_path / "ava_train.csv", tmp_path / "map.pbtxt"])


def test_placeholders_fill_the_places_of_their_template(tmp_path: Path):
    entry = {"id": "1", "template": "Putting [a] on [b]", "label": "putting x", "placeholders": ["x"]}
    (tmp_path / "train.json").write_text(json.dumps([entry]))
    with pytest.raises(DataError, match="has 2 places, and 1 placeholders fill them"):
        read_format("something_v2", [tmp_path / "train.json"])


def test_a_template_that_the_labels_lack_is_an_error(tmp_path: Path):
    (tmp_path / "labels.json").write_text('{"Turning something": "0"}')
    (tmp_path / "train.json").write_text(
        json.dumps([{"id": "1", "template": "Tuning [something]", "label": "x"}])
    )
    with pytest.raises(DataError, match="the template 'Tuning something' is none of the 1 labels"):
        read_format("something_v2", [tmp_path / "labels.json", tmp_path / "train.json"])


@pytest.mark.parametrize(
    "numbers", ['{"a": "0", "b": "2"}', '{"a": "0", "b": "0"}', '{"a": "x"}', '{"a": []}']
)
def test_labels_are_numbered_from_zero_without_gaps(numbers: str, tmp_path: Path):
    (tmp_path / "labels.json").write_text(numbers)
    (tmp_path / "train.json").write_text(json.dumps([{"id": "1", "template": "a", "label": "a"}]))
    with pytest.raises(DataError, match=r"labels\.json"):
        read_format("something_v2", [tmp_path / "labels.json", tmp_path / "train.json"])


def test_a_table_is_no_list(tmp_path: Path):
    (tmp_path / "train.csv").write_text(KINETICS + "run,abc,0,10\n")
    with pytest.raises(DataError, match="is no list of paths and labels; its format is kinetics"):
        read_format("list", [tmp_path / "train.csv"])
    (tmp_path / "train.csv").write_text("path,start,end\na.mp4,0,1\n")
    with pytest.raises(DataError, match="its format is generic"):
        read_format("list", [tmp_path / "train.csv"])


@pytest.mark.parametrize("name", ["kinetics", "list", "ucf101", "generic"])
def test_an_error_quotes_no_more_than_a_person_reads(name: str, tmp_path: Path):
    (tmp_path / "train.csv").write_text("a" * 100_000 + "\n")
    with pytest.raises(DataError, match=r"train.csv, line 1: .*…$") as raised:
        read_format(name, [tmp_path / "train.csv"])
    assert len(str(raised.value)) == 1001
