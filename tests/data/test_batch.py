from dataclasses import replace

import pytest
import torch

from tubelet.data.batch import Failure, LoadedVideo, ViewId, collate
from tubelet.errors import DataError


def loaded(sample: int, label: int | None, views: int = 2, frames: int = 4) -> LoadedVideo:
    return LoadedVideo(
        pixels=torch.full((views, 3, frames, 8, 8), sample, dtype=torch.uint8),
        label=label,
        ids=tuple(ViewId(epoch=0, sample=sample, view=v) for v in range(views)),
        name=f"{sample}.mp4",
    )


BROKEN = Failure(path="bad.mp4", reason="bad.mp4 is empty")


def test_views_of_a_batch_keep_their_video_label_and_name():
    batch = collate([loaded(3, 1), loaded(5, 0, views=1)])
    assert len(batch) == 3
    assert batch.pixels[:, 0, 0, 0, 0].tolist() == [3, 3, 5]
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 1, 0]
    assert [(view.sample, view.view) for view in batch.ids] == [(3, 0), (3, 1), (5, 0)]
    assert batch.names == ("3.mp4", "3.mp4", "5.mp4")


def test_failures_are_carried_and_not_replaced():
    batch = collate([BROKEN, loaded(3, 1)])
    assert len(batch) == 2
    assert batch.failures == (BROKEN,)


def test_a_batch_of_failures_alone_is_empty():
    batch = collate([BROKEN, BROKEN])
    assert len(batch) == 0
    assert batch.labels is None
    assert batch.failures == (BROKEN, BROKEN)
    assert len(batch.to(torch.device("cpu"))) == 0


def test_one_video_without_a_label_leaves_the_batch_without():
    assert collate([loaded(3, 1), loaded(4, None)]).labels is None


def test_a_batch_moves_with_all_it_has():
    batch = collate([loaded(3, 1)]).to(torch.device("meta"))
    assert batch.pixels.is_meta
    assert batch.labels is not None
    assert batch.labels.is_meta
    assert batch.names == ("3.mp4", "3.mp4")


def test_values_follow_the_views_and_move_with_them():
    items = [replace(loaded(3, None), value=1.5), replace(loaded(5, None, views=1), value=-2.0)]
    batch = collate(items)
    assert batch.values is not None
    assert batch.values.tolist() == [1.5, 1.5, -2.0]
    moved = batch.to(torch.device("meta"))
    assert moved.values is not None
    assert moved.values.is_meta
    assert collate([*items, loaded(4, 1)]).values is None


def test_clips_of_different_lengths_make_no_batch():
    with pytest.raises(DataError, match=r"differ in shape: \[\(3, 4, 8, 8\), \(3, 6, 8, 8\)\]"):
        collate([loaded(3, 1), loaded(4, 1, frames=6)])
