"""Which videos a data set has, whatever its form."""

from pathlib import Path

import pytest

from tubelet.data.dataset_parts import dataset_parts, splits_of, without
from tubelet.errors import DataError


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def test_a_folder_with_lists_has_a_part_for_each(tmp_path: Path):
    (tmp_path / "train.csv").write_text("a.mp4 0\nb.mp4 1\n")
    (tmp_path / "val.txt").write_text("c.mp4 1\na.mp4 0\n")
    (tmp_path / "classes.txt").write_text("run\nsit\n")
    train, val = dataset_parts(tmp_path)
    assert (train.name, val.name) == ("train", "val")
    assert [sample.label for sample in val.samples] == [1, 0]
    assert train.classes == ["run", "sit"]
    assert splits_of([train, val]) == {
        str(tmp_path / "a.mp4"): "train val",
        str(tmp_path / "b.mp4"): "train",
        str(tmp_path / "c.mp4"): "val",
    }


def test_without_lists_it_is_all_videos_below(tmp_path: Path):
    touch(tmp_path / "train" / "run" / "a.mp4", tmp_path / "b.webm", tmp_path / "c.txt")
    (part,) = dataset_parts(tmp_path)
    assert part.name == ""
    assert [sample.id for sample in part.samples] == ["b.webm", "train/run/a.mp4"]


def test_folders_called_as_splits_are_splits(tmp_path: Path):
    touch(*(tmp_path / name for name in ("train/run/a.mp4", "test/run/a.mp4", "other/b.mp4")))
    assert splits_of(dataset_parts(tmp_path)) == {
        str(tmp_path / "other/b.mp4"): "",
        str(tmp_path / "test/run/a.mp4"): "test",
        str(tmp_path / "train/run/a.mp4"): "train",
    }
    # Here it is a class.
    touch(tmp_path / "classes" / "test" / "a.mp4")
    assert list(splits_of(dataset_parts(tmp_path / "classes")).values()) == [""]


def test_parts_without_some_videos_keep_everything_else(tmp_path: Path):
    (tmp_path / "train.csv").write_text("path,label,split\na.mp4,x,\nb.mp4,y,val\na.mp4,z,val\n")
    touch(tmp_path / "videos" / "train" / "a.mp4", tmp_path / "videos" / "val" / "b.mp4")
    (table,) = without(dataset_parts(tmp_path), frozenset([str(tmp_path / "a.mp4")]))
    assert table.rows is not None
    assert ([row.video for row in table.rows], table.splits) == (["b.mp4"], ["val"])
    bad = frozenset([str(tmp_path / "videos" / "train" / "a.mp4")])
    parts = without(dataset_parts(tmp_path / "videos"), bad)
    assert splits_of(parts) == {str(tmp_path / "videos" / "val" / "b.mp4"): "val"}


def test_tables_have_the_names_of_a_classes_txt_beside_them(tmp_path: Path):
    (tmp_path / "train.csv").write_text("path,label,split\na.mp4,b,train\n")
    (tmp_path / "classes.txt").write_text("b\na\n")
    (part,) = dataset_parts(tmp_path)
    assert part.classes == ["b", "a"]


def test_pictures_count_where_there_are_no_videos(tmp_path: Path):
    touch(tmp_path / "cat" / "a.jpg")
    (part,) = dataset_parts(tmp_path)
    assert [sample.id for sample in part.samples] == ["cat/a.jpg"]


def test_one_list_and_one_video_are_data_sets_too(tmp_path: Path):
    touch(tmp_path / "a.mp4")
    (tmp_path / "ages.csv").write_text("a.mp4,1.5\nb.mp4,2\n")
    (part,) = dataset_parts(tmp_path / "ages.csv")
    assert (part.name, [sample.value for sample in part.samples]) == ("ages", [1.5, 2.0])
    (part,) = dataset_parts(tmp_path / "a.mp4")
    assert [sample.path for sample in part.samples] == [str(tmp_path / "a.mp4")]


def test_a_list_without_labels_is_one(tmp_path: Path):
    (tmp_path / "all.txt").write_text("a b.mp4\nc.mp4\n")
    (part,) = dataset_parts(tmp_path / "all.txt")
    assert [sample.id for sample in part.samples] == ["a b.mp4", "c.mp4"]


def test_what_is_no_data_set_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="gone: no such file or folder"):
        dataset_parts(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no videos .* and no train\.csv"):
        dataset_parts(tmp_path)
    (tmp_path / "train.csv").write_text("a.mp4 1\na.mp4 2\n")
    with pytest.raises(DataError, match=r"line 2: 'a\.mp4' has the label 2, but 1 in line 1"):
        dataset_parts(tmp_path)
