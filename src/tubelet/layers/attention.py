"""Multi-head attention with separate query, key and value projections."""

from jaxtyping import Float
from torch import Tensor, nn

from tubelet.ops.attention import attention, causal_attention


class Attention(nn.Module):
    """Tokens gather from a context, which is themselves unless another one is given.

    `scale` replaces 1/√head_dim. Biases are chosen one by one, because published models differ: a key bias
    adds the same number to all scores of a query, so softmax ignores it and BEiT-style models leave it out.
    With `causal`, tokens gather only from themselves and from those before them.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        q_bias: bool = True,
        k_bias: bool = True,
        v_bias: bool = True,
        scale: float | None = None,
        causal: bool = False,
    ):
        super().__init__()
        self.num_heads = num_heads
        self.causal = causal
        self.scale = (dim // num_heads) ** -0.5 if scale is None else scale
        self.q = nn.Linear(dim, dim, bias=q_bias)
        self.k = nn.Linear(dim, dim, bias=k_bias)
        self.v = nn.Linear(dim, dim, bias=v_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        tokens: Float[Tensor, "batch queries dim"],
        context: Float[Tensor, "batch keys dim"] | None = None,
    ) -> Float[Tensor, "batch queries dim"]:
        context = tokens if context is None else context
        q, k, v = (self._heads(x) for x in (self.q(tokens), self.k(context), self.v(context)))
        attend = causal_attention if self.causal else attention
        return self.proj(attend(q, k, v, self.scale).transpose(1, 2).flatten(2))

    def _heads(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch heads tokens head_dim"]:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
