"""Contrast and captions at once."""

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from tests.models.test_internvideo import TINY
from tests.tasks.test_contrastive import CAPTIONS, batch, tokens
from tubelet.data.batch import ClipBatch
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, to_model
from tubelet.errors import ConfigError, DataError
from tubelet.losses import caption_loss, contrastive_loss
from tubelet.models.internvideo import InternVideo, InternVideoConfig
from tubelet.tasks.captioning import Captioning
from tubelet.tasks.task import Task

WORLD = 2


def task(seed: int = 0, config: InternVideoConfig = TINY, **weights: Any) -> Captioning:
    torch.manual_seed(0)
    video = replace(config.video, global_dropout=0.0)
    model = InternVideo(replace(config, video=video))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return Captioning(model, tokens, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=seed, **weights)


def test_the_loss_is_the_plain_sum_of_contrast_and_captions():
    ours = task()
    assert isinstance(ours, Task)
    said, model = tokens(list(CAPTIONS)), ours.model
    seen, read = model.seen(to_model(batch().pixels)), model.read(said)
    contrast = contrastive_loss(model.embedded(seen), model.embedded(read), model.scale())
    caption = caption_loss(model.words(read, seen), said)
    loss = ours.loss(batch())
    torch.testing.assert_close(loss.total, contrast + caption)
    torch.testing.assert_close(loss.parts["contrast"], contrast.detach())
    torch.testing.assert_close(loss.parts["caption"], caption.detach())
    assert set(loss.parts) == {"contrast", "caption"}


def test_weights_count_parts_and_zero_leaves_them_out():
    parts = task(hidden=1.0).loss(batch()).parts
    weighed = task(contrast=0.5, caption=2.0, hidden=3.0).loss(batch()).total
    expected = 0.5 * parts["contrast"] + 2 * parts["caption"] + 3 * parts["hidden"]
    torch.testing.assert_close(weighed, expected)
    assert set(task(caption=0.0).loss(batch()).parts) == {"contrast"}


def test_without_a_decoder_videos_and_texts_are_compared_alone():
    bare = replace(TINY, caption=None)
    assert set(task(config=bare, caption=0.0).loss(batch()).parts) == {"contrast"}
    with pytest.raises(ConfigError, match="no caption decoder"):
        task(config=bare).loss(batch())
    assert "caption_loss" not in task(config=bare, caption=0.0).evaluate([batch()])


def test_hidden_words_lie_between_the_markers_and_follow_the_views_own_counter():
    ours, said = task(hidden_words=0.9), tokens(list(CAPTIONS))
    hidden = ours.hidden(batch(), said)
    assert bool(hidden.any())
    assert not bool((hidden & ((said == 1) | (said == 19) | (said == 0))).any())
    assert torch.equal(ours.hidden(batch(samples=(2,)), said[2:3]), hidden[2:3])
    many = torch.tensor([[1, *range(2, 18), 19]]).expand(4, -1)
    drawn = [
        task(seed, hidden_words=0.5).hidden(batch(epoch), many) for seed, epoch in ((0, 0), (1, 0), (0, 1))
    ]
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert 20 < int(drawn[0].sum()) < 44  # of 64


def test_a_picture_is_learned_from_as_a_clip_of_one_frame():
    clips = batch()
    loss = task().loss(replace(clips, pixels=clips.pixels[:, :, :1]))
    assert bool(torch.isfinite(loss.total))


def test_a_model_learns_to_tell_captions_and_to_find_them():
    ours = task()
    optimizer = torch.optim.AdamW(ours.model.parameters(), lr=1e-2)
    before = ours.evaluate([batch()])
    ours.model.train()
    for epoch in range(60):
        optimizer.zero_grad()
        ours.loss(batch(epoch)).total.backward()
        optimizer.step()
    figures = ours.evaluate([batch()])
    assert figures["video_to_text_recall1"] == 1.0
    assert figures["caption_loss"] < 1.0 < before["caption_loss"]


def test_videos_without_captions_are_refused():
    with pytest.raises(DataError, match=r"0\.mp4 has no caption"):
        task().loss(replace(batch(), texts=None))


def gradients(ours: Captioning, part: ClipBatch) -> tuple[Tensor, dict[str, Tensor]]:
    loss = ours.loss(part).total
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in ours.model.named_parameters() if p.grad is not None}


def on_one_device(rank: int, folder: str) -> None:
    """The loss where this process has one half of the batch, and its gradients."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    half = (0, 1) if rank == 0 else (2, 3)
    torch.save(gradients(task(caption=0.0), batch(samples=half)), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


# Forked, because importing torch once more in each process takes ten times as long; Python 3.12 warns of it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_processes_contrast_what_one_does(tmp_path: Path):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=on_one_device, args=(rank, str(tmp_path))) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    whole, expected = gradients(task(caption=0.0), batch())
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD)]
    for loss, _ in found:
        torch.testing.assert_close(loss, whole)
    # The mean over processes, as DistributedDataParallel makes it.
    for name, gradient in expected.items():
        mean = sum(grads[name] for _, grads in found) / WORLD
        torch.testing.assert_close(mean, gradient, atol=1e-5, rtol=1e-4, msg=name)
