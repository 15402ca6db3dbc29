"""Classes keep their numbers in a prepared data set, also where all videos of one are bad."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data.media_files import write_video
from tests.data.preparing.test_prepare import run
from tubelet.data.dataset_parts import dataset_parts, without
from tubelet.data.manifest import read_annotations
from tubelet.data.preparing.class_names import class_names, emptied_classes

GOOD = ("fly/1.mp4", "jump/1.mp4", "walk/1.mp4")


def class_folders(root: Path) -> Path:
    """Three classes of one video each, that of `jump` broken."""
    for name in GOOD:
        (root / name).parent.mkdir(parents=True)
        write_video(root / name, 2)
    (root / "jump" / "1.mp4").write_text("<html>")
    return root


def table(root: Path) -> Path:
    class_folders(root)
    lines = "".join(f"{name},{name.split('/')[0]}\n" for name in GOOD)
    (root / "train.csv").write_text(f"path,label\n{lines}")
    return root


@pytest.mark.parametrize("make", [class_folders, table])
def test_a_class_without_a_good_video_is_told_and_leaves_the_numbers_of_others(
    make: Callable[[Path], Path], tmp_path: Path
):
    source, out = make(tmp_path / "old"), tmp_path / "new"
    before = {sample.id: sample.label for sample in read_annotations(source).samples}
    assert run(source, out).emptied_classes == ["jump"]
    found = read_annotations(out)
    assert found.classes == ["fly", "jump", "walk"]
    assert {sample.id: sample.label for sample in found.samples} == {
        name: before[name] for name in ("fly/1.mp4", "walk/1.mp4")
    }
    write_video(source / "jump" / "1.mp4", 2)  # good at last
    assert run(source, out).emptied_classes == []
    assert {sample.id: sample.label for sample in read_annotations(out).samples} == before


def test_class_folders_in_splits_are_numbered_by_those_to_train_on(tmp_path: Path):
    source, out = tmp_path / "old", tmp_path / "new"
    class_folders(source / "train")
    (source / "val" / "jump").mkdir(parents=True)
    write_video(source / "val" / "jump" / "2.mp4", 2)
    assert run(source, out).emptied_classes == ["jump"]
    assert [sample.label for sample in read_annotations(out, "val").samples] == [1]


def test_names_beside_class_folders_number_them_before_and_after(tmp_path: Path):
    source, out = class_folders(tmp_path / "old"), tmp_path / "new"
    (source / "classes.txt").write_text("walk\njump\nfly\n")
    assert [sample.label for sample in read_annotations(source).samples] == [2, 1, 0]
    run(source, out)
    assert [sample.label for sample in read_annotations(out).samples] == [2, 0]


def test_what_is_skipped_from_a_table_leaves_the_numbers_alone(tmp_path: Path):
    source = table(tmp_path / "old")
    parts = without(dataset_parts(source), frozenset({str(source / "jump" / "1.mp4")}))
    assert class_names(parts, source) == ["fly", "jump", "walk"]
    everything = [sample.path for part in parts for sample in part.samples]
    assert emptied_classes(parts, source, everything) == ["jump"]


def test_folders_without_classes_and_lists_of_numbers_have_no_names(tmp_path: Path):
    source = class_folders(tmp_path / "old")
    write_video(source / "stray.mp4", 2)
    assert class_names(dataset_parts(source), source) == []
    (source / "train.csv").write_text("fly/1.mp4 0\nwalk/1.mp4 2\n")
    assert class_names(dataset_parts(source), source) == []
    assert emptied_classes(dataset_parts(source), source, []) == []
