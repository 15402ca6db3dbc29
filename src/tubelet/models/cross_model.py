"""Cross-model attention: a masked-video model and a multimodal one decide together (Wang et al. 2022).

No code of it was ever published. This is built from the paper's words, and what they leave open is our choice.
Both encoders are trained before and frozen. Behind some blocks of VideoMAE its tokens gather from what
UniFormerV2 knew after a block of its own; in the end one model's token gathers from the other's. Gates that
start from zero (Flamingo, Alayrac et al. 2022) leave both models as they are until there is something to gain,
so that at first the answer is the mean of theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.config import check_choices
from tubelet.errors import ConfigError
from tubelet.layers.block import run_blocks
from tubelet.layers.mlp import Mlp
from tubelet.models import uniformerv2, videomae
from tubelet.models.uniformerv2 import BackboneFeatures, UniFormerV2Classifier
from tubelet.models.videomae import VideoMAEClassifier
from tubelet.ops.attention import attention

# Of the layers that are new here, unlike in VideoMAE.
NORM_EPS = 1e-5

Channels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class CrossModelConfig:
    """Two classifiers of the same classes, and behind which blocks they meet.

    After block `masked_layers[k]` of VideoMAE (counted from 0) its tokens gather from those after block
    `multimodal_layers[k]` of UniFormerV2. In the end one token of the model that `asks_last` gathers from the
    last tokens of the other: UniFormerV2's query, so that both classifiers have heard of both; but the paper's
    words may also mean the mean of VideoMAE's tokens. `fuse` says what is averaged then, and `per_class` whether
    each class has a weight of its own. Classifiers have their own settings of dropout. The means and deviations
    are those with which each model wants its pixels.
    """

    masked: videomae.ClassifierConfig
    multimodal: uniformerv2.ClassifierConfig
    masked_layers: tuple[int, ...]
    multimodal_layers: tuple[int, ...]
    asks_last: Literal["multimodal", "masked"] = "multimodal"
    per_class: bool = False
    fuse: Literal["logits", "probabilities"] = "logits"
    mean: Channels = (0.485, 0.456, 0.406)
    std: Channels = (0.229, 0.224, 0.225)
    multimodal_mean: Channels = (0.45, 0.45, 0.45)
    multimodal_std: Channels = (0.225, 0.225, 0.225)

    def __post_init__(self) -> None:
        check_choices(self)
        if self.masked.num_classes != self.multimodal.num_classes:
            raise ConfigError(
                f"VideoMAE tells {self.masked.num_classes} classes apart and UniFormerV2 "
                f"{self.multimodal.num_classes}; both must know the same ones"
            )
        if self.masked.pool != "mean":
            raise ConfigError(f"VideoMAE pools {self.masked.pool!r}; cross-model attention needs 'mean'")
        if len(self.masked_layers) != len(self.multimodal_layers) or not self.masked_layers:
            raise ConfigError(
                f"masked_layers {self.masked_layers} and multimodal_layers {self.multimodal_layers} must be as "
                "many, and at least one"
            )
        for name, layers, depth in (
            ("masked_layers", self.masked_layers, self.masked.encoder.depth),
            ("multimodal_layers", self.multimodal_layers, self.multimodal.encoder.depth),
        ):
            if layers[0] < 0 or layers[-1] >= depth or any(a >= b for a, b in pairwise(layers)):
                raise ConfigError(
                    f"{name} {layers} must name some of the {depth} blocks, from 0 on and in order"
                )

    @property
    def encoder(self) -> videomae.EncoderConfig:
        """What sees all of the frames."""
        return self.masked.encoder

    @property
    def num_classes(self) -> int:
        """How many both tell apart."""
        return self.masked.num_classes


def evenly(depth: int, num_stages: int) -> tuple[int, ...]:
    """The last blocks of so many equal parts of a model.

    >>> evenly(32, 4)
    (7, 15, 23, 31)
    """
    if not 1 <= num_stages <= depth:
        raise ConfigError(f"{depth} blocks do not make {num_stages} stages")
    return tuple(depth * k // num_stages - 1 for k in range(1, num_stages + 1))


def cross_model(
    masked: videomae.ClassifierConfig, multimodal: uniformerv2.ClassifierConfig, num_stages: int = 4
) -> CrossModelConfig:
    """Two models that meet at evenly spread stages; where the published one has them is not known."""
    return CrossModelConfig(
        masked=masked,
        multimodal=multimodal,
        masked_layers=evenly(masked.encoder.depth, num_stages),
        multimodal_layers=evenly(multimodal.encoder.depth, num_stages),
    )


class CrossAttention(nn.Module):
    """Tokens gather from those of another model, which may have another width."""

    def __init__(self, dim: int, context_dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(context_dim, dim)
        self.v = nn.Linear(context_dim, dim)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self, tokens: Float[Tensor, "batch queries dim"], context: Float[Tensor, "batch keys context_dim"]
    ) -> Float[Tensor, "batch queries dim"]:
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for x in (self.q(tokens), self.k(context), self.v(context))
        )
        return self.proj(attention(q, k, v, self.scale).transpose(1, 2).flatten(2))


class GatedCrossBlock(nn.Module):
    """tokens + tanh(gate) · cross-attention, then + tanh(gate) · mlp. Closed gates change nothing at all."""

    def __init__(self, dim: int, context_dim: int, num_heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.context_norm = nn.LayerNorm(context_dim, eps=NORM_EPS)
        self.attn = CrossAttention(dim, context_dim, num_heads)
        self.attn_gate = nn.Parameter(torch.zeros(1))
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = Mlp(dim, 4 * dim)
        self.mlp_gate = nn.Parameter(torch.zeros(1))

    def forward(
        self, tokens: Float[Tensor, "batch queries dim"], context: Float[Tensor, "batch keys context_dim"]
    ) -> Float[Tensor, "batch queries dim"]:
        found = self.attn(self.norm1(tokens), self.context_norm(context))
        tokens = tokens + self.attn_gate.tanh() * found
        return tokens + self.mlp_gate.tanh() * self.mlp(self.norm2(tokens))


@dataclass(frozen=True)
class BothLogits:
    """What each of the two models says, after it has heard the other."""

    masked: Float[Tensor, "batch classes"]
    multimodal: Float[Tensor, "batch classes"]


class CrossModel(nn.Module):
    """A frozen VideoMAE and a frozen UniFormerV2 that learn to listen to each other.

    What trains is what `is_trained` names. What only frozen parts have touched is computed without gradients, and
    the encoders stay in eval mode, unlike the dropout of the classifiers.
    """

    def __init__(self, config: CrossModelConfig):
        super().__init__()
        self.config = config
        masked, multimodal = config.masked.encoder, config.multimodal.encoder
        self.dim = masked.dim
        self.recompute = False
        self.masked = VideoMAEClassifier(config.masked)
        self.multimodal = UniFormerV2Classifier(config.multimodal)
        self.stages = nn.ModuleList(
            [GatedCrossBlock(masked.dim, multimodal.dim, masked.num_heads) for _ in config.masked_layers]
        )
        asking, asked = (masked, multimodal) if config.asks_last == "masked" else (multimodal, masked)
        self.last = GatedCrossBlock(asking.dim, asked.dim, asking.num_heads)
        self.fusion = nn.Parameter(torch.zeros(config.num_classes if config.per_class else 1))
        for name, parameter in self.named_parameters():
            parameter.requires_grad = is_trained(name)

    def train(self, mode: bool = True) -> "CrossModel":
        """As of any module, but both encoders stay in eval mode."""
        super().train(mode)
        self.masked.encoder.eval()
        self.multimodal.encoder.eval()
        return self

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        multimodal_clip: Float[Tensor, "its_batch channels fewer_frames its_rows its_columns"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """Scores of the classes; where probabilities are fused, logarithms of these (up to a factor `per_class`).

        Both clips show the same moment, each with the frames and the statistics that its model wants. UniFormerV2
        gets `multimodal_view` of VideoMAE's clip where it has none of its own.
        """
        return self.fused(self.both_logits(clip, multimodal_clip))

    def both_logits(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        multimodal_clip: Float[Tensor, "its_batch channels fewer_frames its_rows its_columns"] | None = None,
    ) -> BothLogits:
        """What each model says for itself, having listened to the other."""
        encoder, classifier = self.multimodal.encoder, self.masked
        found, outputs = self._observed(clip, multimodal_clip)
        tokens = self._masked_tokens(clip, outputs)
        query = encoder.fusion(found.stages, found.places, recompute=self.recompute)
        if self.config.asks_last == "multimodal":
            query = self.last(query[:, None], tokens)[:, 0]
        features = encoder.weighed(query, found.cls)
        return BothLogits(
            masked=classifier.head(classifier.dropout(self._masked_features(tokens, outputs))),
            multimodal=self.multimodal.classified(features),
        )

    def fused(self, both: BothLogits) -> Float[Tensor, "batch classes"]:
        """One score per class, with the learned weight of each model."""
        weight = self.fusion.sigmoid()
        if self.config.fuse == "logits":
            return (1 - weight) * both.masked + weight * both.multimodal
        first, second = both.masked.log_softmax(dim=-1), both.multimodal.log_softmax(dim=-1)
        return torch.logaddexp(first + F.logsigmoid(-self.fusion), second + F.logsigmoid(self.fusion))

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """VideoMAE's tokens, which have listened to UniFormerV2: one per tubelet, in (t h w) order."""
        return self._masked_tokens(clip, self._observed(clip, None)[1])

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """One vector per clip, as VideoMAE's head is given it."""
        outputs = self._observed(clip, None)[1]
        return self._masked_features(self._masked_tokens(clip, outputs), outputs)

    def _observed(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        multimodal_clip: Float[Tensor, "its_batch channels fewer_frames its_rows its_columns"] | None,
    ) -> tuple[BackboneFeatures, list[Float[Tensor, "batch times places width"]]]:
        """What UniFormerV2's backbone made of its clip; and its tokens where VideoMAE listens, and the last."""
        if multimodal_clip is None:
            multimodal_clip = multimodal_view(clip, self.config)
        if len(clip) != len(multimodal_clip):
            # Attention would let all videos share the only one.
            raise ConfigError(
                f"VideoMAE is given {len(clip)} clips and UniFormerV2 {len(multimodal_clip)}; both have to see "
                "the same videos"
            )
        encoder = self.multimodal.encoder
        # Nothing that trains comes before its global blocks.
        with torch.no_grad():
            return encoder.observed_backbone(
                multimodal_clip, (*self.config.multimodal_layers, encoder.config.depth - 1)
            )

    def _masked_tokens(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        outputs: Sequence[Float[Tensor, "batch times places width"]],
    ) -> Float[Tensor, "batch tokens dim"]:
        """VideoMAE's tokens, which gather from the other model's after some of the blocks."""
        encoder, layers = self.masked.encoder, self.config.masked_layers
        # Nothing that trains comes before the first of these blocks.
        with torch.no_grad():
            tokens = run_blocks(encoder.blocks[: layers[0] + 1], encoder.embedded(clip), recompute=False)
        ends = (*layers[1:], len(encoder.blocks) - 1)
        for stage, output, start, end in zip(self.stages, outputs[:-1], layers, ends, strict=True):
            tokens = stage(tokens, output.flatten(1, 2))
            tokens = run_blocks(encoder.blocks[start + 1 : end + 1], tokens, recompute=self.recompute)
        return tokens

    def _masked_features(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        outputs: Sequence[Float[Tensor, "batch times places width"]],
    ) -> Float[Tensor, "batch dim"]:
        """What VideoMAE's head is given: the mean of its tokens, which may have asked once more, and the norm."""
        mean = tokens.mean(dim=1)
        if self.config.asks_last == "masked":
            mean = self.last(mean[:, None], outputs[-1].flatten(1, 2))[:, 0]
        return self.masked.pool_norm(mean)


