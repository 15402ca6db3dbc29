from pathlib import Path

import pytest

from tubelet.data.manifest import Sample
from tubelet.data.splits import find_splits, hold_out, read_split
from tubelet.errors import DataError


def samples(per_class: int, num_classes: int = 3) -> list[Sample]:
    return [
        Sample(path=f"/v/{c}/{i}.mp4", label=c, id=f"{c}/{i}.mp4")
        for i in range(per_class)
        for c in range(num_classes)
    ]


def class_folders(root: Path, per_class: int) -> Path:
    for name in ("jump", "run"):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            (root / name / f"{i}.mp4").write_bytes(b"")
    return root


def write_list(path: Path, names: list[str]) -> None:
    path.write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(names)))


def test_held_out_videos_are_a_share_of_every_class():
    kept, held = hold_out(samples(10), 0.2, seed=0)
    assert [sum(s.label == c for s in held) for c in range(3)] == [2, 2, 2]
    assert {s.id for s in kept} | {s.id for s in held} == {s.id for s in samples(10)}
    assert not {s.id for s in kept} & {s.id for s in held}


def test_at_least_one_of_each_class_is_held_out_and_one_kept():
    kept, held = hold_out(samples(2), 0.1, seed=0)
    assert len(kept) == len(held) == 3


def test_the_choice_depends_on_names_and_seed_alone():
    _, held = hold_out(samples(10), 0.2, seed=0)
    _, again = hold_out(samples(10)[::-1], 0.2, seed=0)
    _, other = hold_out(samples(10), 0.2, seed=1)
    assert {s.id for s in held} == {s.id for s in again} != {s.id for s in other}


def test_a_class_of_one_video_cannot_be_held_out():
    with pytest.raises(DataError, match="class 7 has 1 video; hold out needs 2"):
        hold_out([*samples(3), Sample(path="x", label=7, id="x")], 0.2, seed=0)


def test_a_class_that_is_too_small_is_called_by_its_name(tmp_path: Path):
    (class_folders(tmp_path, 3) / "wave").mkdir()
    (tmp_path / "wave" / "1.mp4").write_bytes(b"")
    with pytest.raises(DataError, match="class 'wave' has 1 video"):
        find_splits(tmp_path)


def test_everything_must_not_be_held_out():
    kept, held = hold_out(samples(2), 0.9, seed=0)
    assert len(kept) == len(held) == 3


def test_class_folders_are_split_by_hash_and_named(tmp_path: Path):
    splits = find_splits(class_folders(tmp_path, 5))
    assert splits.classes == ("jump", "run")
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert splits.val == splits.test
    assert "20% of each class" in splits.note


def test_pre_training_holds_nothing_out(tmp_path: Path):
    splits = find_splits(class_folders(tmp_path, 5), labelled=False)
    assert (len(splits.train), splits.val, splits.test) == (10, [], [])


def test_pre_training_takes_a_folder_of_videos_as_it_is(tmp_path: Path):
    for name in ("a.mp4", "deep/b.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    splits = find_splits(tmp_path, labelled=False)
    assert [(s.id, s.label) for s in splits.train] == [("a.mp4", None), ("deep/b.mp4", None)]
    assert splits.classes == ()


@pytest.mark.parametrize(
    ("there", "val", "test"),
    [
        (("train", "val", "test"), "val", "test"),
        (("train", "val"), "val", "val"),
        (("train", "test"), "test", "test"),
    ],
)
def test_splits_that_the_data_has_are_used(tmp_path: Path, there: tuple[str, ...], val: str, test: str):
    for split in there:
        write_list(tmp_path / f"{split}.csv", [f"{split}{i}.mp4" for i in range(4)])
    splits = find_splits(tmp_path)
    assert splits.train[0].id == "train0.mp4"
    assert splits.val[0].id == f"{val}0.mp4"
    assert splits.test[0].id == f"{test}0.mp4"
    assert splits.note == f"the {test} split of {tmp_path}"


@pytest.mark.parametrize("ending", [".csv", ".txt", ".list"])
def test_a_split_is_found_whatever_its_ending(tmp_path: Path, ending: str):
    write_list(tmp_path / f"train{ending}", ["a.mp4", "b.mp4"])
    write_list(tmp_path / f"val{ending}", ["c.mp4", "d.mp4"])
    assert [s.id for s in find_splits(tmp_path).val] == ["c.mp4", "d.mp4"]


def test_a_split_that_is_not_there_is_none(tmp_path: Path):
    write_list(tmp_path / "train.csv", ["a.mp4"])
    assert read_split(tmp_path, "val") is None
    assert read_split(tmp_path / "train.csv", "val") is None
