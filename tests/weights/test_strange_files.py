"""Files of weights that are not quite as expected: read with a remark, or refused by what they look like."""

import argparse
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.test_cli import error_line, tubelet
from tests.weights import strangers
from tests.weights.test_convert import CLASSIFIER, checkpoint
from tubelet.config import read_toml, write_toml
from tubelet.errors import ConfigError, WeightsError
from tubelet.weights.archive import damaged_records
from tubelet.weights.convert import convert, convert_state
from tubelet.weights.export import export
from tubelet.weights.files import check_state, read_checkpoint, read_tensors, read_weights, save_checkpoint
from tubelet.weights.safetensors_file import write_safetensors

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1, 2])}


@pytest.fixture
def official(tmp_path: Path) -> dict[str, Tensor]:
    export(checkpoint(CLASSIFIER), tmp_path / "official", "official")
    return read_tensors(tmp_path / "official" / "checkpoint.pth")


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module.module.", "_orig_mod.module.", "module._orig_mod."]
)
def test_prefixes_of_wrapped_models_go_however_often_they_are_there(prefix: str, tmp_path: Path):
    torch.save({f"{prefix}{key}": value for key, value in STATE.items()}, tmp_path / "file.pth")
    assert same(read_tensors(tmp_path / "file.pth"), STATE)


def test_the_mark_of_a_part_that_was_compiled_goes(tmp_path: Path):
    torch.save({"a._orig_mod.weight": STATE["a.weight"], "b": STATE["b"]}, tmp_path / "file.pth")
    assert same(read_tensors(tmp_path / "file.pth"), STATE)
    torch.save({"a._orig_mod.weight": STATE["b"], "a.weight": STATE["b"]}, tmp_path / "file.pth")
    with pytest.raises(WeightsError, match="names differ in the prefix _orig_mod alone"):
        read_tensors(tmp_path / "file.pth")


@pytest.mark.parametrize("key", ["model_ema", "ema", "state_dict_ema"])
def test_a_moving_average_is_taken_where_there_is_nothing_else_and_said(key: str, tmp_path: Path):
    torch.save({key: STATE, "epoch": 3}, tmp_path / "alone.pth")
    found = read_weights(tmp_path / "alone.pth")
    assert same(found.tensors, STATE)
    assert found.remarks == (f"the weights are the moving average ({key}), because the file holds no others",)
    other = {name: value + 1 for name, value in STATE.items()}
    torch.save({"model": other, key: STATE}, tmp_path / "both.pth")
    found = read_weights(tmp_path / "both.pth")
    assert same(found.tensors, other)
    assert found.remarks == (
        f"the file has a moving average of the weights ({key}) as well, which is left out",
    )


