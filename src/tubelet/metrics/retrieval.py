"""How well queries find what belongs to them, as shares from 0 to 1."""

from collections.abc import Sequence

from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Queries that are compared together; more would only take memory.
QUERIES_PER_PASS = 1024


def recall_at(
    scores: Float[Tensor, "queries found"], relevant: Bool[Tensor, "queries found"], k: int
) -> float:
    """Share of queries with something relevant among their `k` highest scores: R@k.

    What ties with a relevant one comes before it, so that a model that says the same of all finds nothing; nor
    does one whose scores are no numbers.
    """
    best = scores.masked_fill(~relevant, -float("inf")).max(dim=1, keepdim=True).values
    ahead = (~(scores < best) & ~relevant).sum(dim=1)
    return float(((ahead < k) & relevant.any(dim=1)).double().mean())


def recalls(
    queries: Float[Tensor, "queries dim"],
    candidates: Float[Tensor, "candidates dim"],
    query_ids: Int64[Tensor, "queries"],
    candidate_ids: Int64[Tensor, "candidates"],
    ks: Sequence[int],
) -> list[float]:
    """R@k for every k of unit vectors that look for what has their id, by cosine; some of them at a time."""
    found = [0] * len(ks)
    parts = queries.split(QUERIES_PER_PASS), query_ids.split(QUERIES_PER_PASS)
    for some, ids in zip(*parts, strict=True):
        scores, relevant = some @ candidates.T, ids[:, None] == candidate_ids
        for i, k in enumerate(ks):
            found[i] += round(recall_at(scores, relevant, k) * len(some))
    return [number / len(queries) for number in found]
