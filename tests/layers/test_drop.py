import itertools

import torch

from tubelet.layers.drop import DropPath, drop_path_rates


def test_samples_are_dropped_whole_and_the_rest_scaled_up():
    dropped = DropPath(0.25).train()(torch.ones(4000, 2, 3))
    values = {round(v, 4) for v in dropped.unique().tolist()}
    assert values == {0.0, round(1 / 0.75, 4)}
    assert bool((dropped == dropped[:, :1, :1]).all())


def test_the_mean_is_kept():
    dropped = DropPath(0.25).train()(torch.ones(4000, 1))
    assert abs(float(dropped.mean()) - 1) < 0.04  # five standard deviations


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero():
    branch = torch.randn(5, 2)
    assert torch.equal(DropPath(0.5).eval()(branch), branch)
    assert torch.equal(DropPath(0.0).train()(branch), branch)


def test_rates_grow_from_nothing_to_the_given_one():
    rates = drop_path_rates(0.3, 4)
    assert rates[0] == 0.0
    assert rates[-1] == 0.3
    assert all(abs((b - a) - 0.1) < 1e-12 for a, b in itertools.pairwise(rates))
    assert drop_path_rates(0.3, 1) == [0.0]
