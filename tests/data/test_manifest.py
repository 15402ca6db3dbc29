from pathlib import Path

import pytest

from tubelet.data.manifest import (
    Sample,
    read_annotations,
    read_class_folders,
    read_class_names,
    read_frame_folder_list,
    read_kinetics_csv,
    read_video_list,
)
from tubelet.data.video_files import videos_in
from tubelet.errors import DataError


@pytest.fixture
def listed(tmp_path: Path):
    def write(content: str | bytes, name: str = "train.csv") -> Path:
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return write


def pairs(samples: list[Sample]) -> list[tuple[str, int | None]]:
    return [(sample.id, sample.label) for sample in samples]


@pytest.mark.parametrize("delimiter", [" ", "\t", ",", ";", ", ", "  "])
def test_the_delimiter_shows_in_the_file(listed, delimiter: str):
    file = listed(f"a/x.mp4{delimiter}0\nb/x.mp4{delimiter}12\n")
    assert pairs(read_video_list(file)) == [("a/x.mp4", 0), ("b/x.mp4", 12)]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("my clip, final 1 2.mp4 0", "my clip, final 1 2.mp4"),
        ("my clip; a.mp4,0", "my clip; a.mp4"),
        ('"ok, really.mp4",0', "ok, really.mp4"),
        ('"say ""hi"".mp4" 0', 'say "hi".mp4'),
        ("ok.mp4 0\r", "ok.mp4"),
        ("\ufeffok.mp4 0", "ok.mp4"),
        ("视频/跑步 1.mp4 0", "视频/跑步 1.mp4"),
    ],
)
def test_paths_may_hold_almost_anything(listed, line: str, path: str):
    assert pairs(read_video_list(listed(line))) == [(path, 0)]


def test_relative_paths_count_from_the_list_or_the_root(listed):
    file = listed("a.mp4 0\n/data/b.mp4 1\n")
    assert [s.path for s in read_video_list(file)] == [str(file.parent / "a.mp4"), "/data/b.mp4"]
    assert read_video_list(file, root="/videos")[0].path == "/videos/a.mp4"


def test_a_header_is_left_out_only_if_it_is_one(listed):
    assert pairs(read_video_list(listed("path,label\na.mp4,3\n"))) == [("a.mp4", 3)]
    with pytest.raises(DataError, match="line 1"):
        read_video_list(listed("walk.mp4,label\na.mp4,3\n"))


def test_blank_lines_do_not_count(listed):
    assert pairs(read_video_list(listed("\na.mp4 1\n   \nb.mp4 2\n\n"))) == [("a.mp4", 1), ("b.mp4", 2)]


