"""`tubelet average` and `tubelet join`: one model out of two, and never one half written."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models.test_cross_model import MASKED, MULTIMODAL
from tests.test_cli import error_line, tubelet
from tests.weights.test_ensemble import CLIP, MEAN, checkpoint
from tests.weights.test_ensemble import TINY as INTERNVIDEO
from tubelet.cli import combining
from tubelet.config import to_plain
from tubelet.data.manifest import read_annotations
from tubelet.inference.load import input_spec
from tubelet.weights.export import export
from tubelet.weights.files import read_checkpoint, save_checkpoint
from tubelet.weights.uniformerv2 import published_input

LABELS = ("climb", "jump", "run", "sit", "walk")


def saved(folder: Path, config: Any, seed: int = 0, **more: Any) -> Path:
    save_checkpoint(folder, checkpoint(config, seed, **more))
    return folder


def test_an_internvideo_and_its_clip_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tuned, start = saved(tmp_path / "mm", INTERNVIDEO), saved(tmp_path / "clip", CLIP, 1)
    assert tubelet("average", tuned, start, tmp_path / "half") == 0
    found = read_checkpoint(tmp_path / "half")
    assert f"internvideo, {found.facts['averaged']['tensors']} of" in capsys.readouterr().out
    mine, theirs = (read_checkpoint(folder).state for folder in (tuned, start))
    for ours, key in (("text.norm.bias", "text.norm.bias"), ("video_norm.bias", "image.post_norm.bias")):
        torch.testing.assert_close(found.state[ours], (mine[ours] + theirs[key]) / 2)
    assert tubelet("average", tuned, start, tmp_path / "tuned", "--share", 0) == 0
    again = read_checkpoint(tmp_path / "tuned").state
    assert all(torch.equal(again[key], value) for key, value in mine.items())


def test_published_files_are_converted_on_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    export(checkpoint(CLIP, 1), tmp_path / "clip", "official")
    tuned = saved(tmp_path / "tuned", MEAN)
    file = tmp_path / "clip" / "checkpoint.pth"
    assert tubelet("average", tuned, file, tmp_path / "half", "--share", 1) == 1
    # Heads of published towers have 64 channels, so this file needs words that a folder does not.
    assert "checkpoint.pth" in error_line(capsys)
    wide = replace(
        CLIP,
        image=replace(CLIP.image, dim=64, num_heads=1, embed_dim=64),
        text=replace(CLIP.text, dim=64, num_heads=1, embed_dim=64),
    )
    export(checkpoint(wide, 1), tmp_path / "wide", "official")
    file = tmp_path / "wide" / "checkpoint.pth"
    assert tubelet("average", file, file, tmp_path / "half") == 0
    found = read_checkpoint(tmp_path / "half")
    assert found.config == wide
    assert input_spec(wide, found.facts["input"]).mean[0] == 0.48145466


def test_two_classifiers_are_joined_in_the_order_of_the_first(
    motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    fed = to_plain(input_spec(MULTIMODAL, published_input(MULTIMODAL)))
    masked = saved(tmp_path / "mae", MASKED, labels=LABELS)
    multimodal = saved(tmp_path / "mm", MULTIMODAL, labels=LABELS[::-1], facts={"input": fed})
    assert tubelet("join", masked, multimodal, tmp_path / "both", "--stages", 2) == 0
    found = read_checkpoint(tmp_path / "both")
    assert found.labels == LABELS
    assert found.config.multimodal_mean == (0.45, 0.45, 0.45)
    theirs = read_checkpoint(multimodal).state["head.bias"]
    assert torch.equal(found.state["multimodal.head.bias"], theirs.flip(0))
    video = read_annotations(motions, "test").samples[0].path
    capsys.readouterr()
    assert tubelet("predict", tmp_path / "both", video, "--json", "--device", "cpu") == 0
    assert sorted(json.loads(capsys.readouterr().out)["labels"]) == sorted(LABELS)


def test_classes_without_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    masked, multimodal = saved(tmp_path / "mae", MASKED, labels=LABELS), saved(tmp_path / "mm", MULTIMODAL)
    assert tubelet("join", masked, multimodal, tmp_path / "both", "--stages", 2) == 0
    assert "have to be in the same order already" in capsys.readouterr().err


def test_nothing_that_is_there_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tuned, start = saved(tmp_path / "mm", INTERNVIDEO), saved(tmp_path / "clip", CLIP, 1)
    before = (tuned / "model.safetensors").read_bytes()
    (tmp_path / "file").write_text("mine")
    for place in (tuned, start, tmp_path, tmp_path / "file"):
        assert tubelet("average", tuned, start, place) == 1
        assert f"{place} is there already" in error_line(capsys)
    assert (tuned / "model.safetensors").read_bytes() == before
    (tmp_path / "new.unfinished").mkdir()
    (tmp_path / "new.unfinished" / "thesis.txt").write_text("mine")
    assert tubelet("average", tuned, start, tmp_path / "new") == 1
    assert "new.unfinished is there already: remove it if" in error_line(capsys)
    assert (tmp_path / "new.unfinished" / "thesis.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert tubelet("average", tuned, start, tmp_path / "empty") == 0
    assert read_checkpoint(tmp_path / "empty").config == INTERNVIDEO


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("average", ("mm", "mae", "out"), "internvideo and a videomae_classifier have no mean"),
        ("average", ("mm", "clip", "out", "--share", 2), "a share of 2.0 was asked for"),
        ("average", ("nothing", "clip", "out"), "nothing is not a file"),
        ("join", ("mm", "mae", "out"), "a internvideo was given; cross-model attention joins"),
        ("join", ("mae", "uniformerv2", "out", "--stages", 5), "stages"),
    ],
)
def test_models_that_do_not_go_together_are_one_line_and_leave_nothing(
    command: str,
    words: tuple[Any, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    models = {"mm": INTERNVIDEO, "clip": CLIP, "mae": MASKED, "uniformerv2": MULTIMODAL}
    for name, config in models.items():
        saved(Path(name), config)
    assert tubelet(command, *words) == 1
    assert message in error_line(capsys)
    assert {path.name for path in tmp_path.iterdir()} == models.keys()


def test_a_result_that_cannot_be_written_whole_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    tuned, start = saved(tmp_path / "mm", INTERNVIDEO), saved(tmp_path / "clip", CLIP, 1)

    def full(folder: Path, *_: object) -> None:
        (folder / "model.safetensors").write_text("half")
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(combining, "save_checkpoint", full)
    assert tubelet("average", tuned, start, tmp_path / "out") == 1
    assert "No space left on device" in error_line(capsys)
    assert {path.name for path in tmp_path.iterdir()} == {"mm", "clip"}
