"""The pre-norm transformer block."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tubelet.layers.drop import DropPath


class LayerScale(nn.Module):
    """One learned factor per channel on a branch (Touvron et al. 2021, CaiT)."""

    def __init__(self, dim: int, initial: float):
        super().__init__()
        self.scale = nn.Parameter(torch.full((dim,), initial))

    def forward(self, branch: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        return branch * self.scale


class Block(nn.Module):
    """tokens + attn(norm1(tokens)), then + mlp(norm2(tokens)).

    Both branches may be scaled per channel (`layer_scale` is the factor they start from) and dropped per
    sample (`drop_path` is the share that is dropped).
    """

    def __init__(
        self,
        dim: int,
        attn: nn.Module,
        mlp: nn.Module,
        *,
        norm_eps: float,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = attn
        self.scale1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = mlp
        self.scale2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        tokens = tokens + self.drop_path(self.scale1(self.attn(self.norm1(tokens))))
        return tokens + self.drop_path(self.scale2(self.mlp(self.norm2(tokens))))


def run_blocks(
    blocks: Iterable[nn.Module], tokens: Float[Tensor, "batch *tokens dim"], *, recompute: bool
) -> Float[Tensor, "batch *tokens dim"]:
    """Tokens after all blocks; `recompute` trades a second forward pass for the memory of activations."""
    for block in blocks:
        if recompute and torch.is_grad_enabled():
            tokens = checkpoint(block, tokens, use_reentrant=False)
        else:
            tokens = block(tokens)
    return tokens
