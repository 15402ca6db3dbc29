"""Whole runs on a few tiny videos: resuming, dividing the work, bad videos, wrong settings."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tests.tiny import finetuning, pretraining, write_motions
from tubelet.config import read_toml
from tubelet.errors import ConfigError, DataError, TrainingError, WeightsError
from tubelet.recipes import Recipe
from tubelet.train.build import RunOptions
from tubelet.train.checkpoint import STATE, load_newest_state, saved_states
from tubelet.train.log import MetricsLog, read_metrics
from tubelet.train.run import RunResult, run
from tubelet.weights.files import read_checkpoint

STEPS = 8  # 4 epochs of 2 batches of 4 videos


def go(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    init: Path | None = None,
    console: Console | None = None,
    **options,
) -> RunResult:
    return run(
        recipe,
        data,
        out,
        RunOptions(**{"device": "cpu", "validate_every": 2, **options}),
        init=init,
        console=console or Console(file=StringIO()),
    )


def assert_same_outcome(one: Path, other: Path) -> None:
    """Weights bit for bit, and all figures; a run that stops at the end of an epoch may skip a validation."""
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    figures = [
        [{k: v for k, v in row.items() if k != "clips_per_second"} for row in read_metrics(folder)]
        for folder in (one, other)
    ]
    training = [[row for row in rows if "loss" in row] for rows in figures]
    assert training[0] == training[1]
    assert all(row in figures[1] for row in figures[0])
    assert (one / "test.toml").read_text() == (other / "test.toml").read_text()


@pytest.fixture(scope="module")
def whole(motions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    go(finetuning(), motions, out)
    return out


def stop_at(step: int, stop: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Something happens while the figures of a step are written."""
    write = MetricsLog.write

    def write_and_stop(self: MetricsLog, at: int, figures: Mapping[str, float]) -> None:
        write(self, at, figures)
        if at == step and "loss" in figures:
            stop()

    monkeypatch.setattr(MetricsLog, "write", write_and_stop)


