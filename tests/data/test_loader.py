"""Batch k of epoch e is a fixed set of videos, however it is divided."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.data import dataloader

from tubelet.data import loader
from tubelet.data.batch import ClipBatch, Failure, LoadedVideo, ViewId
from tubelet.data.datasets import FrameCache, VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.loader import Key, TrainingOrder, epoch_order, evaluation_loader, training_loader
from tubelet.data.manifest import Sample, read_annotations
from tubelet.data.transforms import FinetuneTransform
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
    """Videos in memory, every pixel of which is the number of the video (from 256 on begun anew)."""
    stored = {str(i): torch.full((2, 3, 8, 8), i % 256, dtype=torch.uint8) for i in range(length)}
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


def drawn(folder: Path, broken: Path) -> VideoDataset:
    """Real videos, of which one cannot be read, with every choice about them drawn."""
    samples = [*read_annotations(folder).samples[:7], Sample(path=str(broken), label=0, id="broken")]
    plan = InputSpec(num_frames=4, stride=1, image_size=16).training_plan()
    return VideoDataset(samples=samples, plan=plan, transform=FinetuneTransform(image_size=16, num_views=2))


def bits(batch: ClipBatch) -> tuple[list[int], list[str], list[str]]:
    """All of a batch, to be compared."""
    return batch.pixels.flatten().tolist(), list(batch.names), [failure.path for failure in batch.failures]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than there are cores
def test_batches_are_the_same_bits_with_any_number_of_workers_and_from_any_start(
    motions: Path, tmp_path: Path
):
    broken = tmp_path / "broken.mp4"
    broken.write_text("<html>")
    dataset = drawn(motions, broken)

    def loaded(num_workers: int, start_step: int = 0) -> list[tuple[list[int], list[str], list[str]]]:
        loader = training_loader(
            dataset,
            order(num_samples=8, micro=2),
            start_step=start_step,
            num_steps=4,
            num_workers=num_workers,
            pin=False,
        )
        return [bits(batch) for batch in loader]

    whole = loaded(0)
    assert loaded(1) == whole
    assert loaded(3) == whole
    assert loaded(2, start_step=3) == whole[6:]
    # Once in each epoch the broken one is named, and nothing stands in for it.
    assert [path for _, _, failures in whole for path in failures] == [str(broken)] * 2
    assert sorted(len(names) for _, names, _ in whole) == [2, 2, 4, 4, 4, 4, 4, 4]


class Counted:
    """An order that counts how many micro-batches were asked for."""

    steps_per_epoch, accumulate = 100, 1
    asked = 0

    def micro_batches(self, start_step: int, num_steps: int) -> Iterator[Keys]:
        for step in range(start_step, num_steps):
            self.asked += 1
            yield [(step, 0)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than there are cores
@pytest.mark.parametrize(("num_workers", "most"), [(0, 1), (1, 3), (2, 5)])
def test_a_loader_runs_ahead_by_no_more_than_two_batches_per_worker(num_workers: int, most: int):
    counted = Counted()
    loader = training_loader(
        numbered(1), counted, start_step=0, num_steps=100, num_workers=num_workers, pin=False
    )
    next(loader)
    assert counted.asked <= most


def test_of_a_thousand_videos_thirty_bad_ones_are_named_once_each_and_the_others_seen(tmp_path: Path):
    good = numbered(1000)
    bad = {str(number * 33) for number in range(30)}
    samples = [replace(s, path=str(tmp_path / s.path)) if s.path in bad else s for s in good.samples]
    loader = training_loader(
        replace(good, samples=samples),
        order(num_samples=1000, batch_size=50, micro=25),
        start_step=0,
        num_steps=20,
        num_workers=0,
        pin=False,
    )
    batches = list(loader)
    failures = [failure for batch in batches for failure in batch.failures]
    assert sorted(Path(failure.path).name for failure in failures) == sorted(bad)
    assert all(failure.reason == f"{failure.path}: no such file" for failure in failures)
    seen = [name for batch in batches for name in batch.names]
    assert sorted(seen, key=int) == [str(n) for n in range(1000) if str(n) not in bad]
    assert all(batch.pixels.shape[1:] == (3, 2, 8, 8) for batch in batches)


@pytest.fixture
def _deaths_show_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch asks every five seconds whether its workers live; here five times a second."""
    ask = dataloader._MultiProcessingDataLoaderIter._try_get_data
    monkeypatch.setattr(ask, "__defaults__", (0.2,))


