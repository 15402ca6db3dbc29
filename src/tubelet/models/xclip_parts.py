"""What X-CLIP (Ni et al., ECCV 2022) adds to CLIP: messages between frames, their integration, and prompts."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import run_blocks
from tubelet.layers.drop import DropPath, drop_path_rates
from tubelet.models.clip import FrameEmbed, ImageTowerConfig, QuickGeluMlp, clip_block
from tubelet.ops.resample import resize_positions


class Message(nn.Module):
    """Every frame's class token says something, and the frames of a video listen to each other."""

    def __init__(self, dim: int, num_heads: int, *, norm_eps: float, drop_path: float):
        super().__init__()
        self.proj = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads)
        self.drop_path = DropPath(drop_path)
        init_packed_attention(self.attn)

    def forward(self, cls: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames dim"]:
        """One message per frame; their order in time is not known here."""
        messages = self.proj(cls)
        return messages + self.drop_path(self.attn(self.norm(messages)))


class FrameBlock(nn.Module):
    """CLIP's block on the tokens of every frame, which may attend to their frame's message as well.

    `drop_path` is drawn per video, not per frame. (The published code draws it per position in a frame; all
    published models were trained without.)
    """

    def __init__(self, tower: ImageTowerConfig, *, cross_frame: bool, drop_path: float):
        super().__init__()
        dim, eps = tower.dim, tower.norm_eps
        self.message = (
            Message(dim, tower.num_heads, norm_eps=eps, drop_path=drop_path) if cross_frame else None
        )
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, tower.num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = QuickGeluMlp(dim, int(dim * tower.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, tokens: Float[Tensor, "batch frames tokens dim"], num_kept: int | None = None
    ) -> Float[Tensor, "batch frames kept dim"]:
        """All tokens of all frames, the class token first; or only the first `num_kept` of each frame."""
        shape = tokens.shape[:2]
        context = self.norm1(tokens)
        kept, queries = tokens[:, :, :num_kept], context[:, :, :num_kept]
        if self.message is not None:
            # Messages are read, but ask nothing themselves: a new one is made in the next block.
            message = self.norm1(self.message(tokens[:, :, 0]))
            context = torch.cat([context, message[:, :, None]], dim=2)
        answers = self.attn(queries.flatten(0, 1), context.flatten(0, 1))
        kept = kept + self.drop_path(answers.unflatten(0, shape))
        return kept + self.drop_path(self.mlp(self.norm2(kept).flatten(0, 1)).unflatten(0, shape))


class FrameTower(nn.Module):
    """CLIP's image tower on all frames of a clip, with messages between them.

    Its tensors have the names of an `ImageTower`'s, and those of messages come on top.
    """

    def __init__(self, tower: ImageTowerConfig, *, cross_frame: bool, drop_path: float):
        super().__init__()
        self.recompute = False
        self.embed = FrameEmbed(tower)
        self.pre_norm = nn.LayerNorm(tower.dim, eps=tower.norm_eps)
        self.blocks = nn.ModuleList(
            [
                FrameBlock(tower, cross_frame=cross_frame, drop_path=rate)
                for rate in drop_path_rates(drop_path, tower.depth)
            ]
        )
        self.post_norm = nn.LayerNorm(tower.dim, eps=tower.norm_eps)
        self.proj = nn.Linear(tower.dim, tower.embed_dim, bias=False)
        nn.init.normal_(self.proj.weight, std=tower.dim**-0.5)

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"], *, cls_only: bool = False
    ) -> Float[Tensor, "batch frames tokens dim"]:
        """Tokens of all frames after the last block, the class token first, or the class tokens alone."""
        tokens = self.pre_norm(self.embed(clip)).unflatten(0, (len(clip), -1))
        if not cls_only:
            return run_blocks(self.blocks, tokens, recompute=self.recompute)
        tokens = run_blocks(self.blocks[:-1], tokens, recompute=self.recompute)
        return self.blocks[-1](tokens, num_kept=1)

    def embedded(
        self, tokens: Float[Tensor, "batch frames tokens dim"]
    ) -> Float[Tensor, "batch frames tokens embed_dim"]:
        """Tokens after the last block in the space that is shared with texts."""
        return self.proj(self.post_norm(tokens))


class Integration(nn.Module):
    """The frames of a video in their order become one vector.

    It learns `num_frames` positions, which start with a deviation of `time_scale`. Other numbers of frames get
    them interpolated, or are refused with `strict`.
    """

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        num_frames: int,
        *,
        mlp_ratio: float,
        time_scale: float = 0.02,
        norm_eps: float,
        strict: bool,
    ):
        super().__init__()
        self.num_frames, self.strict = num_frames, strict
        self.recompute = False
        self.position = nn.Parameter(torch.empty(num_frames, dim))
        nn.init.trunc_normal_(self.position, std=time_scale)
        blocks = [clip_block(dim, num_heads, mlp_ratio, norm_eps) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.apply(init_new_linear)
        for block in blocks:
            init_packed_attention(block.attn)

    def forward(self, frames: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch dim"]:
        """The mean of what the frames are and of what they have become."""
        found = frames.shape[1]
        if self.strict and found != self.num_frames:
            raise ConfigError(
                f"the clip has {found} frames; the model knows {self.num_frames} positions in time "
                "(strict_frames=false interpolates them)"
            )
        position = resize_positions(self.position, (self.num_frames, 1, 1), (found, 1, 1))
        mixed = run_blocks(self.blocks, frames + position, recompute=self.recompute)
        return (mixed + frames).mean(dim=1)


class PromptBlock(nn.Module):
    """Texts look at the places of a video, then an MLP. Queries, keys and values have no bias."""

    def __init__(self, dim: int, num_heads: int, norm_eps: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads, q_bias=False, k_bias=False, v_bias=False)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = QuickGeluMlp(dim, 4 * dim)

    def forward(
        self, texts: Float[Tensor, "batch classes dim"], places: Float[Tensor, "batch places dim"]
    ) -> Float[Tensor, "batch classes dim"]:
        texts = texts + self.attn(self.norm1(texts), places)
        return texts + self.mlp(self.norm2(texts))


class Prompts(nn.Module):
    """How far each text moves for each video."""

    def __init__(
        self,
        dim: int,
        depth: int,
        num_heads: int,
        *,
        image_dim: int,
        scale: float,
        norm_eps: float,
        text_norm_eps: float,
    ):
        super().__init__()
        self.place_norm = nn.LayerNorm(image_dim, eps=norm_eps)
        self.place_proj = nn.Linear(image_dim, dim, bias=False)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.blocks = nn.ModuleList([PromptBlock(dim, num_heads, text_norm_eps) for _ in range(depth)])
        self.scale = nn.Parameter(torch.full((dim,), scale))
        self.apply(init_new_linear)
        # So wide as published: the norm that follows takes any width.
        nn.init.normal_(self.place_proj.weight)

    def places(
        self, patches: Float[Tensor, "batch frames places width"]
    ) -> Float[Tensor, "batch places dim"]:
        """Patches as the last block leaves them: normed, the mean over the frames, in the shared space."""
        return self.place_proj(self.place_norm(patches).mean(dim=1))

    def forward(
        self, texts: Float[Tensor, "batch classes dim"], places: Float[Tensor, "batch places dim"]
    ) -> Float[Tensor, "batch classes dim"]:
        """What is added to the texts; it holds a share of the texts themselves, as published."""
        places = self.norm(places)
        for block in self.blocks:
            texts = block(texts, places)
        return self.scale * texts


def init_new_linear(module: nn.Module) -> None:
    """What X-CLIP adds beside messages starts from small weights."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_packed_attention(attn: nn.Module) -> None:
    """The start of PyTorch's own attention, which has queries, keys and values in one (3·dim, dim) matrix."""
    assert isinstance(attn, Attention)
    dim = attn.q.in_features
    bound = (6 / (dim + 3 * dim)) ** 0.5
    for linear in (attn.q, attn.k, attn.v):
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.zeros_(linear.bias)
    nn.init.zeros_(attn.proj.bias)
