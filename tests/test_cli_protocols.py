"""`tubelet zero-shot`, `tubelet lists`, and `tubelet evaluate` by the names of classes."""

import json
from pathlib import Path

import pytest
import torch

from tests.inference.words import save_xclip
from tests.test_cli import error_line, tubelet
from tubelet.data.encode import write_mp4
from tubelet.data.label_sets import k600_zero_shot, label_set
from tubelet.data.splits import find_splits


@pytest.fixture(scope="module")
def hmdb51(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every class with two videos to learn from and one to test with, which are all the same few grey frames."""
    folder = tmp_path_factory.mktemp("hmdb51")
    frames = torch.full((4, 3, 32, 32), 128, dtype=torch.uint8)
    write_mp4(folder / "grey.mp4", frames, fps=4)
    for name in label_set("hmdb51"):
        directory = folder / name.replace(" ", "_")
        directory.mkdir()
        for i in range(3):
            (directory / f"{i}.mp4").hardlink_to(folder / "grey.mp4")
        for split in (1, 2, 3):
            lines = "".join(f"{i}.mp4 {2 if i == split - 1 else 1} \n" for i in range(3))
            (folder / f"{directory.name}_test_split{split}.txt").write_text(lines)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_xclip(tmp_path_factory.mktemp("model"))


def test_zero_shot_tells_three_splits_and_their_mean(hmdb51: Path, model: Path, tmp_path: Path, capsys):
    said = tmp_path / "said.json"
    assert tubelet("zero-shot", model, "hmdb51", "--videos", hmdb51, "--json", said, "--device", "cpu") == 0
    found = json.loads(said.read_text())
    assert set(found["parts"]) == {"split 1", "split 2", "split 3"}
    # All videos are the same, so one class is right and 50 are wrong, whatever the model says.
    for part in found["parts"].values():
        assert part["num_videos"] == 51
        assert part["top1"] == pytest.approx(1 / 51)
    assert found["top1"] == {"mean": pytest.approx(1 / 51), "deviation": pytest.approx(0)}
    assert "2.0 ± 0.0 %" in capsys.readouterr().out


def test_zero_shot_of_kinetics_600_chooses_among_160_names(model: Path, hmdb51: Path, tmp_path: Path):
    classes = sorted({name for i in (1, 2, 3) for name in k600_zero_shot(i).test})
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    for i in range(len(classes)):
        (tmp_path / f"{i}.mp4").hardlink_to(hmdb51 / "grey.mp4")
    (tmp_path / "test.csv").write_text("".join(f"{i}.mp4 {i}\n" for i in range(len(classes))))
    said = tmp_path / "said.json"
    assert tubelet("zero-shot", model, "k600", "--videos", tmp_path, "--json", said, "--device", "cpu") == 0
    parts = json.loads(said.read_text())["parts"]
    assert [part["num_videos"] for part in parts.values()] == [160] * 3
    assert [part["top5"] for part in parts.values()] == pytest.approx([5 / 160] * 3)


def test_lists_are_what_training_reads(hmdb51: Path, tmp_path: Path, capsys):
    out = tmp_path / "lists"
    assert tubelet("lists", "hmdb51", "--videos", hmdb51, "--split", 2, "--shots", 1, "--out", out) == 0
    assert "51 classes, 51 videos to learn from, 51 to test with" in capsys.readouterr().out
    splits = find_splits(out)
    assert splits.classes == label_set("hmdb51")
    assert {Path(sample.path).name for sample in splits.test} == {"1.mp4"}
    assert {Path(sample.path).name for sample in splits.train} <= {"0.mp4", "2.mp4"}
    assert [sample.label for sample in splits.train] == list(range(51))


def test_evaluating_goes_by_the_names_that_the_data_has(hmdb51: Path, model: Path, tmp_path: Path, capsys):
    for name in ("riding a bike", "cooking"):
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
        (tmp_path / "set" / "test" / name / "a.mp4").hardlink_to(hmdb51 / "grey.mp4")
    assert tubelet("evaluate", model, "--data", tmp_path / "set", "--device", "cpu") == 0
    assert "50.0%" in capsys.readouterr().out


def test_evaluating_by_numbers_alone_is_refused(hmdb51: Path, model: Path, tmp_path: Path, capsys):
    (tmp_path / "test.csv").write_text(f"{hmdb51}/grey.mp4 0\n")
    assert tubelet("evaluate", model, "--data", tmp_path, "--device", "cpu") == 1
    assert "classes without names" in error_line(capsys)


def test_a_missing_list_is_named(model: Path, tmp_path: Path, capsys):
    assert tubelet("zero-shot", model, "ucf101", "--videos", tmp_path, "--device", "cpu") == 1
    assert "classInd.txt" in error_line(capsys)
