import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tubelet.errors import WeightsError
from tubelet.train import checkpoint
from tubelet.train.checkpoint import TrainingState, load_newest_state, save_state, saved_states
from tubelet.weights.fetch import file_sha256


def state(step: int) -> TrainingState:
    parameter = torch.nn.Parameter(torch.full((2,), float(step)))
    optimizer = torch.optim.AdamW(
        [{"params": [parameter], "names": ["w"], "lr_scale": 0.5}], betas=(0.9, 0.95)
    )
    parameter.grad = torch.ones(2)
    optimizer.step()
    return TrainingState(
        step=step,
        model={"w": parameter.detach()},
        optimizer=optimizer.state_dict(),
        ema={"w": torch.zeros(2)},
        counts={"videos_read": 8 * step},
        failures={"bad.mp4": "bad.mp4 is empty"},
    )


def newest(folder: Path) -> TrainingState:
    found, _ = load_newest_state(folder)
    assert found is not None
    return found


def test_a_state_comes_back_as_it_was(tmp_path: Path):
    saved = state(3)
    save_state(tmp_path, saved)
    found = newest(tmp_path)
    assert (found.step, found.counts, found.failures) == (3, saved.counts, saved.failures)
    assert torch.equal(found.model["w"], saved.model["w"])
    assert found.ema is not None
    assert torch.equal(found.ema["w"], torch.zeros(2))
    assert found.optimizer["param_groups"] == saved.optimizer["param_groups"]
    assert torch.equal(found.optimizer["state"][0]["exp_avg"], saved.optimizer["state"][0]["exp_avg"])


def test_a_folder_without_states_has_none(tmp_path: Path):
    assert load_newest_state(tmp_path) == (None, [])
    assert load_newest_state(tmp_path / "absent") == (None, [])


def test_only_the_newest_states_are_kept(tmp_path: Path):
    for step in (5, 10, 9999, 10000):
        save_state(tmp_path, state(step), keep=2)
    assert [path.name for path in saved_states(tmp_path)] == ["step-00009999", "step-00010000"]
    assert newest(tmp_path).step == 10000


def test_a_state_can_be_saved_again(tmp_path: Path):
    save_state(tmp_path, state(3))
    save_state(tmp_path, state(3))
    assert newest(tmp_path).step == 3


@pytest.mark.parametrize("damage", ["cut", "flipped bit", "no weights", "no digest", "digest of nonsense"])
def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path: Path, damage: str):
    save_state(tmp_path, state(1))
    broken = save_state(tmp_path, state(2))
    weights, digest = broken / checkpoint.STATE, broken / checkpoint.DIGESTS
    content = bytearray(weights.read_bytes())
    if damage == "cut":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "flipped bit":
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    elif damage == "no weights":
        weights.unlink()
    elif damage == "no digest":
        digest.unlink()
    else:
        digest.write_text(json.dumps([1]))
    found, damaged = load_newest_state(tmp_path)
    assert found is not None
    assert found.step == 1
    assert damaged == [broken]


def test_a_state_that_calls_a_function_is_damaged_even_where_its_digest_fits(tmp_path: Path):
    path = save_state(tmp_path, state(1))
    (path / "state.pt").write_bytes(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
    (path / "sha256.json").write_text(json.dumps({"state.pt": file_sha256(path / "state.pt")}))
    with pytest.raises(WeightsError, match=r"no state in .* is undamaged"):
        load_newest_state(tmp_path)


def test_states_that_are_all_damaged_are_an_error(tmp_path: Path):
    for step in (1, 2):
        (save_state(tmp_path, state(step)) / checkpoint.STATE).write_bytes(b"")
    with pytest.raises(WeightsError, match=r"no state in .* is undamaged \(step-00000002, step-00000001\)"):
        load_newest_state(tmp_path)


def fail_halfway(content: Any, file: Any) -> None:
    file.write(b"half")
    raise OSError("No space left on device")


def test_a_save_that_fails_leaves_the_states_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_state(tmp_path, state(1))
    monkeypatch.setattr(checkpoint.torch, "save", fail_halfway)
    with pytest.raises(OSError, match="No space left"):
        save_state(tmp_path, state(2))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert newest(tmp_path).step == 1


def test_what_a_killed_process_left_behind_is_no_state_and_is_cleared(tmp_path: Path):
    left = tmp_path / ".unfinished-00000007"
    left.mkdir()
    (left / checkpoint.STATE).write_bytes(b"half")
    assert load_newest_state(tmp_path) == (None, [])
    save_state(tmp_path, state(8))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000008"]
