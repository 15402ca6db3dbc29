"""Official splits of UCF101 and HMDB51 in the shape of their files, and parts of a data set's classes."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tubelet.data.few_shot import draw_few_shot
from tubelet.data.label_sets import k600_zero_shot, label_set
from tubelet.data.manifest import read_kinetics_csv
from tubelet.data.protocols import hmdb51_split, restrict, ucf101_split
from tubelet.data.sample import Annotations, Sample
from tubelet.errors import ConfigError, DataError


@pytest.fixture
def ucf101(tmp_path: Path) -> Path:
    """Two videos of every class to learn from and one to test with; lines end as in the published files."""
    classes = label_set("ucf101")
    train = [f"{name}/v_{name}_g0{g}_c01.avi {i}" for i, name in enumerate(classes, start=1) for g in (8, 9)]
    test = [f"{name}/v_{name}_g01_c01.avi" for name in classes]
    for split in (1, 2, 3):
        write(tmp_path / f"trainlist0{split}.txt", train, "\r\n")
        write(tmp_path / f"testlist0{split}.txt", test, "\r\n")
    write(tmp_path / "classInd.txt", [f"{i} {name}" for i, name in enumerate(classes, start=1)], "\r\n")
    return tmp_path


@pytest.fixture
def hmdb51(tmp_path: Path) -> Path:
    """Every class with two videos to learn from, one to test with and one that is left out."""
    for name in label_set("hmdb51"):
        folder = name.replace(" ", "_")
        lines = [f"April_09_[cut]_{folder}_{i}.avi {part} " for i, part in enumerate((1, 2, 0, 1))]
        for split in (1, 2, 3):
            write(tmp_path / f"{folder}_test_split{split}.txt", lines)
    return tmp_path


def write(file: Path, lines: list[str], ending: str = "\n") -> None:
    file.write_bytes("".join(line + ending for line in lines).encode())


def append(file: Path, line: str) -> None:
    file.write_bytes(file.read_bytes() + f"{line}\n".encode())


@pytest.mark.parametrize("split", [1, 2, 3])
def test_ucf101_is_numbered_from_zero_by_its_own_file_of_classes(ucf101: Path, split: int):
    splits = ucf101_split(ucf101, split, videos="/videos")
    assert splits.classes == label_set("ucf101")
    assert (len(splits.train), len(splits.test)) == (202, 101)
    assert splits.val == splits.test
    first = splits.train[0]
    assert first == Sample(
        path="/videos/ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
        label=0,
        id="ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
    )
    for sample in (*splits.train, *splits.test):
        assert sample.label is not None
        assert sample.id.startswith(f"{splits.classes[sample.label]}/")
    assert f"split {split} of UCF101" in splits.note


def test_videos_lie_beside_the_lists_unless_said(ucf101: Path):
    assert ucf101_split(ucf101).test[0].path == str(
        ucf101 / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g01_c01.avi"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Swimming/v_Swimming_g01_c01.avi 1", "the class 'Swimming' is none of UCF101's 101"),
        ("Archery/v_Archery_g01_c02.avi 4", "the class is number 4, but 'Archery' is number 3"),
        ("Archery/v_Archery_g01_c02.avi 0", "the class is number 0, but 'Archery' is number 3"),
        ("Archery/v_Archery_g01_c02.avi 102", "the label is 102"),
        ("Archery/v_Archery_g01_c02.avi three", "the label is 'three'"),
        ("Archery/v_Archery_g01_c02.avi", "expected the number of the class after the video"),
        ("v_Archery_g01_c02.avi 3", "expected `class/video.avi number`"),
        ("Archery/v_Archery_g08_c01.avi 3", "is already in .*trainlist01.txt, line 5"),
    ],
)
def test_a_wrong_line_of_ucf101_is_named(ucf101: Path, line: str, message: str):
    append(ucf101 / "trainlist01.txt", line)
    with pytest.raises(DataError, match=f"trainlist01.txt, line 203: .*{message}"):
        ucf101_split(ucf101)


def test_a_video_in_both_parts_is_named(ucf101: Path, hmdb51: Path):
    append(ucf101 / "testlist01.txt", "Archery/v_Archery_g08_c01.avi")
    with pytest.raises(DataError, match=r"testlist01.txt, line 102: .* already in .*trainlist01.txt, line 5"):
        ucf101_split(ucf101)
    append(hmdb51 / "wave_test_split1.txt", "April_09_[cut]_wave_0.avi 2")
    with pytest.raises(DataError, match=r"wave_test_split1.txt, line 5: .* already in .*, line 1"):
        hmdb51_split(hmdb51)


def test_a_file_of_classes_that_is_another_is_named(ucf101: Path):
    lines = (ucf101 / "classInd.txt").read_text().splitlines()
    write(ucf101 / "classInd.txt", [*lines[:4], "5 YoYo", *lines[5:]])
    with pytest.raises(DataError, match=r"classInd.txt, line 5: expected `5 BalanceBeam`.* found '5 YoYo'"):
        ucf101_split(ucf101)
    write(ucf101 / "classInd.txt", lines[:100])
    with pytest.raises(DataError, match="100 classes; UCF101 has 101"):
        ucf101_split(ucf101)


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_knows_training_test_and_unused_videos(hmdb51: Path, split: int):
    splits = hmdb51_split(hmdb51, split, videos="/videos")
    assert splits.classes == label_set("hmdb51")
    assert [sample.path for sample in splits.train[:2]] == [
        "/videos/brush_hair/April_09_[cut]_brush_hair_0.avi",
        "/videos/brush_hair/April_09_[cut]_brush_hair_3.avi",
    ]
    assert [sample.id for sample in splits.test[:1]] == ["brush_hair/April_09_[cut]_brush_hair_1.avi"]
    assert Counter(sample.label for sample in splits.train) == dict.fromkeys(range(51), 2)
    assert [sample.label for sample in splits.test] == list(range(51))


@pytest.mark.parametrize("line", ["new.avi", "new.avi 3", "new one.avi train", "new.avi -1"])
def test_a_wrong_line_of_hmdb51_is_named(hmdb51: Path, line: str):
    append(hmdb51 / "wave_test_split1.txt", line)
    with pytest.raises(DataError, match=r"wave_test_split1.txt, line 5: expected a video and 0 \(unused\)"):
        hmdb51_split(hmdb51)


def test_names_of_videos_may_hold_spaces(hmdb51: Path):
    write(hmdb51 / "wave_test_split2.txt", ["my wave (2).avi 2 ", "first.avi 1"])
    assert hmdb51_split(hmdb51, 2).test[-1].id == "wave/my wave (2).avi"


@pytest.mark.parametrize("name", ["trainlist02.txt", "testlist02.txt", "classInd.txt"])
def test_a_missing_file_of_ucf101_is_named(ucf101: Path, name: str):
    (ucf101 / name).unlink()
    with pytest.raises(DataError, match=f"{name}: cannot be read"):
        ucf101_split(ucf101, 2)


def test_a_missing_class_of_hmdb51_and_one_too_many_are_named(hmdb51: Path):
    (hmdb51 / "wave_test_split3.txt").rename(hmdb51 / "waving_test_split3.txt")
    with pytest.raises(DataError, match=r"waving_test_split3.txt: 'waving' is none of HMDB51's 51"):
        hmdb51_split(hmdb51, 3)
    (hmdb51 / "waving_test_split3.txt").unlink()
    with pytest.raises(DataError, match=r"wave_test_split3.txt: cannot be read"):
        hmdb51_split(hmdb51, 3)


@pytest.mark.parametrize("read", [ucf101_split, hmdb51_split])
def test_there_are_three_splits(read: Callable[..., object], tmp_path: Path):
    for split in (0, 4):
        with pytest.raises(ConfigError, match=f"splits 1, 2 and 3; {split} was asked for"):
            read(tmp_path, split)


def test_few_shot_learning_draws_from_a_training_part(ucf101: Path):
    splits = ucf101_split(ucf101)
    drawn = draw_few_shot(splits.train, 2, classes=splits.classes)
    assert len(drawn.samples) == 202
    with pytest.raises(DataError, match="class 'ApplyEyeMakeup' has 2 of the 4"):
        draw_few_shot(splits.train, 4, classes=splits.classes)


def test_zero_shot_k600_is_judged_by_its_160_classes_alone(tmp_path: Path):
    write(
        tmp_path / "val.csv",
        [
            "label,youtube_id,time_start,time_end,split",
            *(f'"{name}",id{i:03},0,10,validate' for i, name in enumerate(label_set("k600"))),
        ],
    )
    found = read_kinetics_csv(tmp_path / "val.csv", classes=label_set("k600"))
    wanted = k600_zero_shot(2).test
    part = restrict(found, wanted)
    assert part.classes == list(wanted)
    assert [sample.label for sample in part.samples] == list(range(160))
    for sample in part.samples:
        assert sample.label is not None
        assert f"id{label_set('k600').index(wanted[sample.label]):03}" in sample.path


def test_classes_that_cannot_be_chosen_are_named():
    samples = [Sample(path="a.mp4", label=0, id="a.mp4")]
    annotations = Annotations(samples=samples, classes=["run", "sit"])
    assert restrict(annotations, ["run"]).samples == samples
    with pytest.raises(DataError, match=r"the class 'fly' is none of the 2 .*\(1 of 2 are not\)"):
        restrict(annotations, ["run", "fly"])
    with pytest.raises(DataError, match="no video of the class 'sit'"):
        restrict(annotations, ["sit", "run"])
    with pytest.raises(DataError, match="2 classes were asked for, of which 1 are different"):
        restrict(annotations, ["run", "run"])
    with pytest.raises(DataError, match="have no names"):
        restrict(Annotations(samples=samples), ["run"])