MALFORMED = {
    "no label": ("b.mp4", "line 3: expected `path label`"),
    "text for a label": ("b.mp4 seven", "line 3: the label is 'seven'"),
    "negative label": ("b.mp4 -1", "line 3: the label is '-1'"),
    "fraction": ("b.mp4 1.5", "line 3: the label is '1.5'"),
    "label too large": ("b.mp4 4", "line 3: the label is 4, but 4 classes have labels from 0 to 3"),
    "endless label": ("b.mp4 " + "9" * 5000, "line 3: the label is '9"),
    "other digits": ("b.mp4 \u0663", "line 3: the label is"),
    "NUL": ("b\0.mp4 1", "line 3: holds a NUL"),
    "contradiction": ("a.mp4 2", r"line 3: 'a\.mp4' has the label 2, but 0 in line 1"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_line_is_an_error_naming_file_and_line(listed, kind: str):
    line, message = MALFORMED[kind]
    with pytest.raises(DataError, match=f"train.csv, {message}"):
        read_video_list(listed(f"a.mp4 0\n\n{line}\nc.mp4 1\n"), num_classes=4)


def test_bytes_that_are_no_text_are_an_error_naming_the_line(listed):
    with pytest.raises(DataError, match=r"train\.csv, line 2: byte 3 is not UTF-8"):
        read_video_list(listed(b"a.mp4 0\nb\xc3\xff.mp4 1\n".replace(b"\xc3", b"b")))


@pytest.mark.parametrize("line", [",3", '"",3', "\t3"])
def test_an_empty_path_is_an_error(listed, line: str):
    with pytest.raises(DataError, match="line 1: the path is empty"):
        read_video_list(listed(line), delimiter=line[-2])


@pytest.mark.parametrize("content", ["", "\n\n", "  \n"])
def test_an_empty_list_is_an_error(listed, content: str):
    with pytest.raises(DataError, match=r"train\.csv: the file is empty"):
        read_video_list(listed(content))


def test_a_missing_list_is_an_error(tmp_path: Path):
    for read in (read_video_list, read_annotations):
        with pytest.raises(DataError, match=r"gone\.csv"):
            read(tmp_path / "gone.csv")


def test_pretraining_lists_need_no_labels(listed):
    file = listed("a clip.mp4\nb.mp4 3\n")
    assert pairs(read_video_list(file, labelled=False)) == [("a clip.mp4", None), ("b.mp4", 3)]


def test_a_line_that_is_the_path_of_something_is_that_path_in_pre_training(listed, tmp_path: Path):
    touch(tmp_path / "take 3", tmp_path / "take 4 12")
    file = listed("take 3\ntake 4 12\nb.mp4 3\n")
    for samples in (read_video_list(file, labelled=False), read_annotations(file, labelled=False).samples):
        assert pairs(samples) == [("take 3", None), ("take 4 12", None), ("b.mp4", 3)]
    whole = listed("take 4 12\n")
    assert pairs(read_annotations(whole, labelled=False).samples) == [("take 4 12", None)]
    assert pairs(read_annotations(whole).samples) == [("take", 12)]


def test_equal_names_in_different_folders_stay_apart(listed):
    samples = read_video_list(listed("run/001.mp4 0\nwalk/001.mp4 1\nrun/001.mp4 0\n"))
    assert [sample.id for sample in samples] == ["run/001.mp4", "walk/001.mp4", "run/001.mp4#2"]


def test_frame_folders_come_with_their_number_of_frames(listed):
    samples = read_frame_folder_list(listed("clips/my walk 120 3\nclips/run 60 0\n"))
    assert pairs(samples) == [("clips/my walk", 3), ("clips/run", 0)]
    assert [sample.num_frames for sample in samples] == [120, 60]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run 60", "expected `folder total_frames label`"),
        ("run x 3", "the number of frames is 'x'"),
        ("run 0 3", "the number of frames is '0'"),
        ("run 60 -3", "the label is '-3'"),
    ],
)
def test_a_malformed_frame_folder_line_is_an_error(listed, line: str, message: str):
    with pytest.raises(DataError, match=f"line 2: {message}"):
        read_frame_folder_list(listed(f"walk 20 1\n{line}\n"))


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_class_folders_give_classes_in_order_of_their_names(tmp_path: Path):
    touch(tmp_path / "walk/1.mp4", tmp_path / "run/deep/1.AVI", tmp_path / "run/2.webm")
    touch(tmp_path / "run/.cache.mp4", tmp_path / "run/notes.txt", tmp_path / ".git/x.mp4")
    found = read_class_folders(tmp_path)
    assert found.classes == ["run", "walk"]
    assert pairs(found.samples) == [("run/2.webm", 0), ("run/deep/1.AVI", 0), ("walk/1.mp4", 1)]
    assert Path(found.samples[0].path).exists()


def test_classes_that_are_given_number_the_folders(tmp_path: Path):
    touch(tmp_path / "walk/1.mp4")
    assert read_class_folders(tmp_path, classes=["run", "walk"]).samples[0].label == 1
    with pytest.raises(DataError, match="'walk' is none of the 1 classes"):
        read_class_folders(tmp_path, classes=["run"])


def test_a_folder_without_videos_is_an_error(tmp_path: Path):
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError, match="no videos in class folders"):
        read_class_folders(tmp_path)


def test_a_folder_without_videos_is_no_class(tmp_path: Path):
    touch(tmp_path / "walk/1.mp4", tmp_path / "empty/notes.txt", tmp_path / "hidden/.x.mp4")
    assert read_class_folders(tmp_path).classes == ["walk"]


