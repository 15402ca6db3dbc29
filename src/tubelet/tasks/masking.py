"""Which tubelets a masked model does not see.

A mask has two halves: an order in which things would be hidden, which is drawn, and how far down that order
hiding goes, which is arithmetic. `draw_mask` does both, `mask_from_orders` the second alone.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tubelet.errors import ConfigError, DataError

MaskType = Literal["tube", "random", "tube_row", "random_row", "attention"]


def draw_mask(
    mask_type: MaskType,
    grid: tuple[int, int, int],
    mask_ratio: float,
    generator: torch.Generator,
    attention: Float[Tensor, "frames places"] | None = None,
) -> Bool[Tensor, "tokens"]:
    """One mask over a grid of (frames, rows, columns) tokens in (t h w) order; true where hidden.

    - "tube": one random set of places, hidden in every frame (VideoMAE, section 3.2).
    - "random": tokens anywhere in the clip.
    - "tube_row": so many whole rows in each frame, others in every frame.
    - "random_row": as many whole rows, anywhere in the clip: frames hide different numbers of them.
    - "attention": in each frame, places are drawn without replacement in proportion to a teacher's `attention`,
      and the first ones stay visible: what the teacher looks at is hidden least often (VideoMamba).

    All masks of one type, grid and ratio hide the same number of tokens.
    """
    if mask_type != "attention":
        draws, items = orders_shape(mask_type, grid)
        orders = torch.stack([torch.randperm(items, generator=generator) for _ in range(draws)])
    elif attention is None:
        raise ConfigError("attention masks need a teacher's attention, one row per frame of the grid")
    else:
        orders = _attention_orders(attention, grid, generator)
    return mask_from_orders(mask_type, grid, mask_ratio, orders)


def mask_from_orders(
    mask_type: MaskType, grid: tuple[int, int, int], mask_ratio: float, orders: Int[Tensor, "draws items"]
) -> Bool[Tensor, "tokens"]:
    """The mask that hides the first ones of every order.

    An order is a permutation of what a type hides: of the places of a frame ("tube": one order; "attention":
    one per frame), of all tokens ("random"), of the rows of a frame ("tube_row": one per frame), or of the rows
    of all frames ("random_row"). How many orders of how many items that are, `orders_shape` says.
    """
    shape = orders_shape(mask_type, grid)
    if orders.shape != shape:
        raise ConfigError(
            f"a {mask_type} mask over {grid} tokens needs {shape[0]} orders of {shape[1]}; "
            f"{len(orders)} of {orders.shape[1]} were given"
        )
    hidden = torch.zeros(shape, dtype=torch.bool)
    hidden.scatter_(1, orders[:, : _num_hidden(mask_type, grid, mask_ratio)], True)
    if mask_type in ("tube_row", "random_row"):
        return hidden.flatten().repeat_interleave(grid[2])
    return hidden.flatten().repeat(grid[0] if mask_type == "tube" else 1)


def orders_shape(mask_type: MaskType, grid: tuple[int, int, int]) -> tuple[int, int]:
    """How many orders a mask is made of, and of how many items each."""
    frames, rows, columns = grid
    if min(grid) < 1:
        raise ConfigError(f"the grid is {grid}; it needs at least 1 frame, row and column of tubelets")
    shapes = {
        "tube": (1, rows * columns),
        "random": (1, frames * rows * columns),
        "tube_row": (frames, rows),
        "random_row": (1, frames * rows),
        "attention": (frames, rows * columns),
    }
    if mask_type not in shapes:
        raise ConfigError(f"mask_type is {mask_type!r}; it can be {', '.join(map(repr, shapes))}")
    return shapes[mask_type]


def tube_mask(
    grid: tuple[int, int, int], mask_ratio: float, generator: torch.Generator
) -> Bool[Tensor, "tokens"]:
    """One random set of places, masked in every frame (VideoMAE, section 3.2); true where hidden.

    The number of places per frame is ⌊mask_ratio · rows · columns⌋, so 0.9 of 14×14 hides 176 and shows 20.
    Content that stays in place cannot be copied from a neighbouring frame.
    """
    return draw_mask("tube", grid, mask_ratio, generator)


def num_masked_places(grid: tuple[int, int, int], mask_ratio: float) -> int:
    """Places hidden per frame; a ConfigError for a ratio that is no share or leaves nothing to see."""
    return _share(grid[1] * grid[2], mask_ratio)


def _share(number: int, mask_ratio: float) -> int:
    if not 0 <= mask_ratio < 1:
        raise ConfigError(f"mask_ratio {mask_ratio} is not a share from 0 up to (not including) 1")
    return int(mask_ratio * number)


def _num_hidden(mask_type: MaskType, grid: tuple[int, int, int], mask_ratio: float) -> int:
    """How many items of each order are hidden."""
    if mask_type == "random_row":
        return grid[0] * _share(grid[1], mask_ratio)  # as many as "tube_row" hides in all frames together
    return _share(orders_shape(mask_type, grid)[1], mask_ratio)


def _attention_orders(
    attention: Float[Tensor, "frames places"], grid: tuple[int, int, int], generator: torch.Generator
) -> Int[Tensor, "frames places"]:
    frames, rows, columns = grid
    if attention.shape != (frames, rows * columns):
        raise ConfigError(
            f"the attention covers {len(attention)} frames of {attention.shape[1]} places; the grid has "
            f"{frames} of {rows * columns}"
        )
    # On the CPU, because a mask is to be the same on every device.
    weights = attention.detach().float().cpu()
    if not bool((weights >= 0).all() & weights.isfinite().all() & (weights.sum(dim=1) > 0).all()):
        raise DataError(
            "the teacher's attention is not a share of the places in each frame: not finite, or none"
        )
    shown_first = torch.multinomial(weights, rows * columns, generator=generator)
    return shown_first.flip(1)
