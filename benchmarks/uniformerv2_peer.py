"""UniFormerV2 written plainly with torch's own modules, to measure ours against.

No library has the model, so this is what one would write from the paper's words: `nn.MultiheadAttention` for
frames and for queries, `nn.Conv3d` for all convolutions. Its tensors have the names of the published files, so
that our rules carry weights over. `batch_first` chooses the layout of tokens: with the batch first torch attends
to tokens by a fused path of its own, while CLIP's published code, and torch unless told, has it second.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tubelet.models.uniformerv2 import ClassifierConfig, EncoderConfig, UniFormerV2Classifier
from tubelet.weights.rules import to_official
from tubelet.weights.uniformerv2 import ARCHITECTURE, LAYOUTS

FORMS = {"batch second": False, "batch first": True}

Work = Callable[[], Tensor]


class QuickGelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class PlainMlp(nn.Sequential):
    def __init__(self, dim: int, hidden_dim: int, dropout: float):
        super().__init__()
        self.add_module("c_fc", nn.Linear(dim, hidden_dim))
        self.add_module("act", QuickGelu())
        self.add_module("drop", nn.Dropout(dropout))
        self.add_module("c_proj", nn.Linear(hidden_dim, dim))


class PlainRelation(nn.Module):
    """Norm, narrow, convolution in time, widen: on maps of patches, (batch, dim, frames, rows, columns)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        hidden = int(config.dim // config.relation_reduction)
        self.pos_embed = nn.Sequential(
            nn.BatchNorm3d(config.dim),
            nn.Conv3d(config.dim, hidden, 1),
            nn.Conv3d(hidden, hidden, (3, 1, 1), padding=(1, 0, 0), groups=hidden),
            nn.Conv3d(hidden, config.dim, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.pos_embed(maps)


class PlainLocalBlock(nn.Module):
    def __init__(self, config: EncoderConfig, *, batch_first: bool):
        super().__init__()
        dim = config.dim
        self.lmhra1 = PlainRelation(config) if config.local_relations >= 1 else None
        self.lmhra2 = PlainRelation(config) if config.local_relations == 2 else None
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, config.num_heads, batch_first=batch_first)
        self.mlp = PlainMlp(dim, 4 * dim, 0.0)


class PlainGlobalBlock(nn.Module):
    def __init__(self, config: EncoderConfig, *, batch_first: bool):
        super().__init__()
        dim = config.dim
        self.ln_1, self.ln_2, self.ln_3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = nn.MultiheadAttention(dim, config.num_heads, batch_first=batch_first)
        self.mlp = PlainMlp(dim, 4 * dim, config.global_dropout)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        context = self.ln_3(tokens)
        query = query + self.attn(self.ln_1(query), context, context, need_weights=False)[0]
        return query + self.mlp(self.ln_2(query))


class PlainTransformer(nn.Module):
    """All blocks, and the head behind them."""

    def __init__(self, config: ClassifierConfig, *, batch_first: bool):
        super().__init__()
        encoder = config.encoder
        dim, stages = encoder.dim, range(len(encoder.global_layers))
        self.resblocks = nn.ModuleList(
            [PlainLocalBlock(encoder, batch_first=batch_first) for _ in range(encoder.depth)]
        )
        self.dpe = nn.ModuleList([nn.Conv3d(dim, dim, 3, padding=1, groups=dim) for _ in stages])
        self.dec = nn.ModuleList([PlainGlobalBlock(encoder, batch_first=batch_first) for _ in stages])
        self.temporal_cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.balance = None if encoder.frozen_backbone else nn.Parameter(torch.zeros(dim))
        head = (nn.LayerNorm(dim), nn.Dropout(config.head_dropout), nn.Linear(dim, config.num_classes))
        self.proj = nn.Sequential(*head)


class PlainUniFormerV2(nn.Module):
    """Clips, (batch, 3, frames, rows, columns), to scores of classes."""

    def __init__(self, config: ClassifierConfig, *, batch_first: bool):
        super().__init__()
        encoder = config.encoder
        self.config, self.batch_first = encoder, batch_first
        dim, patch, stride = encoder.dim, encoder.patch_size, encoder.temporal_stride
        kernel, padding = (1, 0) if stride == 1 else (3, 1)
        self.conv1 = nn.Conv3d(
            3, dim, (kernel, patch, patch), (stride, patch, patch), (padding, 0, 0), bias=False
        )
        self.class_embedding = nn.Parameter(torch.zeros(dim))
        self.positional_embedding = nn.Parameter(torch.zeros(1 + encoder.grid[1] * encoder.grid[2], dim))
        self.ln_pre = nn.LayerNorm(dim)
        self.transformer = PlainTransformer(config, batch_first=batch_first)

    def forward(self, clip: Tensor) -> Tensor:
        maps = self.conv1(clip)
        shape = (len(clip), *maps.shape[2:])  # batch, frames, rows, columns
        patches = maps.permute(0, 2, 3, 4, 1).flatten(2, 3).flatten(0, 1)
        cls = self.class_embedding.expand(len(patches), 1, -1)
        tokens = self.ln_pre(torch.cat([cls, patches], dim=1) + self.positional_embedding)
        body, query = self.transformer, None
        # (frames of all clips, tokens, dim), or with both axes the other way round.
        tokens = tokens if self.batch_first else tokens.transpose(0, 1)
        for layer, block in enumerate(body.resblocks):
            tokens = self.after_local(block, tokens, shape)
            if layer in self.config.global_layers:
                stage = self.config.global_layers.index(layer)
                query = self.asked(stage, query, tokens, shape)
        assert query is not None
        found = query[:, 0] if self.batch_first else query[0]
        if body.balance is not None:
            cls = tokens[:, 0] if self.batch_first else tokens[0]
            weight = body.balance.sigmoid()
            found = (1 - weight) * found + weight * cls.unflatten(0, shape[:2]).mean(dim=1)
        return body.proj(found)

    def after_local(self, block: Any, tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
        tokens = self.on_maps(block.lmhra1, tokens, shape)
        x = block.ln_1(tokens)
        tokens = tokens + block.attn(x, x, x, need_weights=False)[0]
        tokens = self.on_maps(block.lmhra2, tokens, shape)
        return tokens + block.mlp(block.ln_2(tokens))

    def on_maps(
        self, change: Callable[[Tensor], Tensor] | None, tokens: Tensor, shape: tuple[int, ...]
    ) -> Tensor:
        """What a convolution makes of the patches; class tokens pass by."""
        if change is None:
            return tokens
        batch, frames, rows, columns = shape
        frames_first = tokens if self.batch_first else tokens.transpose(0, 1)
        patches = frames_first[:, 1:].reshape(batch, frames, rows, columns, -1).permute(0, 4, 1, 2, 3)
        changed = (
            change(patches.contiguous()).permute(0, 2, 3, 4, 1).reshape(batch * frames, rows * columns, -1)
        )
        both = torch.cat([frames_first[:, :1], changed], dim=1)
        return both if self.batch_first else both.transpose(0, 1)

    def asked(self, stage: int, query: Tensor | None, tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The query after a global block."""
        body: Any = self.transformer
        context = self.on_maps(lambda maps: maps + body.dpe[stage](maps), tokens, shape)
        batch, frames = shape[:2]
        if self.batch_first:
            context = context.reshape(batch, -1, context.shape[-1])
            start = body.temporal_cls_token.expand(batch, -1, -1)
        else:
            context = (
                context.unflatten(1, (batch, frames)).transpose(1, 2).reshape(-1, batch, context.shape[-1])
            )
            start = body.temporal_cls_token.expand(-1, batch, -1)
        return body.dec[stage](start if query is None else query, context)


def our_model(config: ClassifierConfig) -> UniFormerV2Classifier:
    """Our model with random weights, all of whose parts have something to say."""
    torch.manual_seed(0)
    model = UniFormerV2Classifier(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Published starts are zeros in many places, behind which errors would hide.
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


def plain_model(ours: UniFormerV2Classifier, form: str) -> PlainUniFormerV2:
    """The plain model with the weights of ours, strictly."""
    model = PlainUniFormerV2(ours.config, batch_first=FORMS[form])
    model.load_state_dict(to_official(ours.state_dict(), LAYOUTS["official_backbone"][ARCHITECTURE]))
    return model.eval()


def random_clip(config: ClassifierConfig, batch: int = 1) -> Tensor:
    encoder = config.encoder
    size = encoder.num_frames, encoder.image_size, encoder.image_size
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def inference(work: Work) -> Work:
    def run() -> Tensor:
        with torch.inference_mode():
            return work()

    return run


def difference(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())
