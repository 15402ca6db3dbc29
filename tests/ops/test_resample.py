import pytest
import torch

from tubelet.ops.resample import resize_positions


def test_a_grid_that_stays_gives_the_table_itself():
    table = torch.randn(2 * 3 * 4, 5)
    assert resize_positions(table, (2, 3, 4), (2, 3, 4)) is table


@pytest.mark.parametrize("new_grid", [(2, 6, 8), (2, 2, 3), (5, 3, 4), (1, 3, 4), (4, 7, 2)])
def test_a_constant_table_stays_constant(new_grid: tuple[int, int, int]):
    table = torch.tensor([1.0, -2.0]).expand(2 * 3 * 4, 2)
    resized = resize_positions(table, (2, 3, 4), new_grid)
    assert resized.shape == (new_grid[0] * new_grid[1] * new_grid[2], 2)
    torch.testing.assert_close(resized, torch.tensor([1.0, -2.0]).expand_as(resized))


def test_time_indices_are_resized_apart():
    first, second = torch.randn(9, 4), torch.randn(9, 4)
    both = resize_positions(torch.cat([first, second]), (2, 3, 3), (2, 5, 5))
    torch.testing.assert_close(both[:25], resize_positions(first, (1, 3, 3), (1, 5, 5)))
    torch.testing.assert_close(both[25:], resize_positions(second, (1, 3, 3), (1, 5, 5)))


def test_time_is_interpolated_on_a_line():
    ramp = torch.arange(4.0).repeat_interleave(2)[:, None]  # 4 time indices of 1 × 2
    halved = resize_positions(ramp, (4, 1, 2), (2, 1, 2))
    assert halved.flatten().tolist() == [0.5, 0.5, 2.5, 2.5]


def test_rows_and_columns_are_not_swapped():
    table = torch.arange(3.0).repeat(2)[:, None]  # the number of the column, in both rows
    wider = resize_positions(table, (1, 2, 3), (1, 4, 3))
    assert wider.reshape(4, 3).tolist() == [[0.0, 1.0, 2.0]] * 4
