"""Attention for CPUs: some query rows at a time, so that scores of all of them are never in memory."""

from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

# Query rows of one head that are computed together. 256 to 512 do about equally well from 400 to 6000 keys:
# with fewer, the matrix products are too small; with more, the scores leave the cache.
ROWS = 512


def tiled_attention(
    q: Float[Tensor, "batch heads queries head_dim"],
    k: Float[Tensor, "batch heads keys head_dim"],
    v: Float[Tensor, "batch heads keys head_dim"],
    scale: float,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """softmax(scale · q kᵀ) v, one head and one tile of its rows after the other.

    Rows are whole within a tile, so their softmax is the ordinary one. What is kept for the backward pass is q, k
    and v, and the probabilities are computed again. Sums over tiles are of float32 at least, in a fixed order.
    """
    return TiledAttention.apply(q, k, v, scale)


class TiledAttention(torch.autograd.Function):
    """`tiled_attention` with its derivative, which can not be derived again."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.scale = scale
        out = _empty_like(q)
        scores, probs = q.new_empty(2, ROWS, k.shape[-2])
        for head in product(*map(range, q.shape[:2])):
            keys, values = (k[head] * scale).T.contiguous(), v[head].contiguous()
            for rows, out_rows in zip(q[head].split(ROWS), out[head].split(ROWS), strict=True):
                p = _probabilities(rows, keys, scores, probs)
                out_rows.copy_(torch.mm(p, values))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        q, k, v = ctx.saved_tensors
        grad_q, grad_k, grad_v = (_empty_like(x) for x in (q, k, v))
        scores, probs = q.new_empty(2, ROWS, k.shape[-2])
        for head in product(*map(range, q.shape[:2])):
            keys = k[head] * ctx.scale
            keys_t, values_t = keys.T.contiguous(), v[head].T.contiguous()
            sum_k, sum_v = (x.new_zeros(x.shape, dtype=_sum_dtype(x)) for x in (keys_t, values_t))
            tiles = (x.split(ROWS) for x in (q[head].contiguous(), grad[head].contiguous(), grad_q[head]))
            for rows, grad_rows, grad_q_rows in zip(*tiles, strict=True):
                p = _probabilities(rows, keys_t, scores, probs)
                sum_v += torch.mm(grad_rows.T, p)
                s = torch.mm(grad_rows, values_t, out=scores[: len(rows)])
                # In place and in one pass: the derivative of softmax, p · (s - Σ p · s).
                torch.ops.aten._softmax_backward_data.out(s, p, -1, p.dtype, grad_input=s)
                grad_q_rows.copy_(torch.mm(s, keys))
                sum_k += torch.mm(rows.T, s)
            grad_k[head] = sum_k.T * ctx.scale
            grad_v[head] = sum_v.T
        return grad_q, grad_k, grad_v, None


def _probabilities(rows: Tensor, keys: Tensor, scores: Tensor, probs: Tensor) -> Tensor:
    """The softmax of rows · keys in the two given buffers. Fresh memory for each tile would cost page faults."""
    scores, probs = scores[: len(rows)], probs[: len(rows)]
    return torch.softmax(torch.mm(rows, keys, out=scores), dim=-1, out=probs)


def _sum_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _empty_like(x: Tensor) -> Tensor:
    """Room for (batch, heads, tokens, head_dim), laid out so that joining the heads again copies nothing."""
    batch, heads, tokens, head_dim = x.shape
    return x.new_empty(batch, tokens, heads, head_dim).transpose(1, 2)
