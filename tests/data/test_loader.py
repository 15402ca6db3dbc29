"""Batch k of epoch e is a fixed set of videos, however it is divided."""

import itertools
import multiprocessing
import os
import signal

import pytest
import torch

from tubelet.data.datasets import FrameCache, VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.loader import TrainingOrder, epoch_order, evaluation_loader, training_loader
from tubelet.data.manifest import Sample
from tubelet.errors import ConfigError, DataError

Keys = list[tuple[int, int]]


def order(num_samples: int = 10, batch_size: int = 4, micro: int = 4, device: int = 0, devices: int = 1):
    return TrainingOrder(
        num_samples=num_samples,
        batch_size=batch_size,
        micro_batch_size=micro,
        seed=3,
        device=device,
        num_devices=devices,
    )


def joined(micro_batches: list[Keys], per_step: int) -> list[Keys]:
    return [
        sorted(itertools.chain.from_iterable(micro_batches[i : i + per_step]))
        for i in range(0, len(micro_batches), per_step)
    ]


def test_an_epoch_sees_every_video_at_most_once_and_leaves_out_the_rest():
    keys = [key for batch in order().micro_batches(0, 2) for key in batch]
    assert [epoch for epoch, _ in keys] == [0] * 8
    assert len({index for _, index in keys}) == 8
    assert order().steps_per_epoch == 2


def test_epochs_differ_in_order_and_each_is_fixed():
    first, second = epoch_order(50, 0, 0), epoch_order(50, 0, 1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, epoch_order(50, 1, 0))
    assert torch.equal(first, epoch_order(50, 0, 0))
    assert sorted(first.tolist()) == list(range(50))


@pytest.mark.parametrize(("micro", "devices"), [(1, 1), (2, 1), (2, 2), (1, 4)])
def test_micro_batches_and_devices_only_divide_a_batch(micro: int, devices: int):
    whole = joined(list(order().micro_batches(0, 6)), 1)
    parts = [list(order(micro=micro, device=d, devices=devices).micro_batches(0, 6)) for d in range(devices)]
    together = [
        sorted(itertools.chain.from_iterable(step))
        for step in zip(*(joined(part, 4 // micro // devices) for part in parts), strict=True)
    ]
    assert together == whole
    assert order(micro=micro, devices=devices).accumulate == 4 // micro // devices


@pytest.mark.parametrize("start", [1, 2, 5])
def test_a_later_start_gives_the_rest_of_the_same_order(start: int):
    everything = list(order(micro=2).micro_batches(0, 6))
    assert list(order(micro=2).micro_batches(start, 6)) == everything[2 * start :]


def test_a_batch_larger_than_the_data_is_refused_with_both_numbers():
    with pytest.raises(
        DataError, match=r"3 videos do not fill one batch of 4; set optim\.batch_size to at most 3"
    ):
        order(num_samples=3)


@pytest.mark.parametrize(("micro", "devices"), [(3, 1), (4, 2), (8, 1)])
def test_micro_batches_must_divide_the_batch(micro: int, devices: int):
    with pytest.raises(ConfigError, match="batch_size 4 does not divide into micro-batches"):
        order(micro=micro, devices=devices)


def numbered(length: int) -> VideoDataset:
    """Videos in memory, every pixel of which is the number of the video."""
    stored = {str(i): torch.full((2, 3, 8, 8), i, dtype=torch.uint8) for i in range(length)}
    spec = InputSpec(num_frames=2, stride=1, image_size=8, num_clips=1, num_crops=1)
    return VideoDataset(
        samples=[Sample(path=name, label=int(name), id=name) for name in stored],
        plan=spec.test_plan(),
        transform=spec.test_transform(),
        random=False,
        cache=FrameCache(0, stored),
    )


def test_an_evaluation_sees_every_video_once_in_order():
    loader = evaluation_loader(numbered(7), batch_size=3, num_workers=0)
    assert [batch.pixels[:, 0, 0, 0, 0].tolist() for batch in loader] == [[0, 1, 2], [3, 4, 5], [6]]


def test_training_batches_come_in_the_order_of_their_keys():
    loader = training_loader(
        numbered(10), order(micro=2), start_step=1, num_steps=4, num_workers=0, pin=False
    )
    keys = list(order(micro=2).micro_batches(1, 4))
    assert [[(view.epoch, view.sample) for view in batch.ids] for batch in loader] == keys


def test_loading_draws_nothing_from_the_global_generator():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    list(training_loader(numbered(10), order(), start_step=0, num_steps=2, num_workers=0, pin=False))
    list(evaluation_loader(numbered(7), batch_size=3, num_workers=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_survive_the_interrupt_that_a_terminal_sends_them():
    wanted = list(order(micro=1).micro_batches(0, 6))
    loader = training_loader(
        numbered(10), order(micro=1), start_step=0, num_steps=6, num_workers=1, pin=False
    )
    batches = [next(loader)]
    (worker,) = multiprocessing.active_children()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGINT)
    batches += loader
    assert [[(view.epoch, view.sample) for view in batch.ids] for batch in batches] == wanted
