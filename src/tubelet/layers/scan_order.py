"""Orders in which a sequence of tokens is scanned."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

# The sequence positions of the tokens that are scanned, in their order; None leaves them as they are.
Order = Int64[Tensor, "*batch length"] | None


def temporal_order(
    tokens: Int64[Tensor, "*batch tokens"], grid: tuple[int, int, int]
) -> Int64[Tensor, "*batch tokens"]:
    """Tokens, given by their numbers in (t h w) order, place after place instead of frame after frame.

    >>> temporal_order(torch.arange(6), (3, 1, 2))
    tensor([0, 2, 4, 1, 3, 5])
    """
    frames, places = grid[0], grid[1] * grid[2]
    return (tokens % places * frames + tokens // places).argsort(dim=-1)


def with_cls(order: Int64[Tensor, "*batch tokens"], *, middle: bool) -> Int64[Tensor, "*batch length"]:
    """An order of tokens as one of the whole sequence, whose index 0 is the class token."""
    at = order.shape[-1] // 2 if middle else 0
    cls = order.new_zeros(*order.shape[:-1], 1)
    return torch.cat([order[..., :at] + 1, cls, order[..., at:] + 1], dim=-1)


def in_order(tokens: Float[Tensor, "batch length dim"], order: Order) -> Float[Tensor, "batch length dim"]:
    """The tokens that an order names, one after the other."""
    if order is None:
        return tokens
    if order.ndim == 1:
        return tokens[:, order]
    return tokens.gather(1, order.unsqueeze(-1).expand_as(tokens))


def inverse(order: Order) -> Order:
    """The order that undoes another one."""
    return None if order is None else order.argsort(dim=-1)
