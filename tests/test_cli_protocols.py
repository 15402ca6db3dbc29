"""`tubelet zero-shot`, `tubelet lists`, and `tubelet evaluate` by the names of classes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from tests.inference.words import save_xclip
from tests.test_cli import error_line, tubelet
from tubelet.cli import protocols
from tubelet.data.encode import write_mp4
from tubelet.data.label_sets import k600_zero_shot, label_set
from tubelet.data.protocols import ZeroShotPart
from tubelet.data.sample import Annotations, Sample
from tubelet.data.splits import find_splits
from tubelet.data.transforms import to_model
from tubelet.inference.classify import test_views as views_of
from tubelet.inference.load import load
from tubelet.inference.named_classes import named_classifier
from tubelet.models.xclip import XCLIP
from tubelet.text.prompts import TEMPLATES, Wording
from tubelet.text.tokenizer import ClipTokenizer


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


def told(model: Path, video: Path, classes: Sequence[str]) -> int:
    """The class of a video by another way than the commands go."""
    loaded = load(model)
    assert isinstance(loaded.model, XCLIP)
    tokens = ClipTokenizer()(classes, loaded.config.text.context_length)
    with torch.inference_mode():
        texts = loaded.model.text_features(tokens)
        views = torch.cat([to_model(clip) for clip in views_of(loaded, video)])
        return int(loaded.model(views, texts).softmax(dim=1).mean(dim=0).argmax())


def noise(path: Path, seed: int) -> Path:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (4, 3, 4, 4), generator=generator, dtype=torch.uint8)
    write_mp4(path, pixels.repeat_interleave(8, 2).repeat_interleave(8, 3), fps=4)
    return path


def test_zero_shot_says_what_the_model_says_of_names_in_their_order(model: Path, tmp_path: Path):
    classes = label_set("hmdb51")
    for name in classes:
        (tmp_path / name.replace(" ", "_")).mkdir()
    lines: dict[str, list[str]] = {name: ["train.mp4 1"] for name in classes}
    for seed in range(6):
        video = noise(tmp_path / f"{seed}.mp4", seed)
        name = classes[told(model, video, classes)]
        video.rename(tmp_path / name.replace(" ", "_") / video.name)
        lines[name].append(f"{video.name} 2")
    assert len([name for name in classes if len(lines[name]) > 1]) > 1  # not always the same one
    for name in classes:
        for split in (1, 2, 3):
            text = "\n".join(lines[name])
            (tmp_path / f"{name.replace(' ', '_')}_test_split{split}.txt").write_text(text)
    said = tmp_path / "said.json"
    command = ("zero-shot", model, "hmdb51", "--videos", tmp_path, "--json", said, "--device", "cpu")
    assert tubelet(*command) == 0
    assert json.loads(said.read_text())["top1"] == {"mean": 1.0, "deviation": 0.0}
    assert tubelet(*command, "input.num_clips=1") == 0
    assert json.loads(said.read_text())["input"]["num_clips"] == 1


@pytest.mark.parametrize("options", [(), ("--spoken", "--templates", "ucf")])
def test_wordings_reach_the_model(
    options: tuple[str, ...], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Wording] = []
    monkeypatch.setattr(
        protocols, "named_classifier", lambda *given: (seen.append(given[2]), named_classifier(*given))[1]
    )
    sample = Sample(path=str(noise(tmp_path / "video.mp4", 1)), label=0, id="video.mp4")
    annotations = Annotations(samples=[sample], classes=["ApplyLipstick", "Archery"])
    parts = [ZeroShotPart(name=name, annotations=annotations) for name in ("one", "two")]
    monkeypatch.setattr(protocols, "zero_shot_parts", lambda *_: parts)
    assert tubelet("zero-shot", model, "ucf101", "--videos", tmp_path, *options, "--device", "cpu") == 0
    assert seen == 2 * [Wording(templates=TEMPLATES["ucf"], spoken=True) if options else Wording()]


def test_evaluating_says_what_the_model_says(model: Path, tmp_path: Path, capsys):
    classes = label_set("hmdb51")[:20]
    found = set()
    for name in classes:
        (tmp_path / "set" / "test" / name).mkdir(parents=True)
    for seed in range(8):
        video = noise(tmp_path / f"{seed}.mp4", seed)
        name = classes[told(model, video, classes)]
        video.rename(tmp_path / "set" / "test" / name / video.name)
        found.add(name)
    assert len(found) > 1
    for name in set(classes) - found:
        (tmp_path / "set" / "test" / name).rmdir()
    (tmp_path / "set" / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    assert tubelet("evaluate", model, "--data", tmp_path / "set", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    assert "100.0%" in shown
    assert "2 clips × 3 crops of 4 frames" in shown


def test_labels_beyond_a_models_own_names_are_refused(hmdb51: Path, tmp_path: Path, capsys):
    named = save_xclip(tmp_path / "named")
    config = named / "config.toml"
    config.write_text(config.read_text().replace("labels = []", 'labels = ["run", "jump"]'))
    (tmp_path / "test.csv").write_text(f"{hmdb51}/grey.mp4 7\n")
    assert tubelet("evaluate", named, "--data", tmp_path, "--device", "cpu") == 1
    assert "7" in error_line(capsys)


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
