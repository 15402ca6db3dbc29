"""Logistic regression to the end: at the minimum, the same each time, penalised as left-out shots say."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tubelet.train.probe import L2_DEFAULT, L2_GRID, fit_probe, logistic_regression
from tubelet.train.shots import TOLERANCE, Shots


def drawn_shots(per_class: int, spread: float, views: int = 1, num_classes: int = 3, dim: int = 8) -> Shots:
    """Unit vectors around one direction per class, all in a narrow cone as embeddings are."""
    generator = torch.Generator().manual_seed(0)
    middles = torch.randn(num_classes, dim, generator=generator, dtype=torch.float64) + 5
    labels = torch.arange(num_classes).repeat(per_class)
    noise = torch.randn(len(labels), views, dim, generator=generator, dtype=torch.float64) * spread
    return Shots(embeddings=F.normalize(middles[labels][:, None] + noise, dim=-1), labels=labels)


def objective(shots: Shots, weight: Tensor, bias: Tensor, l2: float) -> Tensor:
    logits = shots.embeddings[:, 0] @ weight.T + bias
    return F.cross_entropy(logits, shots.labels) + l2 / 2 * weight.square().sum()


@pytest.mark.parametrize("l2", [1.0, 1e-2, 1e-4])
def test_the_fit_is_at_the_minimum(l2: float):
    shots = drawn_shots(4, spread=1.0)
    weight, bias = logistic_regression(shots.embeddings[:, 0], shots.labels, 3, l2)
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    objective(shots, weight, bias, l2).backward()
    for parameter in (weight, bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().max() < 1e-5


def test_where_it_starts_does_not_matter():
    shots = drawn_shots(4, spread=1.0)
    features = shots.embeddings[:, 0]
    cold = logistic_regression(features, shots.labels, 3, 1e-2)
    warm = logistic_regression(
        features, shots.labels, 3, 1e-2, (torch.randn(3, 8).double(), torch.randn(3).double())
    )
    torch.testing.assert_close(warm[0], cold[0], rtol=1e-4, atol=1e-4)


def test_it_is_the_same_each_time():
    shots = drawn_shots(3, spread=1.0, views=2)
    first, again = fit_probe(shots, 3), fit_probe(shots, 3)
    assert torch.equal(first.weight, again.weight)
    assert torch.equal(first.bias, again.bias)


def test_what_is_apart_is_told_apart():
    shots = drawn_shots(4, spread=0.05)
    head = fit_probe(shots, 3)
    found = (shots.embeddings[:, 0] @ head.weight.T + head.bias).argmax(dim=1)
    assert found.tolist() == shots.labels.tolist()


def test_noise_asks_for_a_stronger_penalty_than_signal():
    clear, noise = fit_probe(drawn_shots(5, spread=0.05), 3), fit_probe(drawn_shots(5, spread=50.0), 3)
    assert clear.l2 < noise.l2
    assert set(clear.left_out) == set(L2_GRID)
    lowest = min(clear.left_out.values())
    assert clear.l2 == max(l2 for l2, loss in clear.left_out.items() if loss <= lowest + TOLERANCE)


def test_left_out_losses_are_those_of_fits_without_them():
    shots = drawn_shots(2, spread=1.0)
    expected = 0.0
    for out in (slice(0, 3), slice(3, 6)):
        seen = torch.ones(6, dtype=torch.bool)
        seen[out] = False
        weight, bias = logistic_regression(shots.embeddings[seen, 0], shots.labels[seen], 3, 0.1)
        logits = shots.embeddings[out, 0] @ weight.T + bias
        expected += float(F.cross_entropy(logits, shots.labels[out], reduction="sum")) / 6
    assert fit_probe(shots, 3, [0.1]).left_out[0.1] == pytest.approx(expected, rel=1e-6)


def test_one_shot_per_class_takes_the_default_penalty():
    head = fit_probe(drawn_shots(1, spread=0.1), 3)
    assert (head.l2, head.left_out) == (L2_DEFAULT, {})
