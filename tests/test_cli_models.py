"""`tubelet models` lists published models, and names of them work where folders do."""

import json
import re
from pathlib import Path

import pytest

from tests.test_cli import error_line, tubelet
from tubelet import cli
from tubelet.models import VARIANTS, build_model
from tubelet.weights import locate as locating
from tubelet.weights.catalog import catalog, select
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint
from tubelet.weights.locate import Located


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def names(listed: str) -> list[str]:
    return [line.split()[0] for line in listed.splitlines()[1:-1]]


def on_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(width))


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


@pytest.mark.parametrize(
    ("width", "head", "left"),
    [
        (80, "name data set clip", ["licence", "reported", "link"]),
        (100, "name data set clip link", ["licence", "reported"]),
        (120, "name data set clip reported link", ["licence"]),
        (140, "name data set clip reported licence link", []),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_no_broken_rows(
    width: int,
    head: str,
    left: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    on_terminal(width, monkeypatch)
    assert tubelet("models", "--published") == 0
    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    lines = printed.splitlines()
    assert max(map(len, lines)) <= width
    assert " ".join(next(line for line in lines if line.startswith("┃")).replace("┃", " ").split()) == head
    assert [line.split()[1] for line in lines if line.startswith("│")] == list(catalog())
    assert ("not shown in so narrow a terminal" in printed) == bool(left)
    for name in left:
        assert f"{name}" in lines[-2]


def test_a_narrow_terminal_breaks_no_row_of_the_sizes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    on_terminal(60, monkeypatch)
    assert tubelet("models") == 0
    printed = capsys.readouterr().out
    sizes = printed.partition("recipes")[0]
    assert [line.split()[1] for line in sizes.splitlines() if line.startswith("│")] == list(VARIANTS)
    assert "heads, depth, dim: not shown in so narrow a terminal" in sizes


def test_what_is_piped_is_a_line_for_each_model_whatever_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "40")
    assert tubelet("models", "--dataset", "ava") == 0
    head, *rows, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "data", "set", "clip", "reported", "licence", "link"]
    assert len(rows) == len(select(dataset="ava"))
    assert all(row[head.index("licence") :].startswith(("CC-BY-NC-4.0", "Apache-2.0")) for row in rows)


def test_all_facts_are_listed_as_json(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models", "--json") == 0
    found = {facts["name"]: facts for facts in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(found) == list(catalog())
    facts = found["videomae_finetune_ssv2_vit_b_e2400"]
    assert (facts["num_frames"], facts["image_size"], facts["availability"]) == (16, 224, "unknown")
    assert facts["reported"] == {"top1": 70.8, "top5": 92.4}
    assert facts["fed"]["sampling"] == "segments"
    assert "stride" not in facts["fed"]
    for facts in found.values():
        assert facts["fed"]["mean"], facts["name"]
        known = facts["licence"] != "unknown" and facts["wrapper"] != "unknown"
        assert known or facts["family"] == "VideoMambaPro", facts["name"]


def test_a_reader_who_has_seen_enough_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def gone(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "app", gone)
    assert tubelet("models") == 0
    assert capsys.readouterr().err == ""


def test_all_of_a_published_model_is_told(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models", "show", "k400_k710_uniformerv2_b16_8x224") == 0
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert told["mirror"] == "hf:Andy1621/uniformerv2/k400+k710_uniformerv2_b16_8x224.pyth (alive)"
    assert told["link"].endswith("(dead)")
    assert (told["bytes"], told["classes"]) == ("458,289,355", "k400_uniformerv2")
    assert "sampling uniform" in told["fed"]
    assert "mean 0.45/0.45/0.45" in told["fed"]
    assert tubelet("models", "show", "videomae_finetune_ucf101_vit_b_e3200") == 0
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert (told["bytes"], told["SHA-256"], told["classes"]) == ("unknown", "unknown", "order unknown")
    assert (told["reported"], told["protocol"]) == ("top1 91.3, top5 98.5", "5 clips x 3 crops")
    assert tubelet("models", "show", "ViCLIP_L_InternVid_10M") == 0  # without classes, and without figures
    told = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert (told["reported"], "protocol" in told, "classes" in told) == ("unknown", False, False)


def test_what_a_conversion_took_for_granted_is_said_to_whoever_calls_it_by_name(
    tmp_path: Path, motions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    config = VARIANTS["videomamba_nano"]
    made = Checkpoint(config, build_model(config).state_dict())
    export(made, tmp_path / "official", "official")
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "cache"))
    found = Located(path=tmp_path / "official" / "checkpoint.pth")
    monkeypatch.setattr(locating, "locate", lambda _: found)
    video = next(motions.rglob("*.mp4"))
    for _ in range(2):  # it is converted once, and said each time
        assert tubelet("predict", "some-mamba", video, "--device", "cpu") == 0
        assert "note: some-mamba: taken for a VideoMamba" in capsys.readouterr().err
    assert tubelet("classify", video, "--model", "some-mamba", "--labels", "a, b", "--device", "cpu") == 1
    assert "note: some-mamba: taken for a VideoMamba" in capsys.readouterr().err


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
