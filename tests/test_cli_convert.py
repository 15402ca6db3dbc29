"""Published files of all families through the command line, to a prediction."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_cli import error_line, tubelet
from tubelet.config import read_toml
from tubelet.inference.load import load
from tubelet.models import VARIANTS, build_model, clip, videomamba
from tubelet.weights.convert import FAMILIES
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint

VIDEO = videomamba.EncoderConfig(dim=16, depth=1)
IMAGE = replace(VIDEO, num_frames=1, time_position=False)
CONFIGS: dict[str, Any] = {
    "video": videomamba.ClassifierConfig(encoder=VIDEO, num_classes=3),
    "image": videomamba.ClassifierConfig(encoder=IMAGE, num_classes=3),
    "tower": clip.ImageTowerConfig(dim=64, depth=1, num_heads=1, embed_dim=4, tubelet=(1, 32, 32)),
}


def published(name: str, folder: Path) -> Path:
    """A file as its authors would have left it."""
    config = CONFIGS[name]
    export(Checkpoint(config, build_model(config).state_dict()), folder, "official")
    return folder / "checkpoint.pth"


@pytest.mark.parametrize(("name", "frames", "views"), [("video", 8, (4, 3)), ("image", 1, (1, 1))])
def test_a_published_videomamba_is_converted_and_classifies(
    name: str,
    frames: int,
    views: tuple[int, int],
    motions: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    source, ours, back = published(name, tmp_path), tmp_path / "ours", tmp_path / "back"
    (tmp_path / "names").write_text("left\nright\nup\n")
    assert tubelet("convert", source, ours, "--labels", tmp_path / "names") == 0
    assert "note: taken for a VideoMamba" in capsys.readouterr().out
    spec = load(ours).input
    assert (spec.num_frames, spec.image_size, spec.sampling) == (frames, 224, "uniform")
    assert (spec.num_clips, spec.num_crops) == views
    video = next((motions / "videos").rglob("test*.mp4"))
    assert tubelet("predict", ours, video, "--json", "--device", "cpu") == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["labels"]) == ["left", "right", "up"]
    assert sum(found["scores"]) == pytest.approx(1)
    assert tubelet("export", ours, back, "--to", "official") == 0
    again, first = (torch.load(file, weights_only=True) for file in (back / "checkpoint.pth", source))
    again, first = again.get("model", again), first.get("model", first)
    assert again.keys() == first.keys()
    assert all(torch.equal(again[key], value) for key, value in first.items())


def test_a_videomambapro_is_named_and_not_remarked_upon(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    sizes = ("encoder.dim=16", "encoder.depth=1", "num_classes=3", "encoder.mixer.scan_input=raw")
    arguments = (published("image", tmp_path), tmp_path / "ours", "--model", "videomambapro_tiny_image")
    assert tubelet("convert", *arguments, *sizes) == 0
    assert "note:" not in capsys.readouterr().out
    mixer = read_checkpoint(tmp_path / "ours").config.encoder.mixer
    assert (mixer.initial_state, mixer.scan_input) == ("first", "raw")


def test_a_clip_tower_is_converted_with_its_pixels(tmp_path: Path):
    assert tubelet("convert", published("tower", tmp_path), tmp_path / "ours") == 0
    loaded = load(tmp_path / "ours")
    assert loaded.labels == ()
    assert (loaded.input.num_frames, loaded.input.mean[0]) == (1, 0.48145466)
    assert tubelet("export", tmp_path / "ours", tmp_path / "hf", "--to", "hf") == 0
    assert tubelet("convert", tmp_path / "hf", tmp_path / "back") == 0
    ours, back = (read_toml(tmp_path / name / "config.toml") for name in ("ours", "back"))
    assert (ours["model"], ours["input"]) == (back["model"], back["input"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--model", "videomae_base"),
            "holds a videomamba_classifier; the config is of a videomae_classifier",
        ),
        (("--model", "videomamba_tiny_image"), "surplus: encoder.time_position"),
        (("--model", "videomamba_tin"), "did you mean videomamba_tiny"),
        (("encoder.num_frames=16",), "need --model"),
        (("input.num_frames=16",), "feeds 16 frames of 224 pixels to a model made for 8"),
    ],
)
def test_a_wrong_setting_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("convert", published("video", tmp_path), tmp_path / "ours", *arguments) == 1
    assert message in error_line(capsys)
    assert not (tmp_path / "ours").exists()


def test_a_file_of_no_known_family_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "vgg.pth")
    assert tubelet("convert", tmp_path / "vgg.pth", tmp_path / "ours") == 1
    line = error_line(capsys)
    assert f"not the keys of a model known here ({', '.join(FAMILIES)}): features.0.weight" in line
    (tmp_path / "text.pth").write_text("not weights")
    assert tubelet("convert", tmp_path / "text.pth", tmp_path / "ours") == 1
    assert "no PyTorch file, or a damaged one" in error_line(capsys)


def test_all_models_are_listed_whole(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models") == 0
    listed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in listed.splitlines()}
    assert rows.keys() >= VARIANTS.keys()
    assert "images" in rows["videomambapro_middle_image"]
    assert "image tower" in rows["clip_l14_336_image"]
    assert "1 × 336²" in rows["clip_l14_336_image"]


def test_names_of_folders_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    ours, back = tmp_path / "exp[" / "]ours", tmp_path / "exp[" / "]back"
    assert tubelet("convert", published("image", tmp_path), ours) == 0
    assert str(ours) in capsys.readouterr().out
    assert tubelet("export", ours, back, "--to", "official") == 0
    assert f"{back}: official layout of {ours}" in capsys.readouterr().out
