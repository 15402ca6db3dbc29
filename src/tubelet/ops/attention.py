"""Scaled dot-product attention: the definition, and the fast twins that the layers call."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tubelet.ops.attention_cpu import tiled_attention
from tubelet.ops.backend import matrix_products_are_fast, samples_in_cache, scores_fit_the_cache


def attention_definition(
    q: Float[Tensor, "batch heads queries head_dim"],
    k: Float[Tensor, "batch heads keys head_dim"],
    v: Float[Tensor, "batch heads keys head_dim"],
    scale: float,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """softmax(scale · q kᵀ) v, written out (Vaswani et al. 2017, section 3.2.1)."""
    scores = torch.matmul(q * scale, k.transpose(-2, -1))
    return torch.matmul(scores.softmax(dim=-1), v)


def attention(
    q: Float[Tensor, "batch heads queries head_dim"],
    k: Float[Tensor, "batch heads keys head_dim"],
    v: Float[Tensor, "batch heads keys head_dim"],
    scale: float,
) -> Float[Tensor, "batch heads queries head_dim"]:
    """The same as `attention_definition`, without a large (queries, keys) matrix in memory."""
    if not matrix_products_are_fast(q):
        return F.scaled_dot_product_attention(q, k, v, scale=scale)
    if scores_fit_the_cache(q, k):
        return attention_definition(q, k, v, scale)
    num_samples = samples_in_cache(q, k)
    if num_samples and not (torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v))):
        parts = zip(q.split(num_samples), k.split(num_samples), v.split(num_samples), strict=True)
        return torch.cat([attention_definition(q, k, v, scale) for q, k, v in parts])
    return tiled_attention(q, k, v, scale)


def causal_attention(
    q: Float[Tensor, "batch heads tokens head_dim"],
    k: Float[Tensor, "batch heads tokens head_dim"],
    v: Float[Tensor, "batch heads tokens head_dim"],
    scale: float,
) -> Float[Tensor, "batch heads tokens head_dim"]:
    """Attention of every token to itself and to those before it."""
    # torch's kernel skips the scores after a token: half the time of writing it out at 77 tokens, and less at 10.
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
