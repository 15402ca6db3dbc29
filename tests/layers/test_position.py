import math

import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.layers.position import sincos_positions


def test_columns_are_sines_and_cosines_of_one_angle_in_pairs():
    table = sincos_positions(50, 6)
    for p in (0, 1, 17, 49):
        for j in range(6):
            angle = p / 10000 ** (2 * (j // 2) / 6)
            expected = math.sin(angle) if j % 2 == 0 else math.cos(angle)
            assert abs(float(table[p, j]) - expected) < 1e-6


def test_positions_are_all_different_and_their_pairs_of_unit_length():
    table = sincos_positions(1568, 384)
    assert len(table.unique(dim=0)) == 1568
    torch.testing.assert_close(table.square().sum(dim=1), torch.full((1568,), 192.0))


def test_the_product_of_two_positions_depends_on_their_distance_alone():
    table = sincos_positions(100, 64)
    torch.testing.assert_close(table[3] @ table[13], table[50] @ table[60], rtol=1e-5, atol=1e-5)


def test_a_longer_table_begins_with_the_shorter_one():
    assert torch.equal(sincos_positions(20, 8)[:10], sincos_positions(10, 8))


def test_a_table_beyond_any_model_is_refused_before_it_is_made():
    with pytest.raises(ConfigError, match="a table of 2,000,000,000 positions in 16 dimensions is too large"):
        sincos_positions(2_000_000_000, 16)
