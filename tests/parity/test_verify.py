"""Whether a checkpoint is what it was, and whether its family is computed rightly here."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tubelet
from tests.parity.checkpoints import change_tensors, flip_bit, forget_sha256, write_checkpoint, write_golden
from tubelet.errors import BackendError, DataError, WeightsError
from tubelet.models import VARIANTS
from tubelet.models.video_probe import ProbeConfig
from tubelet.parity.families import CHECKS_OF
from tubelet.parity.recorded import record_outputs
from tubelet.parity.results import Check, Verification
from tubelet.parity.run import cases_of
from tubelet.parity.verify import FROM_SOURCE, verify
from tubelet.weights.files import RECORDED, read_checkpoint, save_checkpoint
from tubelet.weights.new_folder import drafted_into

GRADIENTS = "ft_grad_layerscale_learnable"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return write_golden(tmp_path / "golden", GRADIENTS, "xclip/cct_block_droppath")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model")


def failed(found: Verification) -> list[str]:
    assert found.passed == (not found.failures)
    return [check.name for check in found.failures]


def named(found: Verification, name: str) -> Check:
    [check] = [check for check in found.checks if check.name == name]
    return check


def test_a_good_folder_passes_from_all_three_sides(folder: Path, golden: Path):
    found = tubelet.verify(folder, golden=golden)
    assert found.passed
    assert [(check.part, check.name, check.status) for check in found.checks] == [
        ("weights", "SHA-256", "passed"),
        ("weights", "tensors", "passed"),
        ("outputs", RECORDED, "passed"),
        ("outputs", "features (float32)", "passed"),
        ("outputs", "logits (float32)", "passed"),
        ("cases", f"videomae.classifier:{GRADIENTS} outputs", "passed"),
        ("cases", f"videomae.classifier:{GRADIENTS} gradients", "passed"),
    ]
    assert named(found, "logits (float32)").difference == 0
    assert 0 < (named(found, f"videomae.classifier:{GRADIENTS} gradients").difference or 0) < 1e-4


def test_the_result_is_short_to_read_and_whole_as_a_dictionary(folder: Path, golden: Path):
    found = tubelet.verify(folder, golden=golden)
    assert repr(found) == f"Verification({folder}: videomae_classifier, 7 passed, 0 skipped, failed: none)"
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["passed"] is True
    assert len(plain["checks"]) == 7
    assert plain["machine"]["torch"] in torch.__version__
    failures = tuple(Check(part="cases", name=f"case {i}", status="failed") for i in range(4))
    bad = Verification(folder="f", architecture="a", checks=failures, machine={})
    assert repr(bad) == "Verification(f: a, 0 passed, 0 skipped, failed: case 0, case 1, case 2, … (4))"


def test_bfloat16_is_checked_besides(folder: Path, golden: Path):
    found = tubelet.verify(folder, golden=golden, bf16=True)
    assert found.passed
    assert 1e-5 < (named(found, "features (bfloat16)").difference or 0) < 0.1
    assert named(found, "features (float32)").difference == 0


@pytest.mark.parametrize("bit", range(32))
def test_a_flipped_bit_is_found_by_the_sha256(folder: Path, golden: Path, bit: int):
    flip_bit(folder / "model.safetensors", bit)
    assert {"SHA-256", RECORDED} <= set(failed(verify(folder, golden=golden)))


def test_a_flipped_bit_is_found_in_a_folder_of_an_older_tubelet(folder: Path, golden: Path):
    forget_sha256(folder)
    assert named(verify(folder, golden=golden), "SHA-256").status == "skipped"
    flip_bit(folder / "model.safetensors")
    found = verify(folder, golden=golden)
    assert failed(found) == [RECORDED]
    assert "another model.safetensors" in named(found, RECORDED).note


def test_other_weights_are_found_by_what_they_compute(folder: Path, golden: Path):
    before = load_file(folder / "model.safetensors")["head.weight"]
    change_tensors(folder / "model.safetensors", **{"head.weight": before * 1.001})
    found = verify(folder, golden=golden)
    assert failed(found) == ["SHA-256", RECORDED, "logits (float32)"]
    assert named(found, "logits (float32)").difference == pytest.approx(1e-3, rel=0.01)


def test_new_weights_in_the_folder_leave_nothing_recorded_of_the_old_ones(folder: Path, golden: Path):
    checkpoint = read_checkpoint(folder)
    state = {key: tensor + 1 for key, tensor in checkpoint.state.items()}
    save_checkpoint(folder, replace(checkpoint, state=state))
    found = verify(folder, golden=golden)
    assert found.passed
    assert named(found, RECORDED).status == "skipped"
    record_outputs(folder)
    with drafted_into(folder) as draft:
        save_checkpoint(draft, checkpoint)
        assert (folder / RECORDED).is_file()
    assert not (folder / RECORDED).exists()


def test_other_outputs_are_found(folder: Path, golden: Path):
    flip_bit(folder / RECORDED, 22)
    assert failed(verify(folder, golden=golden)) == ["logits (float32)"]


def test_numbers_that_are_none_are_found_and_fit_into_json(folder: Path, golden: Path):
    change_tensors(folder / "model.safetensors", **{"head.bias": torch.full((3,), torch.nan)})
    found = verify(folder, golden=golden)
    assert failed(found) == ["SHA-256", "tensors", RECORDED, "logits (float32)"]
    assert named(found, "tensors").note == "NaN or infinity in head.bias"
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head.bias": None}, "missing: head.bias"),
        ({"tail.bias": torch.zeros(3)}, "surplus: tail.bias"),
        ({"head.bias": torch.zeros(4)}, r"wrong shape: head.bias \(4,\) instead of \(3,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_found_and_the_family_is_still_checked(
    folder: Path, golden: Path, changes: dict[str, torch.Tensor | None], message: str
):
    change_tensors(folder / "model.safetensors", **changes)
    found = verify(folder, golden=golden)
    assert failed(found) == ["SHA-256", "tensors", RECORDED]
    with pytest.raises(WeightsError, match=message):
        raise WeightsError(named(found, "tensors").note)
    assert found.architecture == "videomae_classifier"
    assert found.checks[-1].part == "cases"
    assert found.checks[-1].status == "passed"


def test_a_cut_off_file_is_found(folder: Path, golden: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert failed(verify(folder, golden=golden)) == ["SHA-256", "tensors", RECORDED]


def test_a_damaged_record_fails_and_the_rest_is_checked(folder: Path, golden: Path):
    (folder / RECORDED).write_bytes(b"no tensors")
    found = verify(folder, golden=golden)
    assert failed(found) == [RECORDED]
    assert "is damaged" in named(found, RECORDED).note


def test_what_is_not_on_record_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = write_checkpoint(tmp_path / "model", recorded=False)
    forget_sha256(folder)
    monkeypatch.setattr("tubelet.parity.case.CHECKOUT", tmp_path / "absent")
    found = verify(folder)
    assert found.passed
    assert [(check.name, check.status) for check in found.checks] == [
        ("SHA-256", "skipped"),
        ("tensors", "passed"),
        (RECORDED, "skipped"),
        ("recorded cases", "skipped"),
    ]
    assert found.checks[-1].note == f"this tubelet came without any; {FROM_SOURCE}"


def test_an_architecture_of_our_own_has_no_cases(tmp_path: Path):
    folder = write_checkpoint(tmp_path / "probe", ProbeConfig(video=VARIANTS["xclip_nano"], num_classes=3))
    found = verify(folder)
    assert found.passed
    assert found.checks[-1].status == "skipped"
    assert "a video_probe is tubelet's own" in found.checks[-1].note


def test_a_folder_without_cases_of_the_family_is_told(folder: Path, tmp_path: Path):
    other = write_golden(tmp_path / "other", "xclip/cct_block_droppath")
    check = verify(folder, golden=other).checks[-1]
    assert (check.status, check.note) == ("skipped", f"{other} holds none of a videomae_classifier")


def test_a_folder_without_any_case_is_an_error(folder: Path, tmp_path: Path):
    with pytest.raises(DataError, match="holds no recorded cases"):
        verify(folder, golden=tmp_path / "absent")


def test_a_case_that_does_not_agree_fails(folder: Path, golden: Path):
    file = golden / f"{GRADIENTS}.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "out/logits": tensors["out/logits"] + 1e-3}, file)
    found = verify(folder, golden=golden)
    assert failed(found) == [f"videomae.classifier:{GRADIENTS}"]
    assert found.failures[0].note.startswith("logits: ")


def test_a_case_that_cannot_be_run_fails(folder: Path, golden: Path):
    (golden / f"{GRADIENTS}.safetensors").unlink()
    [check] = verify(folder, golden=golden).failures
    assert "holds no tensors that can be read" in check.note
    facts = json.loads((golden / f"{GRADIENTS}.json").read_text())
    del facts["config"]["patch_size"]
    (golden / f"{GRADIENTS}.json").write_text(json.dumps(facts))
    [check] = verify(folder, golden=golden).failures
    assert check.note


def test_an_assertion_without_words_is_told_by_its_line(folder: Path, golden: Path):
    facts = json.loads((golden / f"{GRADIENTS}.json").read_text())
    facts["grad_none"] = ["head.bias"]
    (golden / f"{GRADIENTS}.json").write_text(json.dumps(facts))
    [check] = verify(folder, golden=golden).failures
    assert check.note.startswith("assert without == ")


def test_what_is_no_checkpoint_is_an_error(tmp_path: Path):
    file = tmp_path / "model.pth"
    file.touch()
    for path in (tmp_path, tmp_path / "absent", file):
        with pytest.raises(WeightsError, match="`tubelet convert FILE FOLDER` makes one"):
            verify(path)
    with pytest.raises(WeightsError, match="did you mean videomae-base"):
        verify("videomae-bsae")


def test_a_published_model_that_is_not_in_the_cache_is_one_clear_error_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE forbids to fetch"):
        verify("xclip_zero")


def test_a_device_that_is_not_there_is_an_error(folder: Path, golden: Path):
    with pytest.raises(BackendError, match="'meta_gpu' cannot be used"):
        verify(folder, golden=golden, device="meta_gpu")
    (folder / RECORDED).unlink()
    with pytest.raises(BackendError, match="'meta_gpu' cannot be used"):
        verify(folder, golden=golden, device="meta_gpu")


def test_random_numbers_of_the_caller_are_not_used_up(folder: Path, golden: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    verify(folder, golden=golden)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("architecture", CHECKS_OF)
def test_every_published_architecture_has_cases_in_the_checkout(architecture: str):
    assert cases_of(architecture)


def test_without_assertions_no_case_passes(folder: Path, golden: Path):
    program = (
        "import sys, tubelet\n"
        "found = tubelet.verify(sys.argv[1], golden=sys.argv[2])\n"
        "print([check.status for check in found.checks if check.part == 'cases'])"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", program, str(folder), str(golden)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['skipped']\n"


@pytest.mark.gpu
def test_recorded_outputs_are_found_again_on_a_gpu(folder: Path, golden: Path):
    found = verify(folder, golden=golden, device="cuda", bf16=True)
    assert found.passed, found
