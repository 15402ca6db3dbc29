from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.data.batch import ClipBatch, Failure, ViewId, collate
from tubelet.data.erase import RandomErasing
from tubelet.data.mix import MixConfig
from tubelet.data.transforms import to_model
from tubelet.errors import DataError
from tubelet.tasks import predicted
from tubelet.tasks.classification import Classification
from tubelet.tasks.task import Task

BROKEN = Failure(path="bad.mp4", reason="bad.mp4: holds no video")


class Brightness(nn.Module):
    """Scores every class by how close its number is to the brightness of the clip."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(0.1))
        self.seen: list[Tensor] = []

    def forward(self, clips: Tensor) -> Tensor:
        self.seen.append(clips)
        brightness = clips.mean(dim=(1, 2, 3, 4))[:, None] * 255
        return -self.sharpness * (brightness - torch.arange(4) * 20).square()


def task(**options: Any) -> Classification:
    return Classification(Brightness(), num_classes=4, mean=(0.0,) * 3, std=(1.0,) * 3, **options)


def batch(values: list[int], labels: list[int] | None, views: int = 1, epoch: int = 0) -> ClipBatch:
    """Videos of one brightness each."""
    return ClipBatch(
        pixels=torch.tensor(values, dtype=torch.uint8)
        .repeat_interleave(views)[:, None, None, None, None]
        .expand(-1, 3, 2, 8, 8)
        .contiguous(),
        labels=None if labels is None else torch.tensor(labels).repeat_interleave(views),
        ids=tuple(ViewId(epoch=epoch, sample=i, view=v) for i in range(len(values)) for v in range(views)),
        names=tuple(f"{i}.mp4" for i in range(len(values)) for _ in range(views)),
    )


def test_the_plain_loss_is_cross_entropy_and_accuracy_beside_it():
    ours, clips = task(), batch([20, 40, 60], [1, 2, 0])
    loss = ours.loss(clips)
    logits = ours.model(to_model(clips.pixels, (0.0,) * 3, (1.0,) * 3))
    torch.testing.assert_close(loss.total, F.cross_entropy(logits, torch.tensor([1, 2, 0])))
    assert float(loss.parts["accuracy"]) == pytest.approx(2 / 3)
    assert isinstance(ours, Task)


def test_smoothing_is_that_of_torch():
    ours, clips = task(smoothing=0.1), batch([20, 40, 60], [1, 2, 0])
    logits = ours.model(to_model(clips.pixels, (0.0,) * 3, (1.0,) * 3))
    expected = F.cross_entropy(logits, torch.tensor([1, 2, 0]), label_smoothing=0.1)
    torch.testing.assert_close(ours.loss(clips).total, expected)


def model_input(ours: Classification, clips: ClipBatch) -> Tensor:
    assert isinstance(ours.model, Brightness)
    ours.loss(clips)
    return ours.model.seen[-1]


def test_mixing_depends_on_the_clips_and_not_on_the_step():
    clips = batch([0, 60], [0, 3])
    first, again = (model_input(task(mix=MixConfig()), clips) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, to_model(clips.pixels, (0.0,) * 3, (1.0,) * 3))
    later = batch([0, 60], [0, 3], epoch=1)
    assert not torch.equal(first, model_input(task(mix=MixConfig()), later))
    assert not torch.equal(first, model_input(task(mix=MixConfig(), seed=1), clips))


def test_an_odd_number_of_clips_can_be_mixed():
    assert bool(task(mix=MixConfig()).loss(batch([0, 20, 60], [0, 1, 3])).total.isfinite())


def test_erasing_treats_every_view_by_its_own_counter():
    erasing = RandomErasing(probability=1.0)
    both = model_input(task(erasing=erasing), batch([20, 60], [1, 3]))
    alone = model_input(task(erasing=erasing), batch([20], [1]))
    assert torch.equal(both[:1], alone)
    assert not torch.equal(both[0] == 20 / 255, both[1] == 60 / 255)


def test_videos_without_labels_are_refused_by_name():
    with pytest.raises(DataError, match=r"0\.mp4 has no label"):
        task().loss(batch([20], None))
    with pytest.raises(DataError, match=r"0\.mp4 has no label"):
        task().predict([batch([20], None)])


def test_views_of_a_video_are_merged_and_batches_joined():
    predicted = task().predict(
        [batch([20, 40], [1, 1], views=3), replace(batch([60], [3]), names=("z.mp4",))]
    )
    assert predicted.names == ("0.mp4", "1.mp4", "z.mp4")
    assert predicted.labels.tolist() == [1, 1, 3]
    assert predicted.scores.argmax(dim=1).tolist() == [1, 2, 3]
    torch.testing.assert_close(predicted.scores.sum(dim=1), torch.ones(3, dtype=torch.float64))


def test_predicting_puts_the_model_into_eval_mode():
    ours = task()
    ours.model.train()
    ours.predict([batch([20], [1])])
    assert not ours.model.training


def test_figures_are_shares_of_the_videos():
    figures = task().evaluate([batch([20, 40, 60, 0], [1, 1, 3, 0])])
    assert figures == {
        "top1": 0.75,
        "top5": 1.0,
        "mean_class": pytest.approx((1 + 0.5 + 1) / 3),
        "num_videos": 4,
        "num_missing": 0,
    }


def test_missing_videos_leave_no_score_unless_allowed():
    clips = [replace(batch([20, 40], [1, 2]), failures=(BROKEN,)), collate([])]
    with pytest.raises(
        DataError, match=r"1 of 3 videos could not be read, so there is no score: bad\.mp4: holds"
    ):
        task().evaluate(clips)
    figures = task(allow_missing=True).evaluate(clips)
    assert (figures["top1"], figures["num_missing"]) == (1.0, 1)


def test_nothing_readable_is_an_error_even_if_missing_videos_are_allowed():
    empty = collate([BROKEN])
    with pytest.raises(DataError, match=r"none of the 1 videos could be read: bad\.mp4: holds no video"):
        task(allow_missing=True).evaluate([empty])
    with pytest.raises(DataError, match="there are no videos to predict"):
        task().evaluate([])


def test_a_test_of_many_pixels_goes_through_the_model_in_parts(monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            seen.append(len(clips))
            return clips.flatten(1)[:, :2]

    clips = torch.randn(5, 3, 2, 4, 4)
    monkeypatch.setattr(predicted, "PIXELS_PER_PASS", 2 * 2 * 4 * 4)
    assert torch.equal(predicted.in_passes(Counting(), clips), clips.flatten(1)[:, :2])
    assert seen == [2, 2, 1]