@pytest.mark.usefixtures("_deaths_show_soon")
@pytest.mark.parametrize(("num_workers", "seen"), [(1, 1), (2, 1), (2, 7)])
def test_a_worker_that_is_killed_costs_no_batch_and_doubles_none(num_workers: int, seen: int):
    wanted = list(order(micro=1).micro_batches(0, 6))
    loader = training_loader(
        numbered(10), order(micro=1), start_step=0, num_steps=6, num_workers=num_workers, pin=False
    )
    batches = [next(loader) for _ in range(seen)]
    multiprocessing.active_children()[0].kill()
    with pytest.warns(UserWarning, match=r"a data worker died after batch \d; others do its work again"):
        batches += loader
    assert [[(view.epoch, view.sample) for view in batch.ids] for batch in batches] == wanted
    assert [batch.pixels.unique().tolist() for batch in batches] == [[key[0][1]] for key in wanted]


class Large:
    """Videos that fill megabytes."""

    def __len__(self) -> int:
        return 200

    def __getitem__(self, key: tuple[int, int]) -> LoadedVideo | Failure:
        ids = (ViewId(epoch=0, sample=key[1], view=0),)
        pixels = torch.zeros(1, 3, 16, 224, 224, dtype=torch.uint8)
        return LoadedVideo(pixels=pixels, label=0, ids=ids, name="")


def held_mib(process: int | None) -> float:
    """Memory of a process, in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells what a process holds")
def test_a_worker_holds_no_more_after_many_batches_than_after_few():
    loader = evaluation_loader(Large(), batch_size=4, num_workers=1)
    for _ in range(6):
        next(loader)
    (worker,) = multiprocessing.active_children()
    before = held_mib(worker.pid)
    for _ in range(40):
        next(loader)
    # 40 batches are 367 MiB; up to three are under way.
    assert held_mib(worker.pid) - before < 60


class Deadly:
    """Videos of which one kills whoever reads it."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, key: tuple[int, int]) -> LoadedVideo | Failure:
        if key[1] == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbered(10)[key]


@pytest.mark.usefixtures("_deaths_show_soon")
def test_a_video_that_kills_every_worker_is_one_clear_error():
    batches: list[ClipBatch] = []
    with (
        pytest.warns(UserWarning, match="a data worker died"),
        pytest.raises(DataError, match=r"died twice over .*\(`tubelet data check` finds it\)"),
    ):
        batches.extend(evaluation_loader(Deadly(), batch_size=1, num_workers=1))


def test_a_death_that_the_thread_of_pinned_memory_meets_is_one(monkeypatch: pytest.MonkeyPatch):
    whole = list(evaluation_loader(numbered(3), batch_size=1, num_workers=0))
    dies = iter((True, False))

    def fetch(dataset: object, keys: Iterable[list[Key]], num_workers: int, pin: bool) -> Iterator[ClipBatch]:
        wanted = [whole[key[0][1]] for key in keys]
        if next(dies):
            yield from wanted[:1]
            raise RuntimeError("Pin memory thread exited unexpectedly")
        yield from wanted

    monkeypatch.setattr(loader, "_loader", fetch)
    with pytest.warns(UserWarning, match="a data worker died after batch 1"):
        batches = list(evaluation_loader(numbered(3), batch_size=1, num_workers=1, pin=True))
    assert [batch.names for batch in batches] == [batch.names for batch in whole]


class Wrong(Deadly):
    """A data set with a mistake that looks like the end of a worker."""

    def __getitem__(self, key: tuple[int, int]) -> LoadedVideo | Failure:
        raise FileNotFoundError("a mistake of ours")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_another_error_is_not_taken_for_a_death(num_workers: int):
    with pytest.raises(FileNotFoundError, match="a mistake of ours"):
        list(evaluation_loader(Wrong(), batch_size=1, num_workers=num_workers))
