"""Tables in the generic form, wherever lists are read: classes, splits, parts of videos, values."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.data.media_files import write_video
from tubelet.data.annotations.generic import read_generic
from tubelet.data.batch import LoadedVideo
from tubelet.data.datasets import VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.long_video import cut_windows
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Sample
from tubelet.data.splits import find_splits, hold_out, read_split
from tubelet.errors import ConfigError, DataError


def write(folder: Path, text: str, name: str = "all.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


TABLE = """\
path,start,end,label,split
a.mp4,0,1,walk,train
a.mp4,1,2,run,train
b.mp4,,,run,val
c.mp4,,,walk,test
"""


def test_one_table_has_all_splits(tmp_path: Path):
    splits = find_splits(write(tmp_path, TABLE))
    assert splits.classes == ("run", "walk")
    assert [(s.id, s.label, s.window) for s in splits.train] == [
        ("a.mp4@0-1s", 1, (0.0, 1.0)),
        ("a.mp4@1-2s", 0, (1.0, 2.0)),
    ]
    assert [(s.id, s.label) for s in (*splits.val, *splits.test)] == [("b.mp4", 0), ("c.mp4", 1)]


def test_a_table_without_splits_is_parted_and_no_video_is_on_both_sides(tmp_path: Path):
    rows = "".join(f"{i}.mp4,{s},{s + 1},{'walk' if i % 2 else 'run'}\n" for i in range(10) for s in range(3))
    splits = find_splits(write(tmp_path, f"path,start,end,label\n{rows}"))
    assert (len(splits.train), len(splits.test)) == (24, 6)
    assert not {s.path for s in splits.train} & {s.path for s in splits.test}


def test_a_class_that_is_shown_by_videos_of_others_alone_needs_a_split():
    shown = [(path, label) for label in range(12) for path in ("a", "b")]
    samples = [Sample(path=path, label=label, id=f"{path}@{label}") for path, label in shown]
    # Of two videos each class holds out one, by its own draw: with 12 classes both are soon drawn.
    with pytest.raises(DataError, match="all 2 videos would be held out, for they show other classes, too"):
        hold_out(samples, 0.5, seed=0)


def test_lists_of_splits_agree_on_the_numbers_of_their_classes(tmp_path: Path):
    write(tmp_path, '{"path": "a.mp4", "label": "run"}\n{"path": "b.mp4", "label": "walk"}\n', "train.jsonl")
    write(tmp_path, '{"path": "c.mp4", "label": "walk"}\n', "val.jsonl")
    val = read_split(tmp_path, "val")
    assert val is not None
    assert [sample.label for sample in val.samples] == [1]


def test_classes_that_are_given_number_the_labels(tmp_path: Path):
    found = read_annotations(write(tmp_path, TABLE), "train", classes=["jump", "walk", "run"])
    assert [sample.label for sample in found.samples] == [1, 2]
    with pytest.raises(
        DataError,
        match="line 2: the label is 'walk'; it must be a whole number from 0 up, or one of the 1 classes",
    ):
        read_annotations(tmp_path / "all.csv", "train", classes=["run"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.mp4,,,0,\nb.mp4,,,walk,\n", "line 3: the label 'walk' is a name, but '0' .*line 2.* a number"),
        ("a.mp4,0,1,0,\na.mp4,0,1,1,\n", "line 3: 'a.mp4' has another label in an earlier line"),
        ("a.mp4,1,1,0,\n", "line 2: starts and ends at 1 s; a part of a video lasts longer"),
        ("a.mp4,,,0,tran\n", "line 2: the split is 'tran'; it can be train, val, test, or empty"),
        ("a.mp4,,,,train\n", "line 2: a.mp4 has neither a caption, nor a question, nor a label"),
        ("a.mp4,,,1.5,train\n", "line 2: the label is '1.5'; it must be a whole number"),
    ],
)
def test_what_training_cannot_use_is_an_error_with_its_line(rows: str, message: str, tmp_path: Path):
    file = write(tmp_path, f"path,start,end,label,split\n{rows}")
    with pytest.raises(DataError, match=message):
        read_annotations(file, "train", num_classes=4)


def test_a_label_out_of_range_is_an_error(tmp_path: Path):
    file = write(tmp_path, "path,label,split\na.mp4,7,train\n")
    with pytest.raises(DataError, match="line 2: the label is 7, but 3 classes have labels from 0 to 2"):
        read_annotations(file, classes=["a", "b", "c"])


def test_pre_training_needs_no_labels_and_sees_a_video_once(tmp_path: Path):
    file = write(tmp_path, "path,label,split\na.mp4,,train\na.mp4,,train\nb.mp4,,train\n")
    assert [s.id for s in read_annotations(file, labelled=False).samples] == ["a.mp4", "b.mp4"]


def test_labels_of_a_regression_are_numbers_of_any_kind(tmp_path: Path):
    file = write(tmp_path, "path,label,split\na.mp4,1.5,train\nb.mp4,-2,train\n")
    assert [s.value for s in read_annotations(file, values=True).samples] == [1.5, -2.0]
    write(tmp_path, "path,label,split\na.mp4,x,train\n")
    with pytest.raises(DataError, match="line 2: the value is 'x'; it must be a number"):
        read_annotations(file, values=True)


def test_a_split_that_a_table_lacks_is_told_with_those_it_has(tmp_path: Path):
    file = write(tmp_path, "path,label,split\na.mp4,run,train\n")
    with pytest.raises(DataError, match="no line is of the split 'test'; there are train"):
        read_annotations(file, "test")


def test_boxes_are_not_for_classification(tmp_path: Path):
    file = write(tmp_path, "path,start,end,label,x1,y1,x2,y2\na.mp4,1,1,run,0,0,1,1\n")
    with pytest.raises(DataError, match="line 2: has a box"):
        read_annotations(file)


def planned(samples: list[Sample], *frames: int) -> list[Tensor]:
    """Frames of each sample, counted from its start or, where negative, from its end."""

    def plan(length: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.tensor([[frame % length for frame in frames]])

    def transform(clip: Tensor, generator: torch.Generator) -> Tensor:
        return clip.transpose(0, 1)[None, :, :, :48, :48]

    data = VideoDataset(samples=samples, plan=plan, transform=transform, random=False)
    loaded = [data[(0, i)] for i in range(len(samples))]
    return [video.pixels for video in loaded if isinstance(video, LoadedVideo)]


def test_clips_lie_between_start_and_end(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 40, fps=10)
    file = write(tmp_path, "path,start,end,label\na.mp4,1,1.9,run\na.mp4,3,3.9,walk\n")
    first, second = planned(read_annotations(file).samples, 0, -1)
    whole = Sample(path=str(tmp_path / "a.mp4"), label=0, id="a")
    (frames,) = planned([whole], 10, 19, 30, 39)
    assert torch.equal(torch.cat([first, second], dim=2), frames)


def test_parts_of_videos_are_not_cut_into_windows_again():
    part = Sample(path="a.mp4", label=0, id="a.mp4@0-1s", window=(0.0, 1.0))
    with pytest.raises(ConfigError, match=r"the list names a part of one \(a\.mp4@0-1s\)"):
        cut_windows([part], InputSpec(window_seconds=1.0))


def test_every_list_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []

    def counted(files: list[Path]) -> object:
        read.extend(file.name for file in files)
        return read_generic(files)

    monkeypatch.setattr("tubelet.data.described.read_generic", counted)
    find_splits(write(tmp_path, TABLE))
    assert read == ["all.csv"]
    read.clear()
    folder = tmp_path / "folder"
    folder.mkdir()
    for split in ("train", "val", "test"):
        write(folder, f"path,caption\n{split}.mp4,a dog\n", f"{split}.csv")
    splits = find_splits(folder)
    assert [s.id for s in (*splits.train, *splits.val, *splits.test)] == ["train.mp4", "val.mp4", "test.mp4"]
    assert sorted(read) == ["test.csv", "train.csv", "val.csv"]


def test_an_official_list_of_several_splits_is_not_learned_from_as_one(tmp_path: Path):
    lines = ["label,youtube_id,time_start,time_end,split", "run,abc,0,10,train", "run,def,0,10,validate"]
    file = write(tmp_path, "\n".join(lines), "k400.csv")
    with pytest.raises(
        DataError, match=r"several splits \(train, validate\).*data convert kinetics k400.csv"
    ):
        find_splits(file)
    write(tmp_path, "\n".join(lines[:2]), "k400.csv")
    assert [sample.id for sample in read_annotations(file).samples] == ["abc_000000_000010.mp4"]
