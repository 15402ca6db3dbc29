"""`tubelet verify` prints all checks, writes them as JSON, and records."""

import json
from pathlib import Path

import pytest

from tests.parity.checkpoints import change_tensors, flip_bit, write_checkpoint, write_golden
from tests.test_cli import error_line, tubelet
from tubelet.cli.verifying import COLUMNS, common_name
from tubelet.models import VARIANTS
from tubelet.models.video_probe import ProbeConfig
from tubelet.weights.files import RECORDED

CASES = ("ft_eps_sensitive", "ft_grad_layerscale_learnable")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def golden(tmp_path: Path) -> str:
    return str(write_golden(tmp_path / "golden", *CASES))


def rows(printed: str) -> dict[str, list[str]]:
    """Result, difference, tolerance and note of every row, by part and name."""
    head, *lines = printed.splitlines()[:-1]
    starts = [head.index(name) for name in COLUMNS]
    cells = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]
    return {f"{part}: {name}": rest for name, part, *rest in cells}


def test_a_good_folder_passes(tmp_path: Path, golden: str, capsys: pytest.CaptureFixture[str]):
    folder = write_checkpoint(tmp_path / "model")
    assert tubelet("verify", str(folder), "--golden", golden, "--bf16") == 0
    printed = capsys.readouterr().out
    found = rows(printed)
    assert float(found["outputs: logits (float32)"][1]) < 1e-5
    assert found["outputs: logits (float32)"][::2] == ["passed", "1.0e-04"]
    assert found["outputs: logits (bfloat16)"][::2] == ["passed", "1.0e-01"]
    assert found["cases: videomae.classifier outputs of 2"][::2] == ["passed", "1.0e-05"]
    assert found["cases: videomae.classifier gradients of 1"][::2] == ["passed", "1.0e-04"]
    assert "of its tolerance; tubelet 0.1.0, torch 2." in printed


def test_a_failure_is_in_the_table_and_in_the_exit_code(
    tmp_path: Path, golden: str, capsys: pytest.CaptureFixture[str]
):
    folder = write_checkpoint(tmp_path / "model")
    flip_bit(folder / "model.safetensors")
    assert tubelet("verify", str(folder), "--golden", golden) == 1
    said = capsys.readouterr()
    result, *_, note = rows(said.out)["weights: SHA-256"]
    assert result == "failed"
    assert note.startswith("model.safetensors is not the file that config.toml was written for")
    assert said.err.startswith(f"error: {folder} failed 2 of 8 checks: SHA-256, {RECORDED}")


def test_all_is_one_json_object(tmp_path: Path, golden: str, capsys: pytest.CaptureFixture[str]):
    folder = write_checkpoint(tmp_path / "model")
    assert tubelet("verify", str(folder), "--golden", golden, "--json") == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True
    change_tensors(folder / "model.safetensors", **{"head.bias": None})
    assert tubelet("verify", str(folder), "--golden", golden, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in said["checks"] if check["status"] == "failed"] == [
        "SHA-256",
        "tensors",
        RECORDED,
    ]


def test_recording_makes_the_next_check_one_more(
    tmp_path: Path, golden: str, capsys: pytest.CaptureFixture[str]
):
    folder = write_checkpoint(tmp_path / "model", recorded=False)
    assert tubelet("verify", str(folder), "--golden", golden) == 0
    assert "`tubelet verify FOLDER --record` makes some" in capsys.readouterr().out
    assert tubelet("verify", str(folder), "--record") == 0
    assert capsys.readouterr().out == f"{folder / RECORDED}: recorded\n"
    assert tubelet("verify", str(folder), "--golden", golden) == 0
    assert "outputs: features (float32)" in rows(capsys.readouterr().out)
    assert tubelet("verify", str(folder), "--record") == 1
    assert "is there already, and nothing replaces it" in error_line(capsys)


def test_recording_takes_no_other_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_checkpoint(tmp_path / "model", recorded=False)
    for options in (("--bf16",), ("--json",), ("--device", "auto"), ("--golden", str(tmp_path))):
        assert tubelet("verify", str(folder), "--record", *options) == 1
        assert "it takes none of the other options" in error_line(capsys)
    assert not (folder / RECORDED).exists()


def test_a_family_of_our_own_is_told_to_have_no_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = write_checkpoint(tmp_path / "probe", ProbeConfig(video=VARIANTS["xclip_nano"], num_classes=3))
    assert tubelet("verify", str(folder)) == 0
    result, *_, note = rows(capsys.readouterr().out)["cases: recorded cases"]
    assert result == "skipped"
    assert note.startswith("a video_probe is tubelet's own")


def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for model, message in (
        (str(tmp_path), "is not a checkpoint folder"),
        (str(tmp_path / "absent"), "is not a checkpoint folder"),
        ("videomae_base", "names a size, not trained weights"),
        ("xclip_zero", "HF_HUB_OFFLINE forbids to fetch"),
        ("hf:someone/something", "HF_HUB_OFFLINE forbids to fetch"),
    ):
        assert tubelet("verify", model) == 1
        assert message in error_line(capsys)


def test_cases_are_grouped_by_kind_and_by_what_was_compared():
    assert common_name("clip.model:one outputs") == common_name("clip.model:two outputs")
    assert common_name("labels:k400") == "labels"