def test_parts_of_deepspeed_say_where_the_weights_are(tmp_path: Path):
    with pytest.raises(WeightsError, match=r"names without numbers: DeepSpeed .*zero_to_fp32\.py"):
        read_tensors(strangers.deepspeed_stage_3(tmp_path / "mp_rank_00_model_states.pt"))
    part = {"optimizer_state_dict": {"zero_stage": 1, "base_optimizer_state": [{"state": {}}]}}
    torch.save(part, tmp_path / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    with pytest.raises(WeightsError, match=r"state of an optimizer .* calls it mp_rank_00_model_states\.pt"):
        read_tensors(tmp_path / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    called = b"\x80\x02cdeepspeed.utils.tensor_fragment\nfragment_address\n)\x81."
    with pytest.raises(WeightsError, match=r"what DeepSpeed keeps .* mp_rank_00_model_states\.pt"):
        read_tensors(strangers.in_zip(tmp_path / "optim.pt", called))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_another_width_become_float32_and_it_is_said(
    dtype: torch.dtype, official: dict[str, Tensor], tmp_path: Path
):
    torch.save({key: value.to(dtype) for key, value in official.items()}, tmp_path / "file.pth")
    found = convert(tmp_path / "file.pth", CLASSIFIER)
    assert {value.dtype for value in found.state.values()} == {torch.float32}
    name = str(dtype).removeprefix("torch.")
    assert found.facts["source"]["remarks"] == [f"the file's numbers are {name}; they are kept as float32"]


def test_numbers_that_are_none_are_remarked_upon(official: dict[str, Tensor], tmp_path: Path):
    official["head.bias"] = official["head.bias"] / 0
    torch.save(official, tmp_path / "file.pth")
    found = convert(tmp_path / "file.pth", CLASSIFIER)
    assert found.facts["source"]["remarks"] == ["1 tensors hold NaN or infinity: head.bias"]


def test_whole_numbers_are_no_weights():
    with pytest.raises(WeightsError, match=r"wrong type: a int8 instead of float32$"):
        check_state({"a": torch.zeros(2)}, {"a": torch.zeros(2, dtype=torch.int8)})


def test_a_flipped_bit_is_found_by_the_checksums_in_the_file(official: dict[str, Tensor], tmp_path: Path):
    path = tmp_path / "file.pth"
    torch.save(official, path)
    assert damaged_records(path) == []
    whole = bytearray(path.read_bytes())
    place = whole.index(official["head.weight"].numpy().tobytes())
    whole[place + 5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(
        WeightsError, match=r"file\.pth is damaged: 1 of its records .*fetch or copy it again"
    ):
        convert(path, CLASSIFIER)
    # A file that was written without checksums has nothing to be held against.
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(official, path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert convert(path, CLASSIFIER).config == CLASSIFIER


def vit(**more: tuple[int, ...]) -> dict[str, Tensor]:
    shapes = {
        "patch_embed.proj.weight": (8, 3, 4, 4),
        "blocks.0.attn.qkv.weight": (24, 8),
        "head.weight": (3, 8),
    }
    return {key: torch.zeros(shape) for key, shape in {**shapes, **more}.items()}


STRANGERS: dict[str, tuple[Callable[[], dict[str, Tensor]], str]] = {
    "an image ViT": (lambda: vit(cls_token=(1, 1, 8)), "looks like an image ViT of timm, DeiT, MAE or DINO"),
    "a pooled image ViT": (vit, "looks like an image ViT of timm"),
    "a ResNet": (
        lambda: {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)},
        "looks like a ResNet of torchvision",
    ),
    "a BERT": (lambda: {"bert.embeddings.word_embeddings.weight": torch.zeros(1)}, "looks like a BERT"),
    "nothing": (
        lambda: {"features.0.weight": torch.zeros(1)},
        r"not the keys of a model known here \(.*\): features\.0\.weight$",
    ),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_model_that_nobody_here_reads_is_recognised(name: str):
    make, message = STRANGERS[name]
    with pytest.raises(WeightsError, match=message):
        convert_state(make())


def test_a_part_of_a_known_model_is_told_by_its_family(official: dict[str, Tensor]):
    headless = {key: value for key, value in official.items() if not key.startswith("head.")}
    with pytest.raises(
        WeightsError, match=r"all \d+ are names of a VideoMAE \(layout official, .*are missing"
    ):
        convert_state(headless)
    headless["extra.weight"] = torch.zeros(1)
    with pytest.raises(
        WeightsError, match=r"\d+ of \d+ are names of a VideoMAE .*; not of it: extra\.weight"
    ):
        convert_state(headless)


def test_a_folder_of_transformers_names_its_model(tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "timesformer"}))
    with pytest.raises(WeightsError, match=r"neither model\.safetensors nor pytorch_model\.bin$"):
        convert(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(WeightsError, match="in several files: save_pretrained with a larger max_shard_size"):
        convert(tmp_path)
    save_file({"encoder.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(
        WeightsError, match=r"like a timesformer of transformers, by its config\.json, which is none"
    ):
        convert(tmp_path)


def test_a_name_that_counts_too_far_builds_no_model(official: dict[str, Tensor]):
    official["blocks.1000000000.norm1.weight"] = torch.zeros(16)
    with pytest.raises(WeightsError, match="counts to 1000000000, and the file has"):
        convert_state(official)


def test_a_config_that_counts_too_far_builds_no_model(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER))
    plain = read_toml(tmp_path / "config.toml")
    plain["model"]["encoder"]["depth"] = 1_000_000_000
    write_toml(tmp_path / "config.toml", plain)
    with pytest.raises(
        ConfigError, match=r"config\.toml: depth is 1000000000, and the weights have \d+ tensors"
    ):
        read_checkpoint(tmp_path)


def test_shapes_are_compared_before_anything_is_copied(
    official: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
):
    official["head.weight"] = torch.zeros(5, 16)
    seen: list[str] = []
    contiguous = Tensor.contiguous
    monkeypatch.setattr(Tensor, "contiguous", lambda t, **k: seen.append(t.device.type) or contiguous(t, **k))
    with pytest.raises(WeightsError, match=r"wrong shape: head\.weight \(5, 16\) instead of \(3, 16\)"):
        convert_state(official, CLASSIFIER)
    assert "cpu" not in seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "16"}, "its config.json makes no model"),
        ({"hidden_size": 0}, "its config.json makes no model"),
        ({"intermediate_size": -5}, "its sizes make no model"),
        ({"num_hidden_layers": 10**9}, "depth is 1000000000, and the weights have"),
        ({"num_frames": 10**9}, "a table of 2,000,000,000 positions in 16 dimensions is too large"),
    ],
)
def test_a_config_of_transformers_that_makes_no_model_is_one_line(
    change: dict[str, Any], message: str, tmp_path: Path
):
    export(checkpoint(CLASSIFIER), tmp_path / "hf", "hf")
    settings = tmp_path / "hf" / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | change))
    with pytest.raises(WeightsError, match=message) as caught:
        convert(tmp_path / "hf")
    assert "\n" not in str(caught.value)
    settings.write_text("[" * 100_000)
    with pytest.raises(WeightsError, match=r"config\.json is not valid JSON"):
        convert(tmp_path / "hf")


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_training_leaves_beside_the_weights_is_passed_over(zipped: bool, tmp_path: Path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    base = torch.arange(24.0).reshape(4, 6)
    state = OrderedDict(model.state_dict())
    state.update(turned=base.T, part=base[1:3, ::2], row=base[2], one=torch.tensor(3.0), none=torch.zeros(0))
    state.update(parameter=torch.nn.Parameter(torch.ones(2)), brain=torch.ones(3).bfloat16())
    settings = argparse.Namespace(
        folder=tmp_path, device=torch.device("cuda:0"), rate=np.float64(3), tags={1, 2}, raw=b"\xff"
    )
    beside = {
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5]).state_dict(),
        "args": settings,
        "numpy": [np.random.get_state(), np.array(["a", None], dtype=object), np.arange(4.0)],
        "numbers": [10**30, -5, 1.5],
        "keys": {(1, 2): 3, 140_234_567_890_123: 1, None: 2},
        "param_shapes": [OrderedDict(w=torch.Size((4, 3)))],
    }
    torch.save({"model": state, **beside}, tmp_path / "file.pth", _use_new_zipfile_serialization=zipped)
    found = read_tensors(tmp_path / "file.pth")
    assert same(found, {k: v.float() if v.is_floating_point() else v for k, v in state.items()})