def test_a_class_folder_may_be_a_link(tmp_path: Path):
    touch(tmp_path / "elsewhere/1.mp4")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/walk").symlink_to(tmp_path / "elsewhere")
    assert pairs(read_class_folders(tmp_path / "set").samples) == [("walk/1.mp4", 0)]


def test_videos_without_a_class_folder_are_an_error_that_says_what_to_do(tmp_path: Path):
    touch(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"one folder per class, .* `tubelet pretrain`"):
        read_annotations(tmp_path)
    touch(tmp_path / "walk/1.mp4")
    with pytest.raises(DataError, match=r"'a\.mp4' lies beside the class folders"):
        read_annotations(tmp_path)


def test_videos_in_a_folder_are_found_below_it_and_in_order(tmp_path: Path):
    touch(tmp_path / "b.mp4", tmp_path / "a/2.webm", tmp_path / ".git/x.mp4", tmp_path / "c.jpg")
    assert videos_in(tmp_path) == [tmp_path / "a/2.webm", tmp_path / "b.mp4"]
    with pytest.raises(DataError, match="absent: the folder cannot be read"):
        videos_in(tmp_path / "absent")


@pytest.mark.parametrize("inside", ["", "train/"])
def test_pre_training_reads_any_folder_of_videos(tmp_path: Path, inside: str):
    touch(tmp_path / f"{inside}a.mp4", tmp_path / f"{inside}deep/deeper/b.mp4")
    found = read_annotations(tmp_path, labelled=False)
    assert pairs(found.samples) == [("a.mp4", None), ("deep/deeper/b.mp4", None)]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: no videos"):
        read_annotations(tmp_path / "none", labelled=False)


@pytest.mark.parametrize("there", ["val.csv", "test.txt", "val/walk/1.mp4"])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_missing_training_split_is_said(tmp_path: Path, there: str, labelled: bool):
    touch(tmp_path / there, tmp_path / "videos/1.mp4")
    with pytest.raises(DataError, match=r"has a (val|test) split but none to train on: add train\.csv or"):
        read_annotations(tmp_path, labelled=labelled)


KINETICS = (
    'label,youtube_id,time_start,time_end,split\n"walking, slowly",-abc_123,10,20,train\nrun,xyz,0,10,train\n'
)


def test_the_official_kinetics_csv_names_files_by_id_and_seconds(listed):
    found = read_kinetics_csv(
        listed(KINETICS), root="/k400", pattern="{label}/{id}_{start:06d}_{end:06d}.mp4"
    )
    assert found.classes == ["run", "walking, slowly"]
    assert [s.path for s in found.samples] == [
        "/k400/walking, slowly/-abc_123_000010_000020.mp4",
        "/k400/run/xyz_000000_000010.mp4",
    ]
    assert [s.label for s in found.samples] == [1, 0]


def test_a_kinetics_test_list_has_no_labels(listed):
    found = read_kinetics_csv(listed("youtube_id,time_start,time_end,split\nxyz,0,10,test\n"))
    assert (found.classes, found.samples[0].label) == (None, None)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run,xyz,0,10", "expected 5 fields"),
        ("run,xyz,0,ten,train", "the time is 'ten'"),
        ("run,,0,10,train", "the youtube_id is empty"),
        ("swim,xyz,0,10,train", "the label 'swim' is none of the 1 classes"),
    ],
)
def test_a_malformed_kinetics_line_is_an_error(listed, line: str, message: str):
    file = listed(f"label,youtube_id,time_start,time_end,split\nrun,a,0,10,train\n{line}\n")
    with pytest.raises(DataError, match=f"line 3: {message}"):
        read_kinetics_csv(file, classes=["run"])