def crash() -> None:
    raise RuntimeError("power cut")


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [1, 3, 4, 8])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    step: int, whole: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        stop_at(step, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(finetuning(), motions, tmp_path / "run")
    found, _ = load_newest_state(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert found.step == step
    torch.manual_seed(1234)
    go(finetuning(), motions, tmp_path / "run")
    assert_same_outcome(tmp_path / "run", whole)


def test_a_crashed_run_goes_on_from_its_last_state(
    whole: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        stop_at(5, crash, patch)
        with pytest.raises(RuntimeError, match="power cut"):
            go(finetuning(), motions, tmp_path, save_every=4)
    text = StringIO()
    go(finetuning(), motions, tmp_path, console=Console(file=text))
    assert "going on from step 4" in text.getvalue()
    assert_same_outcome(tmp_path, whole)


def test_a_damaged_state_is_passed_over_with_a_word(
    whole: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        stop_at(7, interrupt, patch)
        with pytest.raises(KeyboardInterrupt):
            go(finetuning(), motions, tmp_path, save_every=3)
    newest = saved_states(tmp_path / "checkpoints")[-1]
    (newest / STATE).write_bytes(b"damaged")
    text = StringIO()
    go(finetuning(), motions, tmp_path, console=Console(file=text, width=1000))
    assert f"{newest} is damaged; going back to the state before it" in text.getvalue()
    assert "going on from step 6" in text.getvalue()
    assert_same_outcome(tmp_path, whole)


def test_a_run_whose_states_are_all_damaged_does_not_start_afresh(whole: Path, motions: Path, tmp_path: Path):
    shutil.copytree(whole, tmp_path / "run")
    for state in saved_states(tmp_path / "run" / "checkpoints"):
        (state / STATE).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"is undamaged .* remove the folder to start afresh"):
        go(finetuning(), motions, tmp_path / "run")


def test_a_finished_run_is_only_tested_again(
    whole: Path, motions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(whole, tmp_path / "run")
    stop_at(STEPS, lambda: pytest.fail("trained again"), monkeypatch)
    result = go(finetuning(), motions, tmp_path / "run")
    assert result.metrics == read_toml(whole / "test.toml")["metrics"]


def test_workers_a_cache_and_recomputing_do_not_change_the_outcome(
    whole: Path, motions: Path, tmp_path: Path
):
    go(finetuning(), motions, tmp_path / "workers", num_workers=2)
    assert_same_outcome(tmp_path / "workers", whole)
    go(finetuning(), motions, tmp_path / "cached", cache_bytes=10**8, recompute=True)
    assert_same_outcome(tmp_path / "cached", whole)


# Without what depends on which clips share a forward pass: random numbers of the model.
CALM = ("model.encoder.drop_path=0.0", "model.dropout=0.0", "optim.epochs=1")


@pytest.mark.parametrize("make", [finetuning, pretraining])
def test_dividing_batches_changes_nothing_but_rounding(
    make: Callable[..., Recipe], motions: Path, tmp_path: Path
):
    calm = CALM if make is finetuning else CALM[2:]
    for name, size in (("whole", None), ("divided", 2)):
        go(make(*calm), motions, tmp_path / name, micro_batch_size=size, validate_every=0)
    ours, theirs = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("divided", "whole")
    )
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )
    losses = [[row["loss"] for row in read_metrics(tmp_path / name)] for name in ("divided", "whole")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_run_leaves_a_model_with_labels_input_and_recipe(whole: Path):
    checkpoint = read_checkpoint(whole / "model")
    assert checkpoint.labels == ("moving left", "moving right")
    assert checkpoint.config.num_classes == 2
    assert checkpoint.facts["input"]["num_frames"] == 8
    assert checkpoint.facts["source"]["recipe"]["optim"]["batch_size"] == 4
    assert (whole / "recipe.toml").exists()
    assert not list(whole.rglob("*.unfinished"))
    assert any((whole / "tensorboard").iterdir())
    rows = read_metrics(whole)
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, STEPS + 1))
    assert [row["step"] for row in rows if "val_top1" in row] == [4, 8]


def test_the_kept_model_is_the_moving_average(whole: Path):
    found, _ = load_newest_state(whole / "checkpoints")
    assert found is not None
    kept = load_file(whole / "model" / "model.safetensors")
    assert found.ema is not None
    assert torch.equal(kept["head.weight"], found.ema["head.weight"])
    assert not torch.equal(kept["head.weight"], found.model["head.weight"])


def test_pre_training_then_fine_tuning(motions: Path, tmp_path: Path):
    pretrained = go(pretraining("optim.epochs=2"), motions, tmp_path / "pretrained")
    assert pretrained.test is None
    assert pretrained.metrics["loss"] > 0
    text = StringIO()
    calm = ("optim.epochs=1", "optim.lr=1e-9", "input.std=[0.25, 0.25, 0.25]")
    go(
        finetuning(*calm),
        motions,
        tmp_path / "tuned",
        init=pretrained.model,
        console=Console(file=text, width=1000),
    )
    assert "new: pool_norm.weight, pool_norm.bias, head.weight, head.bias" in text.getvalue()
    assert f"otherwise than {pretrained.model} was: std is (0.25, 0.25, 0.25) and not" in text.getvalue()
    weights = [load_file(tmp_path / name / "model/model.safetensors") for name in ("pretrained", "tuned")]
    name = "encoder.blocks.0.mlp.fc1.weight"
    torch.testing.assert_close(weights[1][name], weights[0][name], rtol=0, atol=1e-6)


def test_another_recipe_in_the_same_folder_is_refused(whole: Path, motions: Path):
    with pytest.raises(
        ConfigError, match=r"holds another run \(recipe\.optim\.lr is 0\.004 there and 1e-05 here\)"
    ):
        go(finetuning("optim.lr=1e-5"), motions, whole)


@pytest.mark.parametrize(
    ("assignment", "error"),
    [
        ("augment.randaugment=rand-x9", ConfigError),
        ("augment.scale=[0.0, 1.0]", ConfigError),
        ("input.short_side=8", ConfigError),
        ("model.encoder.num_heads=5", ConfigError),
        ("optim.batch_size=16", DataError),
    ],
)
def test_a_wrong_setting_stops_before_the_folder_is_claimed(
    assignment: str, error: type[Exception], motions: Path, tmp_path: Path
):
    with pytest.raises(error):
        go(finetuning(assignment), motions, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_here_is_refused_before_anything_is_read(tmp_path: Path):
    with pytest.raises(ImportError, match="device 'gpu'"):
        go(finetuning(), tmp_path / "absent", tmp_path / "run", device="gpu")


def damaged_copy(folder: Path, split: str, num_broken: int) -> Path:
    write_motions(folder, {"train": 24, "val": 4, "test": 4})
    for path in sorted((folder / "videos").glob(f"{split}*.mp4"))[:num_broken]:
        path.write_bytes(path.read_bytes()[:100])
    return folder


def test_broken_training_videos_are_skipped_counted_and_reported(tmp_path: Path):
    data, text = damaged_copy(tmp_path / "data", "train", 1), StringIO()
    result = go(finetuning("optim.epochs=1"), data, tmp_path / "run", console=Console(file=text, width=1000))
    assert [Path(path).name for path in result.failures] == ["train000000.mp4"]
    assert "clips/s  1 not read" in text.getvalue()
    assert "not read:" in text.getvalue()
    assert "train000000.mp4" in text.getvalue()
    found, _ = load_newest_state(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert found.counts == {"videos_read": 23, "videos_failed": 1}
    listed = (tmp_path / "run" / "unread.txt").read_text()
    assert listed.startswith(f"{data}/videos/train000000.mp4\tnot a video file")
    skipping = go(
        finetuning("optim.epochs=1"), data, tmp_path / "other", skip=tmp_path / "run" / "unread.txt"
    )
    assert skipping.failures == {}
    assert not (tmp_path / "other" / "unread.txt").exists()


def test_too_many_broken_training_videos_are_an_error(tmp_path: Path):
    data = damaged_copy(tmp_path / "data", "train", 4)
    with pytest.raises(
        TrainingError, match=r"20 of 1\d\d videos could not be read, more than a share of 0\.05"
    ):
        go(finetuning("optim.epochs=8"), data, tmp_path / "run", validate_every=0)
    assert len((tmp_path / "run" / "unread.txt").read_text().splitlines()) == 4
    result = go(finetuning("optim.epochs=1"), data, tmp_path / "run2", max_bad_share=0.5)
    assert len(result.failures) == 4


def test_a_score_over_missing_videos_is_refused_unless_allowed(tmp_path: Path):
    data = damaged_copy(tmp_path / "data", "test", 1)
    with pytest.raises(
        DataError, match=r"1 of 4 videos could not be read, so there is no score: .*test0000000\.mp4"
    ):
        go(finetuning("optim.epochs=1"), data, tmp_path / "run")
    assert not (tmp_path / "run" / "test.toml").exists()
    result = go(finetuning("optim.epochs=1"), data, tmp_path / "run", allow_missing=True)
    assert (result.metrics["num_videos"], result.metrics["num_missing"]) == (3, 1)


CHILD = """
import sys
from pathlib import Path
from tests.tiny import finetuning
from tubelet.train.build import RunOptions
from tubelet.train.run import run

if __name__ == "__main__":
    recipe = finetuning("optim.epochs=2000", "optim.warmup_epochs=0")
    run(recipe, Path(sys.argv[1]), Path(sys.argv[2]), RunOptions(device="cpu", num_workers=1, validate_every=0))
"""


def test_ctrl_c_in_a_terminal_reaches_the_workers_too_and_still_saves(motions: Path, tmp_path: Path):
    (tmp_path / "child.py").write_text(CHILD)
    root = Path(__file__).parents[2]
    out = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, tmp_path / "child.py", motions, out],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while len(read_metrics(out)) < 3 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        # A terminal sends Ctrl-C to the whole group of processes.
        signal_group(child.pid)
        _, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert errors.rstrip().endswith("KeyboardInterrupt"), errors
    found, damaged = load_newest_state(out / "checkpoints")
    assert found is not None
    assert not damaged
    assert found.step == read_metrics(out)[-1]["step"] >= 3


def signal_group(leader: int) -> None:

    os.killpg(leader, signal.SIGINT)


def test_missing_files_are_named_before_the_first_step(motions: Path, tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    for split in ("train", "val"):
        lines = (motions / f"{split}.csv").read_text().splitlines()
        (data / f"{split}.csv").write_text("\n".join(f"{motions}/{line}" for line in lines) + "\n")
    (data / "test.csv").write_text("gone.mp4 0\n")
    with pytest.raises(DataError, match=r"1 of 1 test videos are not there: .*gone\.mp4 does not exist"):
        go(finetuning("optim.epochs=1"), data, tmp_path / "run")
    (data / "train.csv").write_text("gone.mp4 0\n")
    with pytest.raises(DataError, match="1 of 1 train videos are not there"):
        go(finetuning("optim.epochs=1"), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
