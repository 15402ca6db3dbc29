"""Scaled dot-product attention: the definition, and the fast twin that the layers call."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tubelet.ops.backend import written_out_attention_pays


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
    """The same as `attention_definition`, mostly without the (queries, keys) matrix in memory."""
    if written_out_attention_pays(q, k):
        return attention_definition(q, k, v, scale)
    return F.scaled_dot_product_attention(q, k, v, scale=scale)
