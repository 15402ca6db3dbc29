"""`tubelet models` lists published models, and names of them work where folders do."""

from pathlib import Path

import pytest

from tests.test_cli import error_line, tubelet
from tubelet.weights.catalog import catalog


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def names(listed: str) -> list[str]:
    return [line.split()[1] for line in listed.splitlines() if line.startswith("│")]


def test_all_published_models_are_listed(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models", "--published") == 0
    listed = capsys.readouterr().out
    assert names(listed) == list(catalog())
    assert "224 of 224 published models" in listed


def test_published_models_are_filtered(capsys: pytest.CaptureFixture[str]):
    options = ("--family", "uniformerv2", "--dataset", "k400", "--frames", "8", "--link", "alive")
    assert tubelet("models", *options) == 0
    listed = capsys.readouterr().out
    assert names(listed) == ["k400_k710_uniformerv2_b16_8x224"]
    assert "top1 85.6" in listed
    assert tubelet("models", "--family", "resnet") == 1
    assert "no family of published models fits 'resnet'; there are CLIP" in error_line(capsys)


def test_all_of_a_published_model_is_told(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models", "show", "k400_k710_uniformerv2_b16_8x224") == 0
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert told["mirror"] == "hf:Andy1621/uniformerv2/k400+k710_uniformerv2_b16_8x224.pyth (alive)"
    assert told["link"].endswith("(dead)")
    assert (told["bytes"], told["classes"]) == ("458,289,355", "k400_uniformerv2")
    assert tubelet("models", "show", "videomae_finetune_ucf101_vit_b_e3200") == 0
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert (told["bytes"], told["SHA-256"], told["classes"]) == ("unknown", "unknown", "order unknown")
    assert (told["reported"], told["protocol"]) == ("top1 91.3, top5 98.5", "5 clips x 3 crops")


def test_names_work_where_folders_do(
    tmp_path: Path, motions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    gone, page = "k600_uniformerv2_b16_8x224", "videomae_finetune_k400_vit_b_e1600"
    commands = (
        ("convert", gone, tmp_path / "ours"),
        ("classify", next(motions.rglob("*.mp4")), "--model", gone),
        ("evaluate", gone, "--data", motions),
        ("train", "videomae.finetune_tiny", "--data", motions, "--out", tmp_path / "run", "--init", gone),
        ("join", gone, page, tmp_path / "joined"),
    )
    for command in commands:
        assert tubelet(*command) == 1, command
        assert f"{gone} is gone from https://" in error_line(capsys)
    assert tubelet("convert", page, tmp_path / "ours") == 1
    assert "which only a browser opens" in error_line(capsys)
    assert tubelet("convert", "videomae-bas", tmp_path / "ours") == 1
    assert "did you mean videomae-base" in error_line(capsys)
    assert not (tmp_path / "ours").exists()
