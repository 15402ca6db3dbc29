"""UniFormerV2: unlocking the potential of image ViTs for video understanding (Li et al. 2022, arXiv 2211.09552).

CLIP's image tower sees every frame. Local UniBlocks are its blocks, with relations in time where motion counts.
After some of them a global UniBlock lets one query gather from all tokens of the clip, and what it has gathered
asks again in the next (section 3.2). At the end it is weighed against the mean of the frames' class tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tubelet.config import check_choices
from tubelet.errors import ConfigError
from tubelet.layers.drop import drop_path_rates
from tubelet.models.clip import FrameEmbed, ImageTowerConfig
from tubelet.models.uniformerv2_fusion import Fusion, GlobalFusion
from tubelet.models.uniformerv2_parts import LocalBlock, overlapping_windows, run_local_blocks


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A CLIP tower, relations between its frames, and global blocks behind those of `global_layers`.

    `fusion` says how global blocks make one token of all stages (`uniformerv2_fusion.py`); all published models
    are "sequential".

    With `temporal_stride` 2 an embedded frame is a window of three, every second frame.

    `frozen_backbone` trains the query, global blocks and what comes after, and nothing of CLIP, which stays in
    eval mode; such models do without the class tokens.

    No position in time is learned, so every number of frames works, and positions in space are resampled where
    frames differ from the configured ones. `strict` refuses both.
    """

    dim: int
    depth: int
    num_heads: int
    patch_size: int
    image_size: int = 224
    num_frames: int = 8
    strict: bool = False
    temporal_stride: int = 1
    local_relations: int = 0  # in every block: none, one before attention, or another before the MLP
    relation_reduction: float = 1.5  # by how much they are narrower than the model
    global_layers: tuple[int, ...]  # counted from 0
    global_num_heads: int | None = None  # as many as the backbone has where None
    global_mlp_ratio: float = 4.0
    global_dropout: float = 0.5
    fusion: Fusion = "sequential"
    frozen_backbone: bool = False
    drop_path: float = 0.0
    global_drop_path: float = 0.0
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("num_heads", "global_num_heads"):
            num_heads = getattr(self, name)
            if num_heads is not None and (num_heads < 1 or self.dim % num_heads):
                raise ConfigError(f"dim {self.dim} does not divide into {name} {num_heads}")
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; it must be at least 1")
        if self.temporal_stride not in (1, 2):
            raise ConfigError(f"temporal_stride is {self.temporal_stride}; it must be 1 or 2")
        if self.local_relations not in (0, 1, 2):
            raise ConfigError(f"local_relations is {self.local_relations}; it must be 0, 1 or 2")
        if not 1 <= self.relation_reduction <= self.dim:
            raise ConfigError(
                f"relation_reduction {self.relation_reduction} leaves no channels of {self.dim}; "
                "it must be from 1 to the number of channels"
            )
        layers = self.global_layers
        if (
            not layers
            or layers[0] < 0
            or any(a >= b for a, b in pairwise(layers))
            or layers[-1] >= self.depth
        ):
            raise ConfigError(
                f"global_layers {layers} must name some of the {self.depth} blocks, from 0 on and in order"
            )
        for name in ("global_dropout", "drop_path", "global_drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)} is not a share from 0 up to 1")
        if self.global_mlp_ratio * self.dim < 1:
            raise ConfigError(f"global_mlp_ratio {self.global_mlp_ratio} leaves no channels of {self.dim}")
        # The tower checks what is left.
        _ = self.tower

    @property
    def tubelet(self) -> tuple[int, int, int]:
        """Frames, rows and columns from one token to the next."""
        return self.temporal_stride, self.patch_size, self.patch_size

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns, class tokens aside."""
        side = self.image_size // self.patch_size
        return -(-self.num_frames // self.temporal_stride), side, side

    @property
    def tower(self) -> ImageTowerConfig:
        """CLIP's tower; what it would map to is not used."""
        return ImageTowerConfig(
            dim=self.dim,
            depth=self.depth,
            num_heads=self.num_heads,
            embed_dim=self.dim,
            image_size=self.image_size,
            tubelet=(1 if self.temporal_stride == 1 else 3, self.patch_size, self.patch_size),
            norm_eps=self.norm_eps,
        )


