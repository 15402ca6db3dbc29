"""Shots seen once by a frozen model: which views, in which order, and what of those that cannot be read."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.inference.words import INPUT_TINY, load_xclip
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Sample
from tubelet.errors import DataError
from tubelet.inference.classify import embed
from tubelet.inference.load import LoadedModel
from tubelet.models.video_towers import VideoTower, video_tower
from tubelet.train.shots import Shots, embed_shots


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_xclip(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tower(loaded: LoadedModel) -> VideoTower:
    return video_tower(loaded.model)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def samples(motions: Path) -> list[Sample]:
    return read_annotations(motions, "test").samples


def test_the_first_view_is_the_middle_one_of_a_test(
    loaded: LoadedModel, tower: VideoTower, samples: list[Sample]
):
    shots = embed_shots(tower, loaded.input, samples, 2)
    assert shots.embeddings.shape == (4, 1, 16)
    assert shots.labels.tolist() == [sample.label for sample in samples]
    single = replace(loaded, input=replace(loaded.input, num_clips=1, num_crops=1))
    for sample, found in zip(samples, shots.embeddings[:, 0].float(), strict=True):
        whole = embed(single, sample.path)
        torch.testing.assert_close(found, whole / whole.norm(), rtol=1e-4, atol=1e-5)


def test_random_views_differ_and_follow_from_the_seed(tower: VideoTower, samples: list[Sample]):
    first, again, other = (
        embed_shots(tower, INPUT_TINY, samples, 2, num_augmented=2, seed=seed).embeddings
        for seed in (0, 0, 1)
    )
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    torch.testing.assert_close(first[:, 0], other[:, 0], rtol=0, atol=0)
    assert not torch.allclose(first[:, 1:], other[:, 1:])
    assert not torch.allclose(first[:, 1], first[:, 2])
    torch.testing.assert_close(
        first.norm(dim=-1), torch.ones(4, 3, dtype=torch.float64), rtol=1e-5, atol=1e-5
    )


def test_unreadable_shots_are_counted_and_left_out(tower: VideoTower, samples: list[Sample], tmp_path: Path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with_bad = [Sample(path=str(bad), label=0, id="bad"), *samples]
    shots = embed_shots(tower, INPUT_TINY, with_bad, 2, num_augmented=1)
    assert [failure.path for failure in shots.failures] == [str(bad)]
    torch.testing.assert_close(
        shots.embeddings[:, 0], embed_shots(tower, INPUT_TINY, samples, 2).embeddings[:, 0]
    )


def test_a_class_that_cannot_be_read_at_all_is_an_error(
    tower: VideoTower, samples: list[Sample], tmp_path: Path
):
    gone = Sample(path=str(tmp_path / "gone.mp4"), label=2, id="gone")
    with pytest.raises(DataError, match=r"class 2 of 0 to 2 has no video .*1 could not be read: .*gone\.mp4"):
        embed_shots(tower, INPUT_TINY, [*samples, gone], 3)


def test_parts_that_are_left_out_keep_classes_balanced():
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 2, 2, 2])
    shots = Shots(embeddings=torch.zeros(9, 1, 2, dtype=torch.float64), labels=labels)
    folds = shots.folds()
    assert folds is not None
    assert folds.tolist() == [0, 1, 0, 1, 2, 2, 0, 1, 2]


def test_a_class_of_one_video_leaves_nothing_out():
    labels = torch.tensor([0, 0, 1])
    assert Shots(embeddings=torch.zeros(3, 1, 2, dtype=torch.float64), labels=labels).folds() is None