def multimodal_view(
    clip: Float[Tensor, "batch channels frames rows columns"], config: CrossModelConfig
) -> Float[Tensor, "batch channels fewer_frames its_rows its_columns"]:
    """What UniFormerV2 sees of VideoMAE's clip: the frames amid equal parts, in its own size and statistics."""
    wanted, found = config.multimodal.encoder, clip.shape[2]
    frames = (torch.arange(wanted.num_frames) * 2 + 1) * found // (2 * wanted.num_frames)
    clip = clip[:, :, frames.to(clip.device)]
    mean, std, its_mean, its_std = (
        clip.new_tensor(values)[:, None, None, None]
        for values in (config.mean, config.std, config.multimodal_mean, config.multimodal_std)
    )
    clip = (clip * std + (mean - its_mean)) / its_std
    if config.masked.encoder.image_size == wanted.image_size:
        return clip
    images = clip.transpose(1, 2).flatten(0, 1)
    size = [side * wanted.image_size // config.masked.encoder.image_size for side in clip.shape[3:]]
    images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    return images.unflatten(0, (len(clip), -1)).transpose(1, 2)


def is_trained(name: str) -> bool:
    """Whether a parameter of a `CrossModel` trains: what is new, the classifiers, and UniFormerV2's query.

    The norm before a classifier is part of it in UniFormerV2, and of the encoder in VideoMAE.

    >>> is_trained("stages.0.attn_gate"), is_trained("masked.pool_norm.weight")
    (True, False)
    """
    new = ("stages.", "last.", "fusion")
    classifiers = ("masked.head.", "multimodal.norm.", "multimodal.head.")
    return name.startswith((*new, *classifiers)) or name == "multimodal.encoder.fusion.query"


VARIANTS: dict[str, CrossModelConfig] = {
    # The largest published pair; of which frames each saw, nothing is said.
    "cross_model_huge_l14": cross_model(
        videomae.ClassifierConfig(encoder=videomae.HUGE, num_classes=400),
        uniformerv2.ClassifierConfig(encoder=uniformerv2.L14, num_classes=400),
    ),
    "cross_model_nano": cross_model(
        videomae.ClassifierConfig(encoder=videomae.TINY, num_classes=12),
        uniformerv2.ClassifierConfig(encoder=uniformerv2.NANO, num_classes=12, head_dropout=0.0),
        num_stages=2,
    ),
}