def test_annotations_are_read_by_what_lies_there(listed, tmp_path: Path):
    assert read_annotations(listed(KINETICS, "k.csv")).classes == ["run", "walking, slowly"]
    assert read_annotations(listed("a 1.mp4 0\n", "list.txt")).samples[0].num_frames is None
    assert read_annotations(listed("clips/a 60 0\n", "frames.txt")).samples[0].num_frames == 60
    listed("a.mp4 0\n")
    listed("b.mp4 1\n", "val.csv")
    listed("run\nwalk\n", "classes.txt")
    train, val = read_annotations(tmp_path), read_annotations(tmp_path, "val")
    assert train.classes == val.classes == ["run", "walk"]
    assert pairs(train.samples) + pairs(val.samples) == [("a.mp4", 0), ("b.mp4", 1)]
    listed("c.mp4 2\n", "test.csv")
    with pytest.raises(DataError, match="2 classes have labels from 0 to 1"):
        read_annotations(tmp_path, "test")


def test_splits_of_class_folders_share_the_numbers_of_the_training_classes(tmp_path: Path):
    touch(tmp_path / "train/run/1.mp4", tmp_path / "train/walk/1.mp4", tmp_path / "val/walk/2.mp4")
    val = read_annotations(tmp_path, "val")
    assert (val.classes, pairs(val.samples)) == (["run", "walk"], [("walk/2.mp4", 1)])


def test_splits_of_kinetics_lists_share_their_numbers(listed, tmp_path: Path):
    head = "label,youtube_id,time_start,time_end,split\n"
    listed(f"{head}run,a,0,10,train\nwalk,b,0,10,train\n")
    listed(f"{head}walk,c,0,10,val\n", "val.csv")
    val = read_annotations(tmp_path, "val")
    assert (val.classes, val.samples[0].label) == (["run", "walk"], 1)
    listed("jump\nrun\nwalk\n", "classes.txt")
    assert [read_annotations(tmp_path, split).samples[0].label for split in ("train", "val")] == [1, 2]
    (tmp_path / "classes.txt").unlink()
    listed(f"{head}swim,d,0,10,test\n", "test.csv")
    with pytest.raises(DataError, match="the label 'swim' is none of the 2 classes"):
        read_annotations(tmp_path, "test")


def test_classes_of_a_model_number_whatever_is_read(listed, tmp_path: Path):
    classes = ["walking, slowly", "jump", "run"]
    found = read_annotations(listed(KINETICS, "k.csv"), classes=classes)
    assert [s.label for s in found.samples] == [0, 2]
    touch(tmp_path / "set/test/run/1.mp4", tmp_path / "set/train/jump/1.mp4")
    assert read_annotations(tmp_path / "set", "test", classes=classes).samples[0].label == 2
    with pytest.raises(DataError, match="'run' is none of the 1 classes"):
        read_annotations(tmp_path / "set", "test", classes=["jump"])
    listed("a.mp4 2\n")
    assert read_annotations(tmp_path, classes=classes).classes == classes
    with pytest.raises(DataError, match="2 classes have labels from 0 to 1"):
        read_annotations(tmp_path / "train.csv", classes=classes[:2])


def test_names_beside_the_lists_must_be_those_of_the_model(listed, tmp_path: Path):
    listed("a.mp4 0\n")
    listed("run\nwalk\n", "classes.txt")
    assert read_annotations(tmp_path, classes=["run", "walk"]).classes == ["run", "walk"]
    for wrong in (["walk", "run"], ["run"], ["run", "walk", "jump"]):
        with pytest.raises(DataError, match=r"classes\.txt: class \d is .* was asked for"):
            read_annotations(tmp_path, classes=wrong)


def test_names_are_not_numbered_for_a_model_with_another_number_of_classes(listed, tmp_path: Path):
    touch(tmp_path / "set/run/1.mp4")
    for path in (tmp_path / "set", listed(KINETICS.split("run,")[0])):
        with pytest.raises(DataError, match="1 classes have names there; 3 were asked for"):
            read_annotations(path, num_classes=3)


def test_class_folders_alone_are_for_training(tmp_path: Path):
    touch(tmp_path / "run/1.mp4")
    assert len(read_annotations(tmp_path).samples) == 1
    with pytest.raises(DataError, match="no split 'val'"):
        read_annotations(tmp_path, "val")


def test_class_names_must_differ(listed):
    assert read_class_names(listed("run\nwalk fast\n")) == ["run", "walk fast"]
    with pytest.raises(DataError, match="line 3: the class 'run' is already in line 1"):
        read_class_names(listed("run\nwalk\nrun\n"))
