import math
from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from tubelet.losses import (
    alignment_loss,
    box_loss,
    caption_loss,
    contrastive_loss,
    masked_pixel_loss,
    smoothed_targets,
    soft_target_cross_entropy,
)


def test_hard_targets_give_the_ordinary_cross_entropy():
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    ours = soft_target_cross_entropy(logits, smoothed_targets(labels, 4))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels))


def test_smoothed_targets_give_torchs_label_smoothing():
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    ours = soft_target_cross_entropy(logits, smoothed_targets(labels, 4, smoothing=0.1))
    torch.testing.assert_close(ours, F.cross_entropy(logits, labels, label_smoothing=0.1))


def test_smoothed_targets_are_probabilities_and_keep_their_label():
    targets = smoothed_targets(torch.tensor([2, 0]), 3, smoothing=0.3)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(2))
    assert targets.argmax(dim=1).tolist() == [2, 0]
    assert math.isclose(float(targets[0, 0]), 0.1, rel_tol=1e-6)


def test_pixel_loss_is_the_mean_of_squares():
    assert float(masked_pixel_loss(torch.zeros(2, 3, 4), torch.full((2, 3, 4), 2.0))) == 4.0


def test_box_loss_grows_with_the_number_of_boxes():
    logits, labels = torch.randn(1, 6), torch.ones(1, 6)
    torch.testing.assert_close(
        box_loss(logits.expand(3, 6), labels.expand(3, 6)), 3 * box_loss(logits, labels)
    )


def test_the_alignment_of_unit_vectors_is_their_squared_distance():
    student, target = (F.normalize(torch.randn(3, 2, 5, 7), dim=-1) for _ in range(2))
    squared = (student - target).square().sum(dim=-1).mean()
    torch.testing.assert_close(alignment_loss(student, target), squared)
    assert float(alignment_loss(student, student).abs()) < 1e-6
    assert math.isclose(float(alignment_loss(student, -student)), 4.0, rel_tol=1e-6)


def test_other_alignments_average_over_channels():
    student, target = torch.zeros(2, 3, 4), torch.full((2, 3, 4), 3.0)
    assert float(alignment_loss(student, target, "mse")) == 9.0
    assert float(alignment_loss(student, target, "smooth_l1")) == 2.5


@pytest.mark.parametrize("kind", ["l2", "mse", "smooth_l1"])
def test_alignment_pulls_the_student_towards_its_target(kind: Literal["l2", "mse", "smooth_l1"]):
    student, target = (F.normalize(torch.randn(4, 6), dim=-1) for _ in range(2))
    student.requires_grad_()
    before = alignment_loss(student, target, kind)
    before.backward()
    assert student.grad is not None
    moved = F.normalize(student.detach() - 0.1 * student.grad, dim=-1)
    assert float(alignment_loss(moved, target, kind)) < float(before.detach())


def test_the_contrastive_loss_is_cross_entropy_both_ways():
    videos, texts, labels = torch.randn(5, 8), torch.randn(5, 8), torch.arange(5)
    logits = 20 * F.normalize(videos, dim=-1) @ F.normalize(texts, dim=-1).T
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(contrastive_loss(videos, texts, 20.0), expected)
    torch.testing.assert_close(contrastive_loss(texts, videos, 20.0), expected)
    torch.testing.assert_close(contrastive_loss(9 * videos, texts / 7, torch.tensor(20.0)), expected)


def test_captions_of_one_video_are_not_told_apart():
    video = torch.randn(1, 8)
    twice = video.expand(2, -1)
    # Both texts fit: each gets half of the target, and no scale can do better than that.
    for scale in (1.0, 100.0):
        loss = contrastive_loss(twice, twice, scale, torch.tensor([7, 7]))
        torch.testing.assert_close(loss, torch.tensor(math.log(2)))
    ids = torch.tensor([4, 9, 5])
    videos, texts = torch.randn(2, 3, 8)
    torch.testing.assert_close(
        contrastive_loss(videos, texts, 10.0, ids), contrastive_loss(videos, texts, 10.0)
    )


def test_the_order_of_pairs_does_not_matter_to_the_contrastive_loss():
    videos, texts = torch.randn(2, 6, 8)
    ids, order = torch.tensor([0, 1, 1, 2, 3, 3]), torch.randperm(6)
    torch.testing.assert_close(
        contrastive_loss(videos[order], texts[order], 10.0, ids[order]),
        contrastive_loss(videos, texts, 10.0, ids),
    )


def test_every_word_of_a_caption_is_predicted_from_those_before_it_to_the_end_token():
    tokens = torch.tensor([[8, 3, 5, 9, 0, 0], [8, 2, 9, 0, 0, 0]])
    logits = torch.randn(2, 5, 10)
    single = [
        F.cross_entropy(logits[text, place], tokens[text, place + 1])
        for text, places in ((0, 3), (1, 2))
        for place in range(places)
    ]
    torch.testing.assert_close(caption_loss(logits, tokens), torch.stack(single).mean())
    # Neither what stands for the words after the end, nor what pads it, matters.
    logits[0, 3:] = logits[1, 2:] = 100.0
    tokens[0, 4:] = tokens[1, 3:] = 9
    torch.testing.assert_close(caption_loss(logits, tokens), torch.stack(single).mean())


@pytest.mark.parametrize("read", [4, 5, 6])
def test_a_caption_loss_takes_as_many_places_as_were_read(read: int):
    tokens, logits = torch.tensor([[8, 3, 5, 9, 0, 0]]), torch.randn(1, 6, 10)
    torch.testing.assert_close(caption_loss(logits[:, :read], tokens), caption_loss(logits, tokens))
