from dataclasses import replace

import pytest
import torch

from tests.tasks.videomambas import PRETRAINER, TOWER, batch, tower, trained_on
from tubelet.data.batch import Failure
from tubelet.data.transforms import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD, to_model
from tubelet.errors import ConfigError, DataError
from tubelet.losses import alignment_loss
from tubelet.models.clip_teacher import teacher_targets
from tubelet.models.videomamba_pretrain import PretrainerConfig, VideoMambaPretrainer
from tubelet.tasks.alignment import Alignment
from tubelet.tasks.task import Task


def task(config: PretrainerConfig = PRETRAINER, **settings) -> Alignment:
    torch.manual_seed(0)
    settings = {"mask_ratio": 0.75, "mean": IMAGENET_MEAN, "std": IMAGENET_STD, **settings}
    return Alignment(VideoMambaPretrainer(config), config, tower(), **settings)


def test_the_loss_compares_the_class_token_and_what_was_visible():
    ours = task()
    targets = ours.targets(batch())
    masked = ours.masks(batch(), targets.attention)
    assert masked.view(2, 4, 16).sum(dim=2).eq(12).all()
    predicted = ours.model(to_model(batch().pixels), masked)
    assert predicted.shape == (1, 2, 1 + 4 * 4, 12)
    expected = []
    for clip in range(2):
        places = [0, *(1 + i for i in range(4 * 16) if not masked[clip, i])]
        expected.append(alignment_loss(predicted[:, clip], targets.features[:, clip, places]))
    torch.testing.assert_close(ours.loss(batch()).total, torch.stack(expected).mean())
    assert isinstance(ours, Task)


def test_the_teacher_sees_pixels_as_clip_was_trained_with_them_unless_told_otherwise():
    for statistics, mean, std in (("clip", CLIP_MEAN, CLIP_STD), ("student", IMAGENET_MEAN, IMAGENET_STD)):
        ours = task(teacher_statistics=statistics)
        expected = teacher_targets(ours.teacher, to_model(batch().pixels, mean, std))
        torch.testing.assert_close(ours.targets(batch()).features, expected.features)
    assert not torch.equal(task().targets(batch()).features, expected.features)


def test_the_teacher_gets_no_gradient_and_is_in_eval_mode():
    ours = task()
    ours.model.train()
    ours.loss(batch()).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in ours.teacher.parameters())
    assert not ours.teacher.training
    assert all(p.grad is not None for p in ours.model.parameters())


def test_as_published_the_last_block_does_not_train():
    ours = task(replace(PRETRAINER, last_feature="before_last_block"))
    ours.loss(batch()).total.backward()
    still = {name for name, p in ours.model.named_parameters() if p.grad is None}
    assert all(name.startswith(("encoder.blocks.1.", "encoder.norm.")) for name in still)
    assert "encoder.norm.weight" in still


@pytest.mark.parametrize("mask_type", ["attention", "random", "tube", "tube_row", "random_row"])
def test_a_view_is_masked_by_its_own_counter(mask_type: str):
    ours = task(mask_type=mask_type)

    def masks(ours: Alignment, **which) -> torch.Tensor:
        return ours.masks(batch(**which), ours.targets(batch(**which)).attention)

    alone = masks(ours, samples=(1,))
    assert torch.equal(masks(ours)[1], alone[0])
    assert not torch.equal(masks(ours, epoch=1, samples=(1,)), alone)
    assert not torch.equal(masks(task(mask_type=mask_type, seed=1), samples=(1,)), alone)
    assert torch.isfinite(ours.loss(batch()).total)


@pytest.mark.parametrize("kind", ["l2", "mse", "smooth_l1"])
def test_every_loss_goes_down(kind: str):
    before, after = trained_on(task(kind=kind))
    assert after < 0.7 * before


def test_several_layers_are_aligned_at_once():
    config = replace(PRETRAINER, num_aligned=2)
    assert task(config).targets(batch()).features.shape == (2, 2, 65, 12)
    before, after = trained_on(task(config))
    assert after < before


def test_evaluation_is_the_mean_over_views_however_they_are_batched():
    ours = task()
    together = ours.evaluate([batch(samples=(0, 1, 2))])
    apart = ours.evaluate([batch(samples=(0,)), batch(samples=(1, 2))])
    assert together["num_views"] == apart["num_views"] == 3
    assert together["loss"] == pytest.approx(apart["loss"], rel=1e-5)
    broken = replace(batch(samples=()), failures=(Failure(path="x", reason="x is empty"),))
    with pytest.raises(DataError, match="1 of 3 videos could not be read, so there is no figure: x is empty"):
        ours.evaluate([broken, batch()])


def test_students_that_cannot_be_compared_are_refused():
    model = VideoMambaPretrainer(PRETRAINER)
    settings = {"mask_ratio": 0.75, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    with pytest.raises(ConfigError, match=r"teacher makes \(4, 2, 2\) tokens .* the student \(4, 4, 4\)"):
        Alignment(model, PRETRAINER, tower(replace(TOWER, tubelet=(1, 8, 8))), **settings)
    with pytest.raises(
        ConfigError, match=r"have 6 channels, the student predicts 12; set model\.target_dim=6"
    ):
        Alignment(model, PRETRAINER, tower(replace(TOWER, embed_dim=6)), **settings)
    with pytest.raises(ConfigError, match="l2 loss is between unit vectors; set model"):
        task(replace(PRETRAINER, normalize=False))
    assert task(replace(PRETRAINER, normalize=False), kind="mse").loss(batch()).total > 0