def test_the_library_reads_what_is_written_tensor_by_tensor(tmp_path: Path):
    tensors = {
        "turned": torch.randn(3, 4).T,
        "half": torch.randn(5).half(),
        "brain": torch.randn(3).bfloat16(),
        "one": torch.tensor(7),
        "none": torch.zeros(0, 3),
        "true": torch.tensor([True, False, True]),
        "wide": torch.randn(2, dtype=torch.float64),
    }
    write_safetensors(tmp_path / "file.safetensors", tensors)
    assert same(load_file(tmp_path / "file.safetensors"), tensors)
    assert read_tensors(tmp_path / "file.safetensors").keys() == tensors.keys()
    length = int.from_bytes((tmp_path / "file.safetensors").read_bytes()[:8], "little")
    assert (8 + length) % 64 == 0


def test_a_file_is_read_by_what_it_holds_not_by_its_name(tmp_path: Path):
    save_file(STATE, tmp_path / "file.pth")
    assert same(read_tensors(tmp_path / "file.pth"), STATE)


def test_the_command_replaces_a_checkpoint_only_when_told(
    official: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    export(checkpoint(replace(CLASSIFIER, num_classes=3)), tmp_path / "hf", "hf")
    arguments: tuple[Any, ...] = ("convert", tmp_path / "hf", tmp_path / "ours")
    assert tubelet(*arguments) == 0
    before = read_checkpoint(tmp_path / "ours").state["head.weight"].clone()
    assert tubelet(*arguments) == 1
    assert (
        "is there already, and nothing in it is replaced; give a new folder, or say --overwrite"
        in error_line(capsys)
    )
    export(checkpoint(CLASSIFIER), tmp_path / "other", "hf")
    assert tubelet("convert", tmp_path / "other", tmp_path / "ours", "--overwrite") == 0
    assert not torch.equal(read_checkpoint(tmp_path / "ours").state["head.weight"], before)
    assert tubelet("convert", tmp_path / "other", tmp_path / "hf", "--overwrite") == 1
    assert "is a folder of transformers, which this would damage" in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir() if "unfinished" in path.name] == []


def test_what_cannot_be_converted_leaves_nothing_and_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    torch.save(OrderedDict(w=torch.zeros(1).expand(1 << 40)), tmp_path / "huge.pth")
    strangers.in_zip(tmp_path / "evil.pth", strangers.gadget("posix", "system", "true"))
    for name, message in (
        ("huge.pth", "claims 1,099,511,627,776 numbers"),
        ("evil.pth", "more than tensors"),
    ):
        assert tubelet("convert", tmp_path / name, tmp_path / "out") == 1
        assert message in error_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth", "huge.pth"]
