from pathlib import Path

import pytest

from tests.data.test_manifest import pairs, touch
from tubelet.data.class_folders import read_class_folders
from tubelet.data.manifest import read_annotations
from tubelet.errors import DataError


def test_pictures_are_samples_where_there_are_no_videos(tmp_path: Path):
    touch(tmp_path / "train/n02/b.JPEG", tmp_path / "train/n01/a.png", tmp_path / "val/n02/c.jpg")
    train, val = read_annotations(tmp_path), read_annotations(tmp_path, "val")
    assert train.classes == val.classes == ["n01", "n02"]
    assert pairs(train.samples) == [("n01/a.png", 0), ("n02/b.JPEG", 1)]
    assert pairs(val.samples) == [("n02/c.jpg", 1)]


def test_pictures_beside_videos_are_left_alone(tmp_path: Path):
    touch(tmp_path / "run/1.mp4", tmp_path / "run/1.jpg", tmp_path / "walk/thumbnail.jpg")
    found = read_class_folders(tmp_path)
    assert (found.classes, pairs(found.samples)) == (["run"], [("run/1.mp4", 0)])


def test_one_video_among_many_pictures_is_refused_with_both_numbers(tmp_path: Path):
    touch(tmp_path / "run/1.mp4", *(tmp_path / f"walk/{i}.jpg" for i in range(5)))
    with pytest.raises(DataError, match=r"hold 1 videos \(run/1.mp4, …\) and 5 pictures"):
        read_class_folders(tmp_path)


def test_folders_of_frames_are_not_taken_for_pictures_to_classify(tmp_path: Path):
    touch(tmp_path / "run/video1/0001.jpg")
    with pytest.raises(DataError, match="frames of videos need a list with `folder total_frames label`"):
        read_class_folders(tmp_path)


def test_a_list_of_pictures_is_a_list(tmp_path: Path):
    (tmp_path / "train.txt").write_text("n01/a.JPEG 0\nn02/b.JPEG 1\n")
    assert pairs(read_annotations(tmp_path).samples) == [("n01/a.JPEG", 0), ("n02/b.JPEG", 1)]


def test_class_folders_may_be_links_but_not_to_where_they_lie(tmp_path: Path):
    touch(tmp_path / "data/run/1.mp4", tmp_path / "elsewhere/2.mp4")
    (tmp_path / "data" / "walk").symlink_to(tmp_path / "elsewhere")
    for name, target in (("loop", tmp_path / "data"), ("above", tmp_path), ("round", "round")):
        (tmp_path / "data" / name).symlink_to(target)
    found = read_class_folders(tmp_path / "data")
    assert (found.classes, pairs(found.samples)) == (["run", "walk"], [("run/1.mp4", 0), ("walk/2.mp4", 1)])


def test_names_beside_class_folders_number_them_and_must_name_all(tmp_path: Path):
    touch(tmp_path / "train/run/1.mp4", tmp_path / "train/walk/1.mp4", tmp_path / "val/walk/2.mp4")
    (tmp_path / "classes.txt").write_text("walk\njump\nrun\n")
    for split, wanted in (("train", [("run/1.mp4", 2), ("walk/1.mp4", 0)]), ("val", [("walk/2.mp4", 0)])):
        found = read_annotations(tmp_path, split)
        assert (found.classes, sorted(pairs(found.samples))) == (["walk", "jump", "run"], wanted)
    (tmp_path / "classes.txt").write_text("walk\njump\n")
    with pytest.raises(
        DataError, match=r"'run' is none of the 2 classes in .*classes\.txt; name all there, or"
    ):
        read_annotations(tmp_path)
    (tmp_path / "classes.txt").unlink()
    touch(tmp_path / "val/swim/3.mp4")
    with pytest.raises(DataError, match=r"'swim' is none of the 2 classes in .*train$"):
        read_annotations(tmp_path, "val")
