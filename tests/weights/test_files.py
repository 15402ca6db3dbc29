"""Files of strangers are read without running anything in them; our own folders are written whole."""

import argparse
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tubelet.config import read_toml, write_toml
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import build_model
from tubelet.models.videomae import ClassifierConfig, EncoderConfig
from tubelet.weights import files
from tubelet.weights.files import (
    Checkpoint,
    check_state,
    load_strict,
    read_checkpoint,
    read_hf_config,
    read_tensors,
    save_checkpoint,
)

CONFIG = ClassifierConfig(
    encoder=EncoderConfig(dim=16, depth=1, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8)),
    num_classes=3,
)
STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("wrapper", [None, "model", "module", "state_dict"])
def test_weights_are_found_in_every_published_wrapper(wrapper: str | None, tmp_path: Path):
    content = STATE if wrapper is None else {wrapper: STATE, "epoch": 5, "optimizer": {"state": {}}}
    assert same(read_tensors(saved(tmp_path / "file.pth", content)), STATE)


def test_the_namespace_that_training_scripts_leave_is_allowed(tmp_path: Path):
    content = {"model": STATE, "args": argparse.Namespace(lr=0.1, output="here"), "scaler": None}
    assert same(read_tensors(saved(tmp_path / "file.pth", content)), STATE)


def test_prefixes_of_data_parallel_go(tmp_path: Path):
    content = {"model": {f"module.{key}": value for key, value in STATE.items()}}
    assert same(read_tensors(saved(tmp_path / "file.pth", content)), STATE)


