"""UniFormerV2, ViCLIP and InternVideo as a user meets them: a published file, converted, in every command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.words import INTERNVIDEO_TINY, VICLIP_TINY, XCLIP_TINY, random_words
from tests.test_cli import error_line, tubelet
from tubelet.cli import protocols
from tubelet.config import read_toml
from tubelet.data.label_sets import label_set
from tubelet.data.manifest import read_annotations
from tubelet.data.protocols import ZeroShotPart
from tubelet.inference.load import load
from tubelet.models import build_model
from tubelet.models.caption_decoder import CaptionConfig
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.models.uniformerv2 import ClassifierConfig, EncoderConfig
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint
from tubelet.weights.uniformerv2 import published_input

# Heads of published towers have 64 channels, which is how a file without settings is read.
TEXT = replace(XCLIP_TINY.text, dim=64, num_heads=1, embed_dim=64)
VIDEO = replace(INTERNVIDEO_TINY.video, dim=64, num_heads=1, num_frames=8)
CONFIGS: dict[str, Any] = {
    "viclip": replace(
        VICLIP_TINY, image=replace(VICLIP_TINY.image, dim=64, num_heads=1, embed_dim=64), text=TEXT
    ),
    "internvideo": replace(INTERNVIDEO_TINY, video=VIDEO, text=TEXT),
}
UNIFORMERV2 = ClassifierConfig(
    encoder=EncoderConfig(
        dim=64, depth=2, num_heads=1, patch_size=16, image_size=32, num_frames=8, global_layers=(0, 1)
    ),
    num_classes=400,
)
LABELS = "running a race, slicing an onion, playing the cello"


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted published file of a model of videos and texts."""
    folder = tmp_path_factory.mktemp(request.param)
    export(random_words(CONFIGS[request.param]), folder / "published", "official")
    assert tubelet("convert", folder / "published" / "checkpoint.pth", folder / "ours") == 0
    return folder / "ours"


@pytest.fixture(scope="module")
def uniformerv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("uniformerv2")
    state = {key: torch.randn_like(v) * 0.2 for key, v in build_model(UNIFORMERV2).state_dict().items()}
    export(Checkpoint(UNIFORMERV2, state), folder / "published", "official")
    return folder / "published" / "checkpoint.pth"


@pytest.fixture
def video(motions: Path) -> str:
    return read_annotations(motions, "test").samples[0].path


def test_a_uniformerv2_names_classes_in_its_own_order(
    uniformerv2: Path, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ours = tmp_path / "ours"
    assert tubelet("convert", uniformerv2, ours) == 0
    said = capsys.readouterr().out
    assert "by its 400 classes taken for a model of k400" in said
    assert "classes are named in the order of k400_uniformerv2" in said
    assert read_toml(ours / "config.toml")["labels"][:1] == ["riding a bike"]
    fed = load(ours).input
    assert (fed.mean, fed.std, fed.sampling, fed.num_clips) == ((0.45,) * 3, (0.225,) * 3, "uniform", 4)
    assert tubelet("predict", ours, video, "--json", "--top", 400) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["labels"]) == sorted(label_set("k400"))


def test_a_card_and_names_are_given_on_the_command_line(
    uniformerv2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "names.txt").write_text("\n".join(f"class {i:03}" for i in range(400)))
    words = ("--card", "k400_32x32", "--labels", tmp_path / "names.txt")
    assert tubelet("convert", uniformerv2, tmp_path / "ours", *words) == 0
    assert "taken for" not in capsys.readouterr().out
    loaded = load(tmp_path / "ours")
    assert (loaded.input.num_frames, loaded.input.num_clips, loaded.labels[0]) == (32, 2, "class 000")
    assert tubelet("convert", uniformerv2, tmp_path / "b", "--card", "ssv2") == 1
    assert "card ssv2: ssv2 has 174 classes, and the model 400" in error_line(capsys)
    assert not (tmp_path / "b").exists()


