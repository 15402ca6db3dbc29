"""A frozen CLIP image tower as the teacher of a masked video model.

VideoMamba (Li et al., ECCV 2024), after Unmasked Teacher (Li et al., ICCV 2023), lets a student that sees few
tokens predict what the tower makes of the same places, and can choose those places by what the tower's class
token attends to.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.layers.attention import Attention
from tubelet.layers.block import Block
from tubelet.models.clip import ImageTower


@dataclass(frozen=True, kw_only=True)
class TeacherConfig:
    """Which of the tower's layers are targets, and in what form.

    `num_layers` are taken from the last block backwards, every `interval`-th. With `cls_token` the class tokens
    of all frames are averaged and put first, and the tower's last norm is left out, as published; without it,
    patches alone pass that norm. `normalize` brings every vector to unit length.
    """

    num_layers: int = 1
    interval: float = 1.0
    cls_token: bool = True
    normalize: bool = True


@dataclass(frozen=True, kw_only=True)
class TeacherTargets:
    """What the tower makes of a clip.

    `features` has the layers in increasing depth and tokens in (t h w) order, with the class token first where
    it was asked for. `attention` is the share of the class token's attention that each patch of its frame gets
    in the last block, the mean over heads; the rest, which the class token gives itself, is left out.
    """

    features: Float[Tensor, "layers batch tokens embed_dim"]
    attention: Float[Tensor, "batch frames places"]


def aligned_layers(depth: int, num_layers: int, interval: float) -> list[int]:
    """Indices of the blocks whose outputs are compared, in increasing depth.

    >>> aligned_layers(12, 3, 2.0)
    [7, 9, 11]
    """
    indices = {depth - 1 - int(k * interval) for k in range(num_layers)}
    if len(indices) < max(num_layers, 1) or min(indices) < 0 or max(indices) >= depth:
        raise ConfigError(
            f"{num_layers} layers at an interval of {interval} cannot be taken from {depth} blocks, "
            "none of them twice"
        )
    return sorted(indices)


@torch.no_grad()
def teacher_targets(
    tower: ImageTower,
    clip: Float[Tensor, "batch channels frames rows columns"],
    config: TeacherConfig | None = None,
) -> TeacherTargets:
    """Features and attention of every frame of a clip; no gradient reaches the tower.

    The tower has no dropout, so its targets are the same in training and in evaluation mode. VideoMamba's was
    fed with ImageNet's mean and deviation instead of CLIP's own.
    """
    config = config or TeacherConfig()
    layers = aligned_layers(len(tower.blocks), config.num_layers, config.interval)
    tokens = tower.pre_norm(tower.embed(clip))
    features, before = [], tokens
    for index, block in enumerate(tower.blocks):
        before, tokens = tokens, block(tokens)
        if index in layers:
            features.append(_targets(tower, tokens.unflatten(0, (len(clip), -1)), config))
    attention = class_attention(tower.blocks[-1], before)
    return TeacherTargets(features=torch.stack(features), attention=attention.unflatten(0, (len(clip), -1)))


def class_attention(
    block: nn.Module, tokens: Float[Tensor, "images tokens dim"]
) -> Float[Tensor, "images patches"]:
    """How much the first token attends to each of the others in a block, the mean over heads."""
    assert isinstance(block, Block)
    attn, tokens = block.attn, block.norm1(tokens)
    assert isinstance(attn, Attention)
    # Only one query is needed, so the whole matrix is never made.
    query = attn.q(tokens[:, 0]).unflatten(-1, (attn.num_heads, -1))
    keys = attn.k(tokens).unflatten(-1, (attn.num_heads, -1))
    scores = torch.einsum("bhd,bthd->bht", query * attn.scale, keys)
    return scores.softmax(dim=-1).mean(dim=1)[:, 1:]


def _targets(
    tower: ImageTower, tokens: Float[Tensor, "batch frames tokens dim"], config: TeacherConfig
) -> Float[Tensor, "batch kept embed_dim"]:
    patches = tokens[:, :, 1:].flatten(1, 2)
    if config.cls_token:
        first = tokens[:, :, 0].mean(dim=1, keepdim=True)
        features = tower.proj(torch.cat([first, patches], dim=1))
    else:
        features = tower.proj(tower.post_norm(patches))
    return F.normalize(features, dim=-1) if config.normalize else features
