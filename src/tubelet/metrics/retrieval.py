"""How well queries find what belongs to them, as shares from 0 to 1."""

from jaxtyping import Bool, Float
from torch import Tensor


def recall_at(
    scores: Float[Tensor, "queries found"], relevant: Bool[Tensor, "queries found"], k: int
) -> float:
    """Share of queries with something relevant among their `k` highest scores: R@k.

    What ties with a relevant one comes before it, so that a model that says the same of all finds nothing.
    """
    best = scores.masked_fill(~relevant, -float("inf")).max(dim=1, keepdim=True).values
    ahead = ((scores >= best) & ~relevant).sum(dim=1)
    return float(((ahead < k) & relevant.any(dim=1)).double().mean())
