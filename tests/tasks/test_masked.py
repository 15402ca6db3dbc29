from dataclasses import replace

import pytest
import torch

from tubelet.data.batch import ClipBatch, Failure, ViewId
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD, to_model
from tubelet.errors import DataError
from tubelet.models.videomae import EncoderConfig, PretrainerConfig, VideoMAEPretrainer, tubelet_targets
from tubelet.tasks.masked import MaskedPixels
from tubelet.tasks.task import Task

CONFIG = PretrainerConfig(
    encoder=EncoderConfig(dim=16, depth=1, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 4, 4)),
    decoder_dim=8,
    decoder_depth=1,
    decoder_num_heads=2,
)


def task(config: PretrainerConfig = CONFIG, seed: int = 0) -> MaskedPixels:
    torch.manual_seed(0)
    model = VideoMAEPretrainer(config)
    return MaskedPixels(model, config, mask_ratio=0.5, mean=IMAGENET_MEAN, std=IMAGENET_STD, seed=seed)


def batch(epoch: int = 0, samples: tuple[int, ...] = (0, 1)) -> ClipBatch:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (8, 3, 4, 16, 16), generator=generator, dtype=torch.uint8)
    return ClipBatch(
        pixels=pixels[list(samples)],
        labels=None,
        ids=tuple(ViewId(epoch=epoch, sample=i, view=0) for i in samples),
        names=tuple(f"{i}.mp4" for i in samples),
    )


def test_the_loss_is_the_error_on_hidden_pixels_alone():
    ours = task()
    masked = ours.masks(batch())
    predicted = ours.model(to_model(batch().pixels), masked)
    target = tubelet_targets(batch().pixels / 255, masked, (2, 4, 4), normalize=True)
    torch.testing.assert_close(ours.loss(batch()).total, (predicted - target).square().mean())
    assert isinstance(ours, Task)


def test_a_view_is_masked_by_its_own_counter():
    ours = task()
    alone = ours.masks(batch(samples=(1,)))
    assert torch.equal(ours.masks(batch(samples=(0, 1)))[1], alone[0])
    assert not torch.equal(ours.masks(batch(epoch=1, samples=(1,))), alone)
    assert not torch.equal(task(seed=1).masks(batch(samples=(1,))), alone)


def test_targets_need_not_be_normalized():
    ours = task(replace(CONFIG, normalize_target=False))
    targets = ours.targets(batch(), ours.masks(batch()))
    assert float(targets.min()) >= 0
    assert 0.9 < float(targets.max()) <= 1


def test_evaluation_is_the_mean_over_views_however_they_are_batched():
    ours = task()
    together = ours.evaluate([batch(samples=(0, 1, 2))])
    apart = ours.evaluate([batch(samples=(0,)), batch(samples=(1, 2))])
    assert together["num_views"] == apart["num_views"] == 3
    assert together["loss"] == pytest.approx(apart["loss"], rel=1e-5)


def test_a_figure_over_unreadable_videos_is_refused_unless_allowed():
    broken = replace(batch(samples=()), failures=(Failure(path="x", reason="x is empty"),))
    ours = task()
    with pytest.raises(DataError, match="1 of 3 videos could not be read, so there is no figure: x is empty"):
        ours.evaluate([broken, batch()])
    ours.allow_missing = True
    assert ours.evaluate([broken, batch()])["num_missing"] == 1
    with pytest.raises(DataError, match="1 of 1 videos could not be read"):
        ours.evaluate([broken])


def test_a_reconstruction_shows_what_was_hidden():
    ours = task()
    first, second = ours.reconstruct(batch())
    masked = ours.masks(batch())
    assert torch.equal(torch.stack([first.masked, second.masked]), masked)
    assert first.predicted.shape == first.target.shape == (int(masked[0].sum()), 2 * 4 * 4 * 3)
    errors = torch.cat([r.predicted - r.target for r in (first, second)])
    torch.testing.assert_close(errors.square().mean(), ours.loss(batch()).total.detach())