def test_feeding_otherwise_than_the_card_says_is_told_once(
    uniformerv2: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    mean = "input.mean=[0.5, 0.45, 0.4]"
    told = "mean is (0.5, 0.45, 0.4) and not (0.45, 0.45, 0.45)"
    assert tubelet("convert", uniformerv2, tmp_path / "odd", mean) == 0
    assert f"fed otherwise than published: {told}" in " ".join(capsys.readouterr().out.split())
    assert tubelet("convert", uniformerv2, tmp_path / "ours", "input.num_clips=1") == 0
    assert "fed otherwise" not in capsys.readouterr().out
    judged = ("evaluate", tmp_path / "ours", "--data", motions, "--split", "test", "input.num_crops=1")
    tubelet(*judged, mean)
    assert capsys.readouterr().err.count(told) == 1
    tubelet(*judged)
    assert "fed otherwise" not in capsys.readouterr().err


def test_names_of_classes_survive_a_layout_that_has_no_room_for_them(
    uniformerv2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    names = tmp_path / "names.txt"
    names.write_text("\n".join(label_set("k400")))  # not in the order in which published heads have them
    assert tubelet("convert", uniformerv2, tmp_path / "ours", "--labels", names) == 0
    assert tubelet("export", tmp_path / "ours", tmp_path / "theirs", "--to", "official") == 0
    assert "no room for the names of classes; --labels" in capsys.readouterr().out
    back = ("--labels", tmp_path / "theirs" / "labels.txt")
    assert tubelet("convert", tmp_path / "theirs" / "checkpoint.pth", tmp_path / "back", *back) == 0
    assert load(tmp_path / "back").labels == load(tmp_path / "ours").labels == label_set("k400")


def test_a_model_whose_classes_have_no_names_is_judged_with_a_word(
    motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = replace(UNIFORMERV2, num_classes=2)
    state = build_model(config).state_dict()
    for labels, told in (((), True), (tuple(read_annotations(motions, "test").classes or ()), False)):
        folder = tmp_path / str(told)
        save_checkpoint(folder, Checkpoint(config, state, labels, {"input": published_input(config)}))
        assert tubelet("evaluate", folder, "--data", motions, "--clips", 1, "--crops", 1) == 0
        assert ("taken to be the data's in this order" in capsys.readouterr().err) == told


def test_words_of_ones_own_are_scored(model: Path, video: str, capsys: pytest.CaptureFixture[str]):
    words = ("--model", model, "--labels", LABELS, "--json", "-")
    assert tubelet("classify", video, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert {score["label"] for score in found["scores"]} == set(LABELS.split(", "))
    assert not found["prompted"]
    assert tubelet("predict", model, video) == 1
    assert "has no classes of its own; give it words" in error_line(capsys)


def test_a_long_video_becomes_a_timeline(
    model: Path, video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    picture = tmp_path / "times.svg"
    words = ("--model", model, "--labels", LABELS, "--window", 0.5, "--timeline", picture, "--json", "-")
    assert tubelet("classify", video, *words) == 0
    assert json.loads(capsys.readouterr().out)["windows"]
    assert picture.read_text().startswith("<svg")


def test_videos_are_indexed_and_found(
    model: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    index = tmp_path / "index"
    assert tubelet("index", motions / "videos", "--model", model, "--out", index) == 0
    capsys.readouterr()
    assert tubelet("search", index, "something moves", "--model", model, "--top", 3, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["matches"]) == 3
    assert tubelet("search", index, "something", "--model", model, "--rerank", 2) == 1
    assert "makes no prompts, so there is nothing to re-rank by" in error_line(capsys)
    assert tubelet("index", motions / "videos", "--model", model, "--out", index, "--keep-places") == 1
    assert "makes no prompts, so there are no places to keep" in error_line(capsys)


def test_videos_are_judged_by_the_names_of_their_classes(
    model: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("evaluate", model, "--data", motions, "--json", tmp_path / "found.json") == 0
    assert json.loads((tmp_path / "found.json").read_text())["num_videos"] == 4


def test_zero_shot_protocols_judge_by_names(
    model: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    annotations = read_annotations(motions, "test")
    parts = [ZeroShotPart(name=name, annotations=annotations) for name in ("split 1", "split 2")]
    monkeypatch.setattr(protocols, "zero_shot_parts", lambda *_: parts)
    said = tmp_path / "said.json"
    assert tubelet("zero-shot", model, "hmdb51", "--videos", motions, "--json", said) == 0
    found = json.loads(said.read_text())
    assert found["input"]["sampling"] == load(model).input.sampling
    assert [part["num_videos"] for part in found["parts"].values()] == [4, 4]
    assert found["top1"]["deviation"] == pytest.approx(0)


@pytest.mark.parametrize("method", [["probe"], ["adapter", "--tune-keys"]])
def test_a_few_shots_make_a_classifier(
    model: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: list[str]
):
    out = tmp_path / "out"
    words = ("--model", model, "--out", out, "--shots", 2, "--method", *method)
    assert tubelet("few-shot", motions, *words) == 0
    found = read_checkpoint(out / "model")
    assert found.labels == ("moving left", "moving right")
    assert found.config.video == read_checkpoint(model).config
    assert not any(key.startswith("text.") for key in found.state)
    assert load(out / "model").input == load(model).input
    figures = tmp_path / "figures.json"
    assert tubelet("evaluate", out / "model", "--data", out / "few_shot", "--json", figures) == 0
    assert json.loads(figures.read_text()) == read_toml(out / "test.toml")["metrics"]


def test_fine_tuning_by_a_few_shots_says_that_it_is_for_others(
    model: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("--model", model, "--out", tmp_path / "out", "--shots", 2, "--method", "finetune")
    assert tubelet("few-shot", motions, *words) == 1
    assert "--method finetune is for X-CLIP and mean-pooled CLIP" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_model_for_questions_says_that_it_classifies_nothing(
    video: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config = AnswererConfig(
        video=INTERNVIDEO_TINY.video,
        text=TEXT,
        caption=CaptionConfig(num_heads=1, head_dim=16, depth=1, num_queries=2),
        num_answers=3,
    )
    save_checkpoint(tmp_path / "qa", Checkpoint(config, build_model(config).state_dict()))
    assert tubelet("predict", tmp_path / "qa", video) == 1
    assert "this model answers questions" in error_line(capsys)


def test_all_families_are_listed_with_what_they_are_for(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models") == 0
    listed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in listed.splitlines()}
    kinds = {
        "uniformerv2_l14_336_frozen": "classifier",
        "viclip_l14": "video + text",
        "internvideo_mm_b16_caption": "video + text",
        "internvideo_qa_l14": "questions",
        "cross_model_nano": "classifier",
    }
    assert all(kind in rows[name] for name, kind in kinds.items())
