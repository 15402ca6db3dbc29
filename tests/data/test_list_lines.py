"""Lists that say more than a label: numbers to predict, and how long videos are."""

from pathlib import Path

import pytest

from tubelet.data.manifest import read_annotations
from tubelet.data.splits import find_splits
from tubelet.errors import DataError


def written(folder: Path, text: str, name: str = "train.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("delimiter", [",", " ", "\t"])
def test_long_videos_come_with_their_seconds(tmp_path: Path, delimiter: str):
    text = "a b.mp4,0,130.5\nc.mp4,3,45\n".replace(",", delimiter)
    found = read_annotations(written(tmp_path, text)).samples
    assert [(s.id, s.label, s.seconds) for s in found] == [("a b.mp4", 0, 130.5), ("c.mp4", 3, 45.0)]


def test_folders_of_frames_keep_their_meaning(tmp_path: Path):
    (sample,) = read_annotations(written(tmp_path, "clips/run,60,3\n")).samples
    assert (sample.num_frames, sample.label, sample.seconds) == (60, 3, None)


def test_a_regression_reads_numbers_of_any_kind(tmp_path: Path):
    text = "a.mp4,-1.5,60.0\nb.mp4,3,61\nc.mp4,2e-3,70\n"
    found = read_annotations(written(tmp_path, text), values=True).samples
    assert [(s.value, s.label) for s in found] == [(-1.5, None), (3.0, None), (0.002, None)]
    found = read_annotations(written(tmp_path, "path,value\na.mp4,1e5\n"), values=True).samples
    assert [s.value for s in found] == [100000.0]
    (sample,) = read_annotations(written(tmp_path, "clips/run 60 0.25\n"), values=True).samples
    assert (sample.num_frames, sample.value) == (60, 0.25)


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("a.mp4,much\n", True, "line 1: the label is 'much'; it must be a number"),
        ("a.mp4,0.5\na.mp4,0.7\n", True, r"line 2: 'a\.mp4' has the label 0\.7, but 0\.5 in line 1"),
        ("a.mp4,1e999\n", True, "line 1: the value is '1e999'; it must be a number"),
        ("a.mp4,1.2.3\n", True, r"line 1: the value is '1\.2\.3'"),
        ("a.mp4,0,0\n", False, "line 1: the duration is '0'; it must be a number of seconds above 0"),
        ("a.mp4,0.5,60\n", False, r"line 1: the label is '0\.5'; it must be a whole number"),
    ],
)
def test_what_is_no_number_is_an_error_naming_the_line(tmp_path: Path, text: str, values: bool, message: str):
    with pytest.raises(DataError, match=message):
        read_annotations(written(tmp_path, text), values=values)


def test_class_folders_and_names_have_no_values(tmp_path: Path):
    (tmp_path / "set/run").mkdir(parents=True)
    (tmp_path / "set/run/1.mp4").touch()
    with pytest.raises(DataError, match="a regression learns from lists"):
        read_annotations(tmp_path / "set", values=True)
    kinetics = written(tmp_path, "label,youtube_id,time_start,time_end,split\nrun,a,0,10,train\n", "k.csv")
    with pytest.raises(DataError, match="names classes; a regression needs"):
        read_annotations(kinetics, values=True)


def test_a_regression_holds_out_a_share_of_all_videos(tmp_path: Path):
    written(tmp_path, "".join(f"{i}.mp4,{i / 7}\n" for i in range(10)))
    splits = find_splits(tmp_path, values=True)
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert splits.note.startswith("20% of the videos of")
    with pytest.raises(DataError, match=r"a\.mp4 is the only video; hold out needs 2"):
        find_splits(written(tmp_path, "a.mp4,0.5\n"), values=True)
