from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tubelet.data.batch import ClipBatch, Failure, ViewId, collate
from tubelet.data.erase import RandomErasing
from tubelet.data.values import ValueScale
from tubelet.errors import ConfigError, DataError
from tubelet.tasks.regression import Regression
from tubelet.tasks.task import Task

BROKEN = Failure(path="bad.mp4", reason="bad.mp4: holds no video")
SCALE = ValueScale(mean=100.0, std=20.0)


class Brightness(nn.Module):
    """Predicts how many deviations of 20 levels a clip is brighter than 100."""

    def __init__(self, outputs: int = 1):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(outputs))

    def forward(self, clips: Tensor) -> Tensor:
        return self.gain * (clips.mean(dim=(1, 2, 3, 4))[:, None] * 255 - 100) / 20


def task(**options: Any) -> Regression:
    return Regression(
        options.pop("model", Brightness()), scale=SCALE, mean=(0.0,) * 3, std=(1.0,) * 3, **options
    )


def batch(levels: list[int], values: list[float] | None, views: int = 1) -> ClipBatch:
    """Videos of one brightness each."""
    pixels = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None, None].expand(-1, 3, 2, 4, 4)
    return ClipBatch(
        pixels=pixels.repeat_interleave(views, dim=0),
        labels=None,
        ids=tuple(ViewId(epoch=0, sample=i, view=v) for i in range(len(levels)) for v in range(views)),
        names=tuple(f"{i}.mp4" for i in range(len(levels)) for _ in range(views)),
        values=None if values is None else torch.tensor(values).repeat_interleave(views),
    )


def test_the_loss_is_in_deviations_and_the_error_beside_it_in_units():
    loss = task().loss(batch([100, 120], [120.0, 120.0]))
    assert float(loss.total.detach()) == pytest.approx(0.5, rel=1e-5)
    assert float(loss.parts["mae"]) == pytest.approx(10)
    assert isinstance(task(), Task)
    loss.total.backward()


def test_figures_are_in_the_values_own_units():
    figures = task().evaluate([batch([100, 130], [110.0, 110.0])])
    assert figures == {
        "mse": pytest.approx((10**2 + 20**2) / 2),
        "mae": pytest.approx(15),
        "num_videos": 2,
        "num_missing": 0,
    }


def test_views_of_a_video_are_averaged_and_batches_joined():
    two = batch([100, 140], [0.0, 0.0])
    same = replace(two, ids=tuple(ViewId(epoch=0, sample=5, view=v) for v in range(2)), names=("5.mp4",) * 2)
    predicted = task().predict([same, batch([60], [1.0], views=3)])
    assert predicted.names == ("5.mp4", "0.mp4")
    assert predicted.predicted.tolist() == pytest.approx([120, 60], abs=1e-3)
    assert predicted.values.tolist() == [0, 1]


def test_windows_are_averaged_by_video_and_one_that_failed_takes_its_video_along():
    windows = replace(
        batch([100, 140, 60, 80], [1.0, 1.0, 2.0, 3.0]),
        names=("a", "a", "b", "bad.mp4"),
        failures=(BROKEN, BROKEN),
    )
    merged = task().predict([windows]).merge_windows()
    assert merged.names == ("a", "b")
    assert merged.predicted.tolist() == pytest.approx([120, 60], abs=1e-3)
    assert merged.values.tolist() == [1, 2]
    assert merged.failures == (BROKEN,)


def test_erasing_reaches_the_clips():
    clips = batch([100, 120], [100.0, 120.0])
    erased = task(erasing=RandomErasing(probability=1.0)).loss(clips).total
    assert float(task().loss(clips).total.detach()) < 1e-9
    assert float(erased.detach()) > 1e-6


def test_videos_without_values_and_models_with_more_outputs_are_refused():
    with pytest.raises(DataError, match=r"0\.mp4 has no value, and a regression needs one"):
        task().loss(batch([20], None))
    with pytest.raises(ConfigError, match="needs 1 output, the model has 3"):
        task(model=Brightness(3)).loss(batch([20], [1.0]))


def test_missing_videos_leave_no_figure_unless_allowed():
    clips = [replace(batch([20, 40], [1.0, 2.0]), failures=(BROKEN,)), collate([])]
    with pytest.raises(DataError, match="1 of 3 videos could not be read, so there is no score"):
        task().evaluate(clips)
    assert task(allow_missing=True).evaluate(clips)["num_missing"] == 1
    with pytest.raises(DataError, match="none of the 1 videos could be read"):
        task(allow_missing=True).evaluate([collate([BROKEN])])
