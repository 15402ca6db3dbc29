from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.inference.checkpoints import CLASSIFIER, INPUT, checkpoint
from tubelet.data.batch import LoadedVideo
from tubelet.data.manifest import Sample, read_annotations
from tubelet.errors import DataError
from tubelet.train.evaluate import evaluate_model, evaluation_set


def test_all_videos_are_judged_and_counted_as_they_pass(motions: Path):
    samples = read_annotations(motions, "test").samples
    model, passed = checkpoint(CLASSIFIER).build(), []
    figures, scores = evaluate_model(
        model, INPUT, samples, num_classes=2, allow_missing=False, num_workers=0, on_progress=passed.append
    )
    assert (figures["num_videos"], figures["num_missing"]) == (4, 0)
    assert passed[-1] == 4
    assert scores.names == tuple(sample.path for sample in samples)
    assert scores.labels.tolist() == [sample.label for sample in samples]


def test_clips_that_are_drawn_are_the_same_each_time(motions: Path):
    samples = read_annotations(motions, "test").samples[:2]
    even = replace(INPUT, sampling="middles", num_frames=2, num_clips=3)
    drawn = replace(even, random_clips=True)
    views = []
    for spec in (even, drawn, drawn):
        item = evaluation_set(spec, samples)[0, 1]
        assert isinstance(item, LoadedVideo)
        views.append(item.pixels)
    assert torch.equal(views[1], views[2])
    assert not torch.equal(views[0], views[1])


def test_videos_of_equal_file_names_in_different_folders_stay_apart(motions: Path, tmp_path: Path):
    source = Path(read_annotations(motions, "test").samples[0].path)
    paths = [tmp_path / folder / "clip.mp4" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(source.read_bytes())
    samples = [Sample(path=str(path), label=i, id="clip") for i, path in enumerate(paths)]
    model = checkpoint(CLASSIFIER).build()
    figures, scores = evaluate_model(model, INPUT, samples, num_classes=2, allow_missing=False, num_workers=0)
    assert len(scores.names) == 2
    assert figures["top1"] == 0.5  # the same video under two labels


def test_missing_videos_are_refused_unless_allowed(motions: Path, tmp_path: Path):
    gone = Sample(path=str(tmp_path / "gone.mp4"), label=0, id="gone")
    samples = [*read_annotations(motions, "test").samples, gone]
    model = checkpoint(CLASSIFIER).build()
    with pytest.raises(DataError, match=r"1 of 5 videos could not be read, .*gone\.mp4"):
        evaluate_model(model, INPUT, samples, num_classes=2, allow_missing=False, num_workers=0)
    figures, scores = evaluate_model(model, INPUT, samples, num_classes=2, allow_missing=True, num_workers=0)
    assert (figures["num_videos"], figures["num_missing"]) == (4, 1)
    assert [failure.path for failure in scores.failures] == [gone.path]
