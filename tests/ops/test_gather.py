import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from torch import distributed

from tubelet.losses import contrastive_loss
from tubelet.ops.gather import gathered

WORLD = 2


def features() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    videos, texts = torch.randn(2, 6, 4, generator=generator)
    return videos.requires_grad_(), texts.requires_grad_()


def on_one_device(rank: int, folder: str) -> None:
    """The loss over all pairs, where this process has a part of them, and its gradients."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    videos, texts = (x.detach().chunk(WORLD)[rank].clone().requires_grad_() for x in features())
    loss = contrastive_loss(gathered(videos), gathered(texts), 5.0)
    loss.backward()
    ids = gathered(torch.tensor([rank, 10 + rank]))
    torch.save((loss.detach(), videos.grad, texts.grad, ids), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


# Forked, because importing torch once more in each process takes ten times as long; Python 3.12 warns of it.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_loss_over_all_devices_is_that_of_one(tmp_path: Path):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=on_one_device, args=(rank, str(tmp_path))) for rank in range(WORLD)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * WORLD
    videos, texts = features()
    loss = contrastive_loss(videos, texts, 5.0)
    loss.backward()
    results = [torch.load(tmp_path / f"{rank}.pt") for rank in range(WORLD)]
    for theirs, *_, ids in results:
        torch.testing.assert_close(theirs, loss.detach())
        assert ids.tolist() == [0, 10, 1, 11]
    # What averaging over the devices makes of the gradients.
    for ours, place in ((videos.grad, 1), (texts.grad, 2)):
        torch.testing.assert_close(torch.cat([result[place] for result in results]) / WORLD, ours)


def test_alone_nothing_is_gathered():
    videos, _ = features()
    assert gathered(videos) is videos
