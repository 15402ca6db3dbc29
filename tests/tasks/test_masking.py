import math
from typing import get_args

import pytest
import torch
from torch import Tensor

from tubelet.data.randomness import counter_generator
from tubelet.errors import ConfigError, DataError
from tubelet.tasks.masking import (
    MaskType,
    draw_mask,
    mask_from_orders,
    num_masked_places,
    orders_shape,
    tube_mask,
)

GRID = (4, 6, 5)
TYPES: tuple[MaskType, ...] = get_args(MaskType)


def attention(frames: int = 4, places: int = 30) -> Tensor:
    return torch.rand(frames, places, generator=counter_generator("attention")).softmax(dim=-1)


def drawn(mask_type: MaskType, ratio: float = 0.5, seed: int = 0) -> Tensor:
    return draw_mask(mask_type, GRID, ratio, counter_generator(seed), attention())


@pytest.mark.parametrize(("ratio", "hidden"), [(0.9, 176), (0.75, 147), (0.95, 186), (0.0, 0), (0.5, 98)])
def test_the_published_ratios_hide_the_published_numbers(ratio: float, hidden: int):
    assert num_masked_places((8, 14, 14), ratio) == hidden
    mask = tube_mask((8, 14, 14), ratio, counter_generator(0))
    assert int(mask.sum()) == 8 * hidden


def test_every_frame_hides_the_same_places():
    mask = tube_mask((4, 5, 6), 0.7, counter_generator(1)).reshape(4, 30)
    assert bool((mask == mask[0]).all())


def test_masks_come_from_the_counter_and_differ_between_counters():
    masks = [tube_mask((2, 14, 14), 0.9, counter_generator(seed)) for seed in (0, 0, 1)]
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_all_places_are_hidden_equally_often():
    masks = torch.stack([tube_mask((1, 4, 4), 0.75, counter_generator(i)) for i in range(2000)])
    shares = masks.double().mean(dim=0)
    assert float((shares - 0.75).abs().max()) < 0.05  # five standard deviations


@pytest.mark.parametrize("ratio", [1.0, -0.1, 1.5])
def test_a_ratio_that_is_no_share_is_refused(ratio: float):
    with pytest.raises(ConfigError, match=f"mask_ratio {ratio} is not a share"):
        num_masked_places((8, 14, 14), ratio)


@pytest.mark.parametrize(
    ("mask_type", "ratio", "hidden"),
    [
        ("tube", 0.75, 4 * 22),
        ("random", 0.75, 90),
        ("tube_row", 0.75, 4 * 4 * 5),
        ("random_row", 0.75, 4 * 4 * 5),
        ("attention", 0.75, 4 * 22),
        ("attention", 0.0, 0),
        ("random_row", 0.1, 0),
    ],
)
def test_every_draw_of_a_type_hides_the_same_number(mask_type: MaskType, ratio: float, hidden: int):
    for seed in range(20):
        mask = drawn(mask_type, ratio, seed)
        assert mask.shape == (math.prod(GRID),)
        assert int(mask.sum()) == hidden


@pytest.mark.parametrize("mask_type", TYPES)
def test_every_type_is_drawn_from_its_counter(mask_type: MaskType):
    assert torch.equal(drawn(mask_type, seed=1), drawn(mask_type, seed=1))
    assert not torch.equal(drawn(mask_type, seed=1), drawn(mask_type, seed=2))


@pytest.mark.parametrize("mask_type", ["tube_row", "random_row"])
def test_rows_are_hidden_whole(mask_type: MaskType):
    rows = drawn(mask_type).unflatten(0, GRID)
    assert bool((rows == rows[..., :1]).all())


def test_tube_rows_are_as_many_in_every_frame_but_not_the_same():
    frames = torch.stack([drawn("tube_row", seed=seed).unflatten(0, GRID)[..., 0] for seed in range(20)])
    assert bool((frames.sum(dim=2) == 3).all())
    assert bool((frames != frames[:, :1]).any())


def test_random_rows_are_not_as_many_in_every_frame():
    frames = torch.stack([drawn("random_row", seed=seed).unflatten(0, GRID)[..., 0] for seed in range(20)])
    assert bool((frames.sum(dim=2) != 3).any())


def test_the_more_a_teacher_attends_to_a_place_the_less_often_it_is_hidden():
    weights = torch.tensor([[8.0, 4.0, 2.0, 1.0]]) / 15
    masks = [draw_mask("attention", (1, 2, 2), 0.75, counter_generator(i), weights) for i in range(3000)]
    # Of four places one is shown, with the probability of its attention.
    shown = 1 - torch.stack(masks).float().mean(dim=0)
    assert float((shown - weights[0]).abs().max()) < 5 * (0.25 / 3000) ** 0.5


def test_places_without_attention_are_hidden_first():
    weights = torch.tensor([[0.5, 0.0, 0.0, 0.5]]).repeat(2, 1)
    mask = draw_mask("attention", (2, 2, 2), 0.5, counter_generator(0), weights)
    assert mask.tolist() == [False, True, True, False] * 2


def test_each_frame_follows_its_own_attention():
    weights = torch.eye(3)
    mask = draw_mask("attention", (3, 1, 3), 0.7, counter_generator(0), weights)
    assert torch.equal(mask.unflatten(0, (3, 3)), ~torch.eye(3, dtype=torch.bool))


def test_an_order_hides_from_its_start():
    order = torch.tensor([[2, 0, 3, 1]])
    assert mask_from_orders("random", (1, 2, 2), 0.5, order).tolist() == [True, False, True, False]
    assert mask_from_orders("tube", (2, 2, 2), 0.25, order).tolist() == [False, False, True, False] * 2
    rows = mask_from_orders("random_row", (2, 2, 3), 0.5, order).unflatten(0, (4, 3))
    assert rows[:, 0].tolist() == [True, False, True, False]


def test_the_masks_of_videomae_are_tubes():
    for seed in range(5):
        assert torch.equal(tube_mask(GRID, 0.9, counter_generator(seed)), drawn("tube", 0.9, seed))


@pytest.mark.parametrize("mask_type", TYPES)
def test_orders_of_another_grid_are_refused(mask_type: MaskType):
    draws, items = orders_shape(mask_type, GRID)
    orders = torch.arange(items + 1).expand(draws, -1)
    with pytest.raises(
        ConfigError, match=rf"needs {draws} orders of {items}; {draws} of {items + 1} were given"
    ):
        mask_from_orders(mask_type, GRID, 0.5, orders)


def test_an_attention_that_is_missing_or_of_another_grid_is_refused():
    with pytest.raises(ConfigError, match="attention masks need a teacher's attention"):
        draw_mask("attention", GRID, 0.5, counter_generator(0))
    with pytest.raises(ConfigError, match="covers 3 frames of 30 places; the grid has 4 of 30"):
        draw_mask("attention", GRID, 0.5, counter_generator(0), attention(frames=3))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_an_attention_that_is_no_share_is_refused(value: float):
    weights = attention()
    weights[2, 3] = value
    with pytest.raises(DataError, match="the teacher's attention is not a share"):
        draw_mask("attention", GRID, 0.5, counter_generator(0), weights)
    with pytest.raises(DataError, match="the teacher's attention is not a share"):
        draw_mask("attention", GRID, 0.5, counter_generator(0), torch.zeros(4, 30))
