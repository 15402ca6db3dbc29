"""Outputs recorded beside the weights: written, read, refused."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.parity.checkpoints import CONFIG, change_tensors, flip_bit, forget_sha256, write_checkpoint
from tubelet.errors import WeightsError
from tubelet.parity.recorded import read_recorded, record_outputs, repeated_inputs, shares
from tubelet.weights.files import RECORDED, read_checkpoint


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a file says of its outputs."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["tubelet"])
    change(facts)
    save_file(load_file(path), path, {"tubelet": json.dumps(facts)})


def test_outputs_are_found_again_by_a_small_file(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "model")
    path = folder / RECORDED
    assert path.stat().st_size < 4096
    recorded, model = read_recorded(path), read_checkpoint(folder).build()
    inputs = repeated_inputs(recorded, CONFIG, path)
    assert shares(model, inputs, recorded, "float32") == {"features": 0.0, "logits": 0.0}
    half = shares(model, inputs, recorded, "bfloat16")
    assert all(1e-5 < share < 0.1 for share in half.values())


def test_recording_says_what_it_was_made_with(tmp_path: Path):
    facts = read_recorded(write_checkpoint(tmp_path / "model") / RECORDED).facts
    assert facts.architecture == "videomae_classifier"
    assert facts.torch == torch.__version__.partition("+")[0]
    assert facts.model["encoder"]["dim"] == 24
    assert len(facts.weights_sha256) == 64


def test_nothing_replaces_what_was_recorded(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "model")
    before = (folder / RECORDED).read_bytes()
    with pytest.raises(WeightsError, match="is there already, and nothing replaces it"):
        record_outputs(folder)
    assert (folder / RECORDED).read_bytes() == before


def test_only_a_checkpoint_folder_is_recorded(tmp_path: Path):
    with pytest.raises(WeightsError, match="is not a checkpoint folder"):
        record_outputs(tmp_path)


def test_damaged_weights_are_not_recorded(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "model", recorded=False)
    flip_bit(folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"not the file that config\.toml was written for"):
        record_outputs(folder)
    forget_sha256(folder)
    change_tensors(folder / "model.safetensors", **{"head.bias": torch.full((3,), torch.nan)})
    with pytest.raises(WeightsError, match=r"NaN or infinity in head\.bias"):
        record_outputs(folder)
    assert not (folder / RECORDED).exists()


def test_weights_that_compute_no_numbers_are_not_recorded(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "model", recorded=False)
    forget_sha256(folder)
    change_tensors(folder / "model.safetensors", **{"head.weight": torch.full((3, 24), 3e38)})
    with pytest.raises(WeightsError, match=r"computes logits that are no numbers"):
        record_outputs(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.toml", "model.safetensors"]


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_damaged_file_is_told(tmp_path: Path, cut: int):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(WeightsError, match=r"recorded\.safetensors is damaged"):
        read_recorded(path)


def test_any_other_safetensors_file_is_told(tmp_path: Path):
    path = tmp_path / RECORDED
    for metadata in (
        None,
        {"tubelet": "{"},
        {"tubelet": "[]"},
        {"tubelet": "[" * 10**5},
        {"tubelet": '{"format": 1}'},
    ):
        save_file({"logits": torch.zeros(3)}, path, metadata)
        with pytest.raises(WeightsError, match="does not say what it recorded"):
            read_recorded(path)


def test_a_file_of_a_later_format_asks_for_an_update(tmp_path: Path):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    rewrite(path, lambda facts: facts.update(format=2))
    with pytest.raises(WeightsError, match="has format 2, and this tubelet reads 1; update it"):
        read_recorded(path)


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    monkeypatch.setattr("tubelet.parity.recorded.MAX_BYTES", 100)
    with pytest.raises(WeightsError, match="is no file of recorded outputs"):
        read_recorded(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(architecture="xclip"), "is of a xclip, and the folder holds a videomae"),
        (
            lambda facts: facts["model"].update(num_classes=4),
            "another videomae_classifier than config.toml: num_classes is 4 there and 3 here",
        ),
        (lambda facts: facts["inputs_sha256"].update(clip="0"), "clip cannot be drawn again as torch 2"),
        (lambda facts: facts.update(seed=1), "clip cannot be drawn again"),
        (lambda facts: facts["inputs_sha256"].update(tokens="0"), "tokens cannot be drawn again"),
    ],
)
def test_a_record_of_something_else_is_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    rewrite(path, change)
    with pytest.raises(WeightsError, match=message):
        repeated_inputs(read_recorded(path), CONFIG, path)


def test_a_setting_that_configs_did_not_have_yet_has_the_value_that_it_had_then(tmp_path: Path):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    rewrite(path, lambda facts: facts["model"]["encoder"].pop("norm_eps"))
    assert repeated_inputs(read_recorded(path), CONFIG, path).keys() == {"clip"}
    rewrite(path, lambda facts: facts["model"].update(wheels=4))
    with pytest.raises(
        WeightsError, match=r"videomae_classifier that this tubelet does not know: model\.wheels"
    ):
        repeated_inputs(read_recorded(path), CONFIG, path)


@pytest.mark.parametrize(
    "output", [torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int64), torch.tensor([torch.inf])]
)
def test_outputs_that_are_no_numbers_of_float32_are_told(tmp_path: Path, output: torch.Tensor):
    path = write_checkpoint(tmp_path / "model") / RECORDED
    facts = read_recorded(path).facts
    save_file({"logits": output}, path, {"tubelet": json.dumps(asdict(facts))})
    with pytest.raises(WeightsError, match="logits is not all finite numbers of float32"):
        read_recorded(path)


def test_outputs_of_other_names_are_told(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "model")
    recorded = read_recorded(folder / RECORDED)
    recorded.outputs["boxes"] = recorded.outputs.pop("logits")
    inputs = repeated_inputs(recorded, CONFIG, folder / RECORDED)
    with pytest.raises(WeightsError, match="outputs of other names or lengths were recorded"):
        shares(read_checkpoint(folder).build(), inputs, recorded, "float32")
