"""How the global blocks of UniFormerV2 make one token of several stages (section 3.3, figure 5)."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tubelet.layers.drop import drop_path_rates
from tubelet.models.uniformerv2_parts import GlobalBlock

Fusion = Literal["sequential", "parallel", "hierarchical_kv", "hierarchical_q"]


class GlobalFusion(nn.Module):
    """Global blocks, one per stage, and how they are joined.

    "sequential": each asks with what the one before has found. Only this was ever published as code; the others
    are built from the paper's words, and every block has a query of its own in them. "parallel": all tokens
    together are mapped to one. "hierarchical_kv": a block gathers from the token before it, too, and the last
    token counts. "hierarchical_q": all tokens found so far ask again in the next block, beside its own query;
    as queries do not see each other, all of them are mapped together to one in the end.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_stages: int,
        fusion: Fusion,
        *,
        mlp_ratio: float,
        norm_eps: float,
        dropout: float,
        drop_path: float,
    ):
        super().__init__()
        self.fusion: Fusion = fusion
        self.query = nn.Parameter(torch.zeros(1 if fusion == "sequential" else num_stages, dim))
        self.global_blocks = nn.ModuleList(
            [
                GlobalBlock(
                    dim, num_heads, mlp_ratio=mlp_ratio, norm_eps=norm_eps, dropout=dropout, drop_path=rate
                )
                for rate in drop_path_rates(drop_path, num_stages)
            ]
        )
        self.merge = mean_merge(num_stages, dim) if fusion in ("parallel", "hierarchical_q") else None

    def forward(
        self,
        stages: Sequence[Float[Tensor, "batch frames tokens dim"]],
        places: tuple[int, int],
        *,
        recompute: bool = False,
    ) -> Float[Tensor, "batch dim"]:
        """One token; `stages` are in order, and `places` are rows and columns of patches."""
        queries = self.query.expand(stages[0].shape[0], -1, -1)
        found: list[Tensor] = []
        for i, (block, stage) in enumerate(zip(self.global_blocks, stages, strict=True)):
            asking, earlier = queries[:, i : i + 1], None
            if found and self.fusion == "sequential":
                asking = found[-1]
            elif found and self.fusion == "hierarchical_kv":
                earlier = found[-1]
            elif found and self.fusion == "hierarchical_q":
                asking = torch.cat([found[-1], asking], dim=1)
            answer = run(block, asking, stage, places, earlier, recompute=recompute)
            found.append(answer)
        if self.fusion == "parallel":
            found = [torch.cat(found, dim=1)]
        return found[-1][:, 0] if self.merge is None else self.merge(found[-1].flatten(1))


def run(
    block: nn.Module,
    asking: Float[Tensor, "batch queries dim"],
    stage: Float[Tensor, "batch frames tokens dim"],
    places: tuple[int, int],
    earlier: Float[Tensor, "batch earlier dim"] | None,
    *,
    recompute: bool,
) -> Float[Tensor, "batch queries dim"]:
    """A global block; `recompute` trades a second forward pass for the memory of its context."""
    if recompute and torch.is_grad_enabled():
        answer = checkpoint(block, asking, stage, places, earlier, use_reentrant=False)
        assert isinstance(answer, Tensor)
        return answer
    return block(asking, stage, places, earlier)


def mean_merge(num_tokens: int, dim: int) -> nn.Linear:
    """A linear map of several tokens to one, which starts as their mean."""
    linear = nn.Linear(num_tokens * dim, dim)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(dim).repeat(1, num_tokens) / num_tokens)
        linear.bias.zero_()
    return linear