def test_a_prefix_that_only_some_keys_have_stays(tmp_path: Path):
    content = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert read_tensors(saved(tmp_path / "file.pth", content)).keys() == {"module.a", "b"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_all_floats_become_float32_and_whole_numbers_stay(dtype: torch.dtype, tmp_path: Path):
    halved = {"a.weight": STATE["a.weight"].to(dtype), "b": STATE["b"]}
    for path in (saved(tmp_path / "file.pth", {"module": halved}), tmp_path / "file.safetensors"):
        if path.suffix == ".safetensors":
            save_file(halved, path)
        read = read_tensors(path)
        assert same(read, STATE)
        assert read["a.weight"].dtype == torch.float32
        assert read["b"].dtype == torch.int64


class Malice:
    """Runs a command when unpickled."""

    def __init__(self, path: Path):
        self.command = f"touch {path}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_file_is_refused_and_not_run(zipped: bool, tmp_path: Path):
    path = tmp_path / "evil.pth"
    torch.save(
        {"model": STATE, "extra": Malice(tmp_path / "ran")}, path, _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(
        WeightsError, match=r"evil\.pth holds more than tensors \(\w+\.system\) and was not"
    ) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_bare_malicious_pickle_is_refused_and_not_run(tmp_path: Path):
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(Malice(tmp_path / "ran"), protocol=2))
    with pytest.raises(WeightsError, match=r"evil\.pth holds more than tensors \(\w+\.system\) and was not"):
        read_tensors(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_the_log_that_mmengine_leaves_beside_weights_is_passed_over(
    zipped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("mmengine", "mmengine.logging", "mmengine.logging.history_buffer")
    modules = {name: ModuleType(name) for name in names}

    class HistoryBuffer:
        def __setstate__(self, _state: object) -> None:
            raise AssertionError("nothing of a foreign type runs")

        def mean(self) -> None: ...

    log: Any = HistoryBuffer()
    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = names[-1], "HistoryBuffer"
    HistoryBuffer.mean.__module__, HistoryBuffer.mean.__qualname__ = names[-1], "HistoryBuffer.mean"
    vars(modules[names[-1]])["HistoryBuffer"] = HistoryBuffer
    log.history, log.last, log.sums = np.arange(3.0), np.float64(0.5), [HistoryBuffer.mean]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    content = {"meta": {"epoch": 3}, "message_hub": {"loss": log}, "state_dict": STATE}
    path = tmp_path / "epoch_3.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for name in names:
        monkeypatch.delitem(sys.modules, name)
    assert read_tensors(path).keys() == STATE.keys()
    # What would be weights is never made of them.
    torch.save({"state_dict": {**STATE, "b": np.zeros(2)}}, path)
    with pytest.raises(WeightsError, match="holds more than tensors: b"):
        read_tensors(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin"])
@pytest.mark.parametrize("damage", ["empty", "text", "zeros", "cut", "flipped start"])
def test_a_damaged_file_is_refused_in_one_line(suffix: str, damage: str, tmp_path: Path):
    path = tmp_path / f"file{suffix}"
    if suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save(STATE, path)
    whole = path.read_bytes()
    content = {
        "empty": b"",
        "text": b"<html>Sign in to continue</html>\n",
        "zeros": bytes(100),
        "cut": whole[: len(whole) - 20],
        "flipped start": bytes(b ^ 0xFF for b in whole[:16]) + whole[16:],
    }[damage]
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"file\{suffix}") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list, not a mapping of names to tensors"),
        ({}, "holds dict, not a mapping"),
        ({"a": torch.zeros(1), "epoch": 3}, "holds more than tensors: epoch"),
        (torch.zeros(3), "holds Tensor, not a mapping"),
        ({0: torch.zeros(1), "b": torch.zeros(1)}, "holds tensors without names: 0"),
        (
            torch.nn.Linear(1, 1),
            r"more than tensors \(torch\.nn\.modules\.linear\.Linear\) and was not opened; .* state_dict alone",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(content: Any, message: str, tmp_path: Path):
    with pytest.raises(WeightsError, match=message):
        read_tensors(saved(tmp_path / "file.pth", content))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_with_any_byte_wrong_is_read_or_refused_in_one_line(zipped: bool, tmp_path: Path):
    path = tmp_path / "file.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            read_tensors(path)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "weights_only" not in str(error)
    assert refused > 10


def test_text_is_no_weights(tmp_path: Path):
    path = tmp_path / "file.pth"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(WeightsError, match=r"file\.pth cannot be opened as weights: it is no PyTorch file"):
        read_tensors(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    for path in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(WeightsError, match="is not a file"):
            read_tensors(path)


def test_everything_that_does_not_fit_is_listed_at_once_in_one_line():
    expected = {"here": torch.zeros(2), "gone": torch.zeros(1), "bent": torch.zeros(2, 3)}
    with pytest.raises(WeightsError) as caught:
        check_state(expected, {"here": torch.zeros(2), "bent": torch.zeros(3, 2), "more": torch.zeros(1)})
    assert str(caught.value) == (
        "the weights do not fit the model; missing: gone; surplus: more; "
        "wrong shape: bent (3, 2) instead of (2, 3)"
    )


def checkpoint() -> Checkpoint:
    facts = {"source": {"recipe": "by hand"}, "metrics": {"top1": 0.5}}
    return Checkpoint(CONFIG, build_model(CONFIG).state_dict(), ("left", "right", "füllen"), facts)


def test_a_checkpoint_folder_is_read_as_it_was_saved(tmp_path: Path):
    original = checkpoint()
    save_checkpoint(tmp_path / "deep" / "folder", original)
    read = read_checkpoint(tmp_path / "deep" / "folder")
    assert (read.config, read.labels, read.facts) == (CONFIG, original.labels, original.facts)
    assert same(read.state, original.state)
    clip = torch.randn(1, 3, 4, 16, 16)
    model = build_model(CONFIG).eval()
    load_strict(model, original.state)
    assert torch.equal(read.build()(clip), model(clip))
    assert not read.build().training


def test_building_a_model_uses_up_no_random_numbers():
    built = checkpoint()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    built.build()
    assert torch.equal(torch.rand(3), expected)


def test_saving_over_a_checkpoint_replaces_it_and_leaves_nothing_else(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint())
    newer = checkpoint()
    save_checkpoint(tmp_path, newer)
    assert same(read_checkpoint(tmp_path).state, newer.state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "model.safetensors"]


def test_a_save_that_fails_leaves_the_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = checkpoint()
    save_checkpoint(tmp_path, original)

    def full_disk(path: Path, _: dict[str, Tensor]) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "write_safetensors", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, checkpoint())
    assert same(read_checkpoint(tmp_path).state, original.state)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.toml", "model.safetensors"]


def test_tensors_that_share_memory_are_saved_each(tmp_path: Path):
    qkv = torch.randn(48, 16)
    state = dict(checkpoint().state)
    for x, part in zip("qkv", qkv.chunk(3), strict=True):
        state[f"encoder.blocks.0.attn.{x}.weight"] = part
    save_checkpoint(tmp_path, replace(checkpoint(), state=state))
    assert same(load_file(tmp_path / "model.safetensors"), state)


def test_a_folder_without_a_checkpoint_says_how_to_make_one(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"is not a checkpoint folder .*tubelet convert"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "videomae_classifer"}, "did you mean videomae_classifier"),
        ({"architecture": 3}, "architecture 3 does not exist; known here: .*videomae_classifier"),
        ({"model": 3}, "config.toml: model is 3; it has to be a table"),
        ({"model": {"encoder": {"dimm": 3}}}, r"model\.encoder\.dimm does not exist"),
        ({"labels": 3}, "labels is 3"),
        ({"labels": [1, 2, 3]}, r"labels is \[1, 2, 3\]; it has to be a list of names"),
    ],
)
def test_a_wrong_config_is_refused_by_file_and_key(change: dict[str, Any], message: str, tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint())
    write_toml(tmp_path / "config.toml", {**read_toml(tmp_path / "config.toml"), **change})
    with pytest.raises((ConfigError, WeightsError), match=message) as caught:
        read_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused_by_file(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint())
    plain = read_toml(tmp_path / "config.toml")
    plain["model"]["encoder"]["dim"] = 32
    write_toml(tmp_path / "config.toml", plain)
    with pytest.raises(
        WeightsError, match=r"model\.safetensors: the weights do not fit the model; wrong shape"
    ):
        read_checkpoint(tmp_path)


def test_a_hugging_face_folder_needs_a_readable_config(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        read_hf_config(tmp_path)
    for content, message in (("{", "is not valid JSON"), ("[]", "holds list, not the settings of a model")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(WeightsError, match=rf"config\.json {message}"):
            read_hf_config(tmp_path)
