"""What UniFormerV2 (Li et al. 2022) puts around CLIP's blocks: relations in time, and blocks that see it all."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import run_blocks
from tubelet.layers.drop import DropPath
from tubelet.models.clip import ImageTowerConfig, QuickGeluMlp


def overlapping_windows(
    clip: Float[Tensor, "batch channels frames rows columns"],
) -> Float[Tensor, "batch channels three_windows rows columns"]:
    """Every second frame with its two neighbours, the windows of three laid end to end.

    Beyond both ends of the clip are frames of zeros, so ⌈frames / 2⌉ windows see all frames, also an odd number.
    """
    if not clip.shape[2]:
        raise ConfigError("a clip of 0 frames has none to see")
    windows = F.pad(clip, (0, 0, 0, 0, 1, 1)).unfold(2, 3, 2)
    return windows.movedim(-1, 3).flatten(2, 3)


class LocalRelation(nn.Module):
    """Each patch gathers from its place in the frames beside it (section 3.2, local UniBlock).

    A batch norm, then a narrow convolution in time between two linear maps. The last map starts from zero, so
    that a model begins as the CLIP it starts from.
    """

    def __init__(self, dim: int, reduction: float):
        super().__init__()
        hidden_dim = int(dim // reduction)
        # The norm is over all places of all frames. Maps keep the shape of the convolutions they are.
        self.norm = nn.BatchNorm1d(dim)
        self.reduce = nn.Conv3d(dim, hidden_dim, kernel_size=1)
        self.mix = nn.Conv3d(
            hidden_dim, hidden_dim, kernel_size=(3, 1, 1), padding=(1, 0, 0), groups=hidden_dim
        )
        self.expand = nn.Conv3d(hidden_dim, dim, kernel_size=1)
        nn.init.zeros_(self.expand.weight)
        assert self.expand.bias is not None
        nn.init.zeros_(self.expand.bias)

    def forward(
        self, patches: Float[Tensor, "batch frames places dim"]
    ) -> Float[Tensor, "batch frames places dim"]:
        normed = self.norm(patches.flatten(0, 2)).view(patches.shape)
        hidden = F.linear(normed, self.reduce.weight.flatten(1), self.reduce.bias)
        return F.linear(self._mixed(hidden), self.expand.weight.flatten(1), self.expand.bias)

    def _mixed(
        self, hidden: Float[Tensor, "batch frames places hidden"]
    ) -> Float[Tensor, "batch frames places hidden"]:
        """The convolution in time, as three products: with channels last that is 8 times as fast on CPUs."""
        before, now, after = self.mix.weight.flatten(1).to(hidden.dtype).unbind(dim=1)
        assert self.mix.bias is not None
        mixed = hidden * now + self.mix.bias.to(hidden.dtype)
        mixed[:, 1:].addcmul_(hidden[:, :-1], before)
        mixed[:, :-1].addcmul_(hidden[:, 1:], after)
        return mixed


class LocalBlock(nn.Module):
    """CLIP's block on every frame, with up to two relations in time: before attention, and before the MLP.

    Class tokens have no part in the relations. `drop_path` is drawn per video.
    """

    def __init__(self, tower: ImageTowerConfig, *, num_relations: int, reduction: float, drop_path: float):
        super().__init__()
        dim, eps = tower.dim, tower.norm_eps
        self.relation1 = LocalRelation(dim, reduction) if num_relations >= 1 else None
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, tower.num_heads)
        self.relation2 = LocalRelation(dim, reduction) if num_relations == 2 else None
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = QuickGeluMlp(dim, int(dim * tower.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Float[Tensor, "batch frames tokens dim"]
    ) -> Float[Tensor, "batch frames tokens dim"]:
        shape = tokens.shape[:2]
        tokens = self._related(tokens, self.relation1)
        attended = self.attn(self.norm1(tokens).flatten(0, 1)).unflatten(0, shape)
        tokens = self._related(tokens + self.drop_path(attended), self.relation2)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens).flatten(0, 1)).unflatten(0, shape))

    def _related(
        self, tokens: Float[Tensor, "batch frames tokens dim"], relation: LocalRelation | None
    ) -> Float[Tensor, "batch frames tokens dim"]:
        if relation is None:
            return tokens
        patches = tokens[:, :, 1:]
        return torch.cat([tokens[:, :, :1], patches + self.drop_path(relation(patches))], dim=2)


def run_local_blocks(
    blocks: Iterable[nn.Module], tokens: Float[Tensor, "batch frames tokens dim"], *, recompute: bool
) -> Float[Tensor, "batch frames tokens dim"]:
    """Tokens after all blocks; with `recompute`, batch norms see activations twice but count them once."""
    if not recompute or not torch.is_grad_enabled():
        return run_blocks(blocks, tokens, recompute=False)
    for block in blocks:
        contexts = partial(contexts_of, block)
        tokens = checkpoint(block, tokens, use_reentrant=False, context_fn=contexts)  # pyright: ignore[reportAssignmentType]
    return tokens


def contexts_of(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """In what a block runs first, and in what again."""
    return nullcontext(), uncounted(block)


@contextmanager
def uncounted(block: nn.Module) -> Iterator[None]:
    """Leaves the running statistics of a block's batch norms as they are."""
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class DropoutMlp(nn.Module):
    """Widen, x · sigmoid(1.702 x), dropout, narrow; the last map starts from zero."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden_dim, dim)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        hidden = self.fc1(tokens)
        return self.fc2(self.dropout(hidden * torch.sigmoid(1.702 * hidden)))


class GlobalBlock(nn.Module):
    """Queries gather from all tokens of all frames (section 3.2, global UniBlock).

    A depthwise convolution tells patches what is around them, in space and time (dynamic position embedding);
    what it adds is seen here only. Both branches of the queries start from zero.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        mlp_ratio: float,
        norm_eps: float,
        dropout: float,
        drop_path: float,
    ):
        super().__init__()
        self.position = nn.Conv3d(dim, dim, kernel_size=3, padding=1, groups=dim)
        self.context_norm = nn.LayerNorm(dim, eps=norm_eps)
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = DropoutMlp(dim, int(dim * mlp_ratio), dropout)
        self.drop_path = DropPath(drop_path)
        assert self.position.bias is not None
        nn.init.zeros_(self.position.bias)
        for linear in (self.attn.q, self.attn.k, self.attn.v):
            # As one packed matrix of (3·dim, dim) would start.
            nn.init.xavier_uniform_(linear.weight, gain=0.5**0.5)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.attn.proj.weight)
        nn.init.zeros_(self.attn.proj.bias)

    def forward(
        self,
        queries: Float[Tensor, "batch queries dim"],
        tokens: Float[Tensor, "batch frames tokens dim"],
        places: tuple[int, int],
        earlier: Float[Tensor, "batch earlier dim"] | None = None,
    ) -> Float[Tensor, "batch queries dim"]:
        """The queries after this block; `places` are the rows and columns of patches, behind each class token.

        `earlier` are tokens of other global blocks, to gather from as well.
        """
        context = self._positioned(tokens, places).flatten(1, 2)
        if earlier is not None:
            context = torch.cat([context, earlier], dim=1)
        queries = queries + self.drop_path(
            few_query_attention(self.attn, self.norm1(queries), self.context_norm(context))
        )
        return queries + self.drop_path(self.mlp(self.norm2(queries)))

    def _positioned(
        self, tokens: Float[Tensor, "batch frames tokens dim"], places: tuple[int, int]
    ) -> Float[Tensor, "batch frames tokens dim"]:
        # With channels last, as tokens have them, the convolution is 10 times as fast on CPUs.
        patches = tokens[:, :, 1:].contiguous()
        maps = patches.unflatten(2, places).permute(0, 4, 1, 2, 3)
        position = self.position(maps).permute(0, 2, 3, 4, 1).flatten(2, 3)
        return torch.cat([tokens[:, :, :1], patches + position], dim=2)