@dataclass(frozen=True)
class BackboneFeatures:
    """What local blocks made of clips: all that global blocks and heads want to know.

    With a frozen backbone it is the same every time, and can be kept. `stages` holds the tokens behind every
    global layer, of which each frame has a class token first; `cls` is the mean over frames of class tokens after
    the last block; `places` are rows and columns of patches.
    """

    stages: tuple[Float[Tensor, "batch times tokens dim"], ...]
    cls: Float[Tensor, "batch dim"]
    places: tuple[int, int]


class Encoder(nn.Module):
    """Clips to one vector each; `kept` may know a frozen backbone's features (`models.kept_features`)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.recompute = False
        self.kept: Callable[[Encoder, Tensor], BackboneFeatures] | None = None
        tower = config.tower
        self.embed = FrameEmbed(tower)
        self.pre_norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.blocks = nn.ModuleList(
            [
                LocalBlock(
                    tower,
                    num_relations=config.local_relations,
                    reduction=config.relation_reduction,
                    drop_path=rate,
                )
                for rate in drop_path_rates(config.drop_path, config.depth)
            ]
        )
        if config.frozen_backbone:
            self.requires_grad_(False)
        self.fusion = GlobalFusion(
            config.dim,
            config.global_num_heads or config.num_heads,
            len(config.global_layers),
            config.fusion,
            mlp_ratio=config.global_mlp_ratio,
            norm_eps=config.norm_eps,
            dropout=config.global_dropout,
            drop_path=config.global_drop_path,
        )
        self.balance = None if config.frozen_backbone else nn.Parameter(torch.zeros(config.dim))

    def train(self, mode: bool = True) -> "Encoder":
        """As of any module, but a frozen backbone stays in eval mode: it always sees the same in a clip."""
        super().train(mode)
        if self.config.frozen_backbone:
            self.blocks.eval()
        return self

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """What the global blocks gathered, and the class tokens, in one vector per clip."""
        return self.summary(self.backbone_features(clip))

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every embedded frame after the last block, in (t h w) order."""
        return self.block_outputs(clip, [self.config.depth - 1])[0][:, :, 1:].flatten(1, 2)

    def backbone_features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> BackboneFeatures:
        """The part that does not depend on what is trained with `frozen_backbone`."""
        if self.kept is not None:
            return self.kept(self, clip)
        return self.observed_backbone(clip, ())[0]

    def observed_backbone(
        self, clip: Float[Tensor, "batch channels frames rows columns"], layers: Sequence[int]
    ) -> tuple[BackboneFeatures, list[Float[Tensor, "batch times tokens dim"]]]:
        """The same, and in one pass with it the tokens after other blocks."""
        config, last = self.config, self.config.depth - 1
        wanted = sorted({*config.global_layers, *layers, last})
        outputs = dict(zip(wanted, self.block_outputs(clip, wanted), strict=True))
        features = BackboneFeatures(
            stages=tuple(outputs[layer] for layer in config.global_layers),
            cls=outputs[last][:, :, 0].mean(dim=1),
            places=(clip.shape[3] // config.patch_size, clip.shape[4] // config.patch_size),
        )
        return features, [outputs[layer] for layer in layers]

    def block_outputs(
        self, clip: Float[Tensor, "batch channels frames rows columns"], layers: Sequence[int]
    ) -> list[Float[Tensor, "batch times tokens dim"]]:
        """The tokens after some blocks, which are named in order; none is computed after the last of them."""
        config = self.config
        expected = config.num_frames, config.image_size, config.image_size
        if config.strict and tuple(clip.shape[2:]) != expected:
            raise ConfigError(
                f"the clip has {tuple(clip.shape[2:])} frames, rows and columns; the model is for {expected} "
                "(strict=false interpolates)"
            )
        if config.temporal_stride == 2:
            clip = overlapping_windows(clip)
        # shape[0], where len would tie an exported model to its batch.
        tokens = self.pre_norm(self.embed(clip)).unflatten(0, (clip.shape[0], -1))
        outputs, first = [], 0
        for layer in layers:
            tokens = run_local_blocks(self.blocks[first : layer + 1], tokens, recompute=self.recompute)
            outputs.append(tokens)
            first = layer + 1
        return outputs

    def summary(self, found: BackboneFeatures) -> Float[Tensor, "batch dim"]:
        """What global blocks gathered, weighed against the class tokens."""
        return self.weighed(self.fusion(found.stages, found.places, recompute=self.recompute), found.cls)

    def weighed(
        self, token: Float[Tensor, "batch dim"], cls: Float[Tensor, "batch dim"]
    ) -> Float[Tensor, "batch dim"]:
        """A global token, weighed per channel against the mean class token; alone with a frozen backbone."""
        if self.balance is None:
            return token
        weight = self.balance.sigmoid()
        return (1 - weight) * token + weight * cls


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """An encoder, and a norm, dropout and a linear map."""

    encoder: EncoderConfig
    num_classes: int
    head_dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ConfigError(f"num_classes is {self.num_classes}; it must be at least 1")
        if not 0 <= self.head_dropout < 1:
            raise ConfigError(f"head_dropout {self.head_dropout} is not a share from 0 up to 1")


class UniFormerV2Classifier(nn.Module):
    """Clips to scores of classes."""

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = Encoder(config.encoder)
        self.norm = nn.LayerNorm(self.dim, eps=config.encoder.norm_eps)
        self.dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(self.dim, config.num_classes)

    def forward(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch classes"]:
        """Scores before softmax."""
        return self.logits(self.backbone_features(clip))

    def backbone_features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> BackboneFeatures:
        """What `logits` wants to know of clips; with a frozen backbone it can be kept for all epochs."""
        return self.encoder.backbone_features(clip)

    def logits(self, found: BackboneFeatures) -> Float[Tensor, "batch classes"]:
        """Scores of clips that have been through the backbone."""
        return self.classified(self.encoder.summary(found))

    def classified(self, features: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Scores of clips that have become one vector each."""
        return self.head(self.dropout(self.norm(features)))

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every embedded frame, in (t h w) order."""
        return self.encoder.tokens(clip)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """One vector per clip, as the head is given it."""
        return self.encoder.features(clip)


B16 = EncoderConfig(dim=768, depth=12, num_heads=12, patch_size=16, global_layers=(8, 9, 10, 11))
L14 = EncoderConfig(dim=1024, depth=24, num_heads=16, patch_size=14, global_layers=(20, 21, 22, 23))
L14_336 = replace(L14, image_size=336)


def for_motion(config: EncoderConfig) -> EncoderConfig:
    """As published for Something-Something: relations, every second frame, and more global blocks."""
    return replace(
        config,
        num_frames=16,
        temporal_stride=2,
        local_relations=2,
        global_layers=tuple(range(config.depth // 3, config.depth)),
        drop_path=0.2,
        global_drop_path=0.4,
    )


# For frames of 32 pixels, trained from scratch in minutes.
NANO = EncoderConfig(
    dim=96,
    depth=4,
    num_heads=3,
    patch_size=8,
    image_size=32,
    local_relations=2,
    global_layers=(1, 2, 3),
    global_dropout=0.0,
)

KINETICS = {"uniformerv2_b16": B16, "uniformerv2_l14": L14, "uniformerv2_l14_336": L14_336}
VARIANTS: dict[str, ClassifierConfig] = {
    **{name: ClassifierConfig(encoder=config, num_classes=400) for name, config in KINETICS.items()},
    **{
        f"{name}_frozen": ClassifierConfig(encoder=replace(config, frozen_backbone=True), num_classes=400)
        for name, config in KINETICS.items()
    },
    "uniformerv2_b16_ssv2": ClassifierConfig(encoder=for_motion(B16), num_classes=174),
    "uniformerv2_l14_ssv2": ClassifierConfig(encoder=for_motion(L14), num_classes=174),
    "uniformerv2_nano": ClassifierConfig(encoder=NANO, num_classes=12, head_dropout=0.0),
}
