"""`tubelet export` writes where nothing is, whole or not at all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tests.test_cli import error_line, tubelet
from tubelet.errors import ConfigError
from tubelet.publishing import exporting
from tubelet.publishing.exporting import export_model
from tubelet.weights import export as layouts
from tubelet.weights.convert import convert
from tubelet.weights.files import read_checkpoint, save_checkpoint

NAMES = ("left", "right")


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "ours", checkpoint(CLASSIFIER, NAMES, INPUT))
    return tmp_path / "ours"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_a_place_it_goes_beside_the_model(ours: Path, capsys: pytest.CaptureFixture[str]):
    assert tubelet("export", ours, "--to", "hf") == 0
    assert "ours_hf: hf layout of" in capsys.readouterr().out
    assert names(ours.parent / "ours_hf") == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert convert(ours.parent / "ours_hf").labels == NAMES
    assert export_model(ours, to="official") == ours.parent / "ours_official"
    assert names(ours.parent) == ["ours", "ours_hf", "ours_official"]


def test_an_official_file_is_called_as_said(ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert tubelet("export", ours, tmp_path / "zoo" / "ssv2.pyth", "--to", "official") == 0
    assert f"--labels {tmp_path}/zoo/ssv2.labels.txt gives them back" in capsys.readouterr().out
    assert names(tmp_path / "zoo") == ["ssv2.labels.txt", "ssv2.pyth"]
    found = convert(tmp_path / "zoo" / "ssv2.pyth", CLASSIFIER)
    state = read_checkpoint(ours).state
    assert all(torch.equal(found.state[key], value) for key, value in state.items())
    assert tubelet("export", ours, tmp_path / "a.pth", "--to", "hf") == 1
    assert "is the name of a file, and --to hf makes a folder" in error_line(capsys)


@pytest.mark.parametrize("place", ["full", "file", "weights.pth", "ours"])
def test_what_is_there_is_not_replaced(
    place: str, ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "full").mkdir()
    for file in ("full/thesis.txt", "file", "weights.pth"):
        (tmp_path / file).write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert tubelet("export", ours, tmp_path / place, "--to", "official") == 1
    line = error_line(capsys)
    assert "is there already" in line or "is a tubelet folder, which another layout would damage" in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_it_is_replaced_where_that_is_said(ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "full").mkdir()
    for file in ("full/thesis.txt", "full/config.json", "weights.pth"):
        (tmp_path / file).write_text("mine")
    assert tubelet("export", ours, tmp_path / "full", "--to", "hf", "--overwrite") == 0
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert convert(tmp_path / "full").labels == NAMES
    assert tubelet("export", ours, tmp_path / "weights.pth", "--to", "official", "--overwrite") == 0
    assert convert(tmp_path / "weights.pth", CLASSIFIER).config == CLASSIFIER
    for place, told in (("ours", "is a tubelet folder"), ("weights.pth/x", "")):
        assert tubelet("export", ours, tmp_path / place, "--to", "hf", "--overwrite") == 1
        assert told in error_line(capsys)


def test_names_of_another_model_are_not_left_beside_it(
    ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save_checkpoint(tmp_path / "nameless", checkpoint(CLASSIFIER, (), INPUT))
    for place, left in (("a.pth", "a.labels.txt"), ("folder", "folder/labels.txt")):
        assert tubelet("export", ours, tmp_path / place, "--to", "official") == 0
        assert (tmp_path / left).exists()
        capsys.readouterr()
        assert (
            tubelet("export", tmp_path / "nameless", tmp_path / place, "--to", "official", "--overwrite") == 0
        )
        assert "--labels" not in capsys.readouterr().out
        assert not (tmp_path / left).exists()


def test_nothing_is_fetched_for_a_place_that_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exporting, "checkpoint_folder", lambda name: pytest.fail(f"{name} was fetched"))
    (tmp_path / "a.pth").write_text("mine")
    with pytest.raises(ConfigError, match=r"a\.pth is there already"):
        export_model("xclip_zero", tmp_path / "a.pth", to="official")
    with pytest.raises(ConfigError, match=r"a\.safetensors is the name of a safetensors file; --to hf makes"):
        export_model("xclip_zero", tmp_path / "a.safetensors", to="official")


def test_a_failed_export_leaves_nothing(ours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full_disk(_: Any, path: Path, *__: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(layouts, "save_file", full_disk)
    for overwrite in (False, True):
        with pytest.raises(OSError, match="No space left"):
            export_model(ours, tmp_path / "out", to="hf", overwrite=overwrite)
        assert names(tmp_path) == ["ours"]


def test_a_draft_that_was_left_is_told(ours: Path, tmp_path: Path):
    (tmp_path / "out.unfinished").mkdir()
    with pytest.raises(ConfigError, match="is there already: remove it if a command that was killed"):
        export_model(ours, tmp_path / "out")