def few_query_attention(
    attn: Attention,
    queries: Float[Tensor, "batch queries dim"],
    context: Float[Tensor, "batch keys dim"],
) -> Float[Tensor, "batch queries dim"]:
    """`attn(queries, context)` without a key and a value of every token.

    q · (K x) is (Kᵀ q) · x, and the mean of all V x is V of the mean of all x. So tokens are multiplied with one
    vector per query and head instead of two matrices: of 2 · keys · dim² multiplications remain
    2 · keys · dim · heads for one query. Worth it for fewer queries than a head has channels.
    """
    heads = attn.num_heads
    key_weight, value_weight = (linear.weight.unflatten(0, (heads, -1)) for linear in (attn.k, attn.v))
    q = attn.q(queries).unflatten(-1, (heads, -1))
    asked = torch.einsum("bqhe,hed->bqhd", q, key_weight).flatten(1, 2)
    # The same for all keys, so softmax ignores it; it stays for the gradient, which is zero, but there.
    constant = (q * attn.k.bias.unflatten(0, (heads, -1))).sum(dim=-1).flatten(1)
    # This way round nothing copies the context on its way to oneDNN.
    scores = (context @ asked.transpose(1, 2)).transpose(1, 2) + constant[:, :, None]
    seen = ((attn.scale * scores).softmax(dim=-1) @ context).unflatten(1, (-1, heads))
    values = torch.einsum("bqhd,hed->bqhe", seen, value_weight).flatten(2)
    return attn.proj(values + attn.v.bias)
