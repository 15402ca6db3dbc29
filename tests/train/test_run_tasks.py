"""Whole runs of regression, of long videos in windows and of image classification, on tiny data."""

from pathlib import Path

import pytest
import torch

from tests.data.media_files import write_picture, write_video
from tests.inference.checkpoints import CLASSIFIER, checkpoint
from tests.tiny import finetuning
from tests.train.test_run import go
from tubelet.config import read_toml
from tubelet.data.encode import write_mp4
from tubelet.data.input_spec import InputSpec
from tubelet.data.manifest import read_annotations
from tubelet.errors import ConfigError, DataError
from tubelet.inference.classify import classify, estimate
from tubelet.inference.load import load
from tubelet.tasks.classification import VideoScores
from tubelet.tasks.regression import VideoValues
from tubelet.train.evaluate import evaluate_model, evaluate_regressor
from tubelet.weights.files import read_checkpoint

REGRESSION = ("task=regression", "smoothing=0", "augment.erasing=0.2", "optim.epochs=2")


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of even brightness, with a number that grows with it."""
    folder = tmp_path_factory.mktemp("bright")
    for split, num in (("train", 8), ("val", 4), ("test", 4)):
        lines = []
        for i in range(num):
            level = 40 + 20 * i
            picture = torch.full((8, 3, 32, 32), level, dtype=torch.uint8)
            write_mp4(folder / f"{split}{i}.mp4", picture, fps=4)
            lines.append(f"{split}{i}.mp4,{level * 1000.5},2.0\n")
        (folder / f"{split}.csv").write_text("".join(lines))
    return folder


def test_a_regression_from_training_to_the_estimate_of_one_video(bright: Path, tmp_path: Path):
    result = go(finetuning(*REGRESSION), bright, tmp_path / "run")
    assert isinstance(result.test, VideoValues)
    assert result.test.values.tolist() == [40 * 1000.5, 60 * 1000.5, 80 * 1000.5, 100 * 1000.5]
    assert result.metrics["mae"] <= result.metrics["mse"] ** 0.5
    assert read_toml(tmp_path / "run" / "test.toml")["metrics"]["num_videos"] == 4
    kept = read_checkpoint(result.model)
    assert kept.config.num_classes == 1
    assert kept.facts["values"]["mean"] == pytest.approx(110 * 1000.5)
    loaded = load(result.model)
    assert loaded.values is not None
    path = bright / "test0.mp4"
    assert estimate(loaded, path) == pytest.approx(float(result.test.predicted[0]), rel=1e-5)
    samples = read_annotations(bright, "test", values=True).samples
    figures, _ = evaluate_regressor(
        loaded.model, loaded.input, samples, scale=loaded.values, allow_missing=False, num_workers=0
    )
    assert figures == pytest.approx(result.metrics, rel=1e-5)
    with pytest.raises(ConfigError, match="predicts a number and knows no classes; use `estimate`"):
        classify(loaded, path)


def test_a_regression_does_not_mix_and_needs_values(bright: Path, motions: Path, tmp_path: Path):
    for assignment in ("smoothing=0.1", "mix.mixup_alpha=0.8"):
        with pytest.raises(ConfigError, match="mix and smoothing are for classes"):
            finetuning(*REGRESSION, assignment)
    (tmp_path / "same.csv").write_text("a.mp4,1.0\nb.mp4,1.0\nc.mp4,1.0\nd.mp4,1.0\ne.mp4,1.0\n")
    with pytest.raises(DataError, match=r"not there|cannot be standardised"):
        go(finetuning(*REGRESSION), tmp_path / "same.csv", tmp_path / "run")


def test_windows_are_samples_in_training_and_one_answer_in_a_test(bright: Path, tmp_path: Path):
    windows = ("input.window_seconds=1.0", "input.window_hop=0.5", "input.sampling=uniform", "optim.epochs=1")
    recipe = finetuning(*REGRESSION, *windows)
    result = go(recipe, bright, tmp_path / "run")
    assert result.metrics["num_videos"] == 4
    # 8 videos of 2 s have 4 windows of at least half a second each, in batches of 4.
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) >= 8
    loaded = load(result.model)
    assert isinstance(result.test, VideoValues)
    assert estimate(loaded, bright / "test1.mp4") == pytest.approx(float(result.test.predicted[1]), rel=1e-4)
    alone = go(finetuning(*REGRESSION, *windows, "input.merge_windows=false"), bright, tmp_path / "published")
    assert alone.metrics["num_videos"] == 16


def test_the_probabilities_of_a_classified_video_are_the_mean_of_its_windows(tmp_path: Path):
    write_video(tmp_path / "a.mp4", 40)
    (tmp_path / "test.csv").write_text("a.mp4,1,4.0\n")
    samples = read_annotations(tmp_path, "test").samples
    model = checkpoint(CLASSIFIER).build()
    scores = {}
    for merge in (True, False):
        spec = InputSpec(
            num_frames=4,
            sampling="uniform",
            image_size=16,
            num_clips=1,
            num_crops=1,
            window_seconds=2.0,
            merge_windows=merge,
        )
        passed: list[int] = []
        _, found = evaluate_model(
            model,
            spec,
            samples,
            num_classes=2,
            allow_missing=False,
            num_workers=0,
            on_progress=passed.append,
        )
        assert passed[-1] == 1
        scores[merge] = found.scores
    assert (len(scores[True]), len(scores[False])) == (1, 2)
    torch.testing.assert_close(scores[True][0], scores[False].mean(dim=0))


def test_pictures_are_classified_as_clips_of_one_frame(tmp_path: Path):
    levels = torch.linspace(0, 1, 32)[None, :, None]
    for split, num in (("train", 4), ("val", 2)):
        for name, slope in (("n01", levels), ("n02", levels.transpose(0, 1))):
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                picture = (slope * (200 + i)).expand(32, 32, 3).to(torch.uint8)
                write_picture(folder / f"{i}.JPEG", picture.numpy())
    one_frame = ("input.num_frames=1", "model.encoder.tubelet=[1, 16, 16]", "input.num_clips=1")
    recipe = finetuning(*one_frame, "mix.mixup_alpha=0.8", "optim.epochs=1")
    result = go(recipe, tmp_path / "set", tmp_path / "run", num_workers=1)
    assert isinstance(result.test, VideoScores)
    assert result.metrics["num_videos"] == 4
    loaded = load(result.model)
    assert loaded.labels == ("n01", "n02")
    found = classify(loaded, tmp_path / "set/val/n01/0.JPEG")
    assert dict(zip(found.labels, found.scores, strict=True))["n01"] == pytest.approx(
        float(result.test.scores[0, 0]), abs=1e-6
    )
