import math
from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from tubelet.losses import (
    alignment_loss,
    box_loss,
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
