"""X-CLIP: expanding language-image pretrained models for general video recognition (Ni et al., ECCV 2022).

CLIP's image tower sees every frame, and in every block the frames of a video talk to each other: each sends a
message, messages attend to messages, and the answer joins its frame's tokens for one attention (cross-frame
communication). A small transformer integrates the frames (multi-frame integration). Names of classes become
texts, and what the video shows moves them a little (video-specific prompts) before they are compared with it.

Each of the three parts can be left out. Without any of them remains CLIP on single frames and the mean of their
embeddings, which is what ViFi-CLIP (Rasheed et al., CVPR 2023) fine-tunes and the honest comparison.
"""

from dataclasses import dataclass, replace
from math import log

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.clip import (
    BASE_16,
    BASE_32,
    BASE_TEXT,
    LARGE_14,
    LARGE_14_336,
    LARGE_TEXT,
    ImageTowerConfig,
    TextTower,
    TextTowerConfig,
    scaled_cosines,
)
from tubelet.models.xclip_parts import FrameTower, Integration, Prompts


@dataclass(frozen=True, kw_only=True)
class XCLIPConfig:
    """CLIP's two towers and what is new: messages, integration and prompts.

    `num_frames` is how many positions in time are learned. Other numbers of frames get them interpolated, or are
    refused with `strict_frames`. A depth of 0 leaves a part out, `cross_frame=False` the messages. `time_scale`
    is the deviation with which the positions in time start, `prompt_scale` where the learned scale of prompts
    does. Texts are frozen as published, with the scale of the logits; `tune_text` trains both.
    """

    image: ImageTowerConfig
    text: TextTowerConfig
    num_frames: int = 8
    strict_frames: bool = False
    cross_frame: bool = True
    integration_depth: int = 1
    integration_num_heads: int
    integration_mlp_ratio: float = 4.0
    time_scale: float = 0.02
    prompt_depth: int = 2
    prompt_num_heads: int
    prompt_scale: float = 0.1
    drop_path: float = 0.0
    tune_text: bool = False

    def __post_init__(self) -> None:
        if self.image.tubelet[0] != 1:
            raise ConfigError(f"X-CLIP sees single frames, not tubelets {self.image.tubelet}")
        if self.image.embed_dim != self.text.embed_dim:
            raise ConfigError(
                f"videos are embedded in {self.image.embed_dim} dimensions and texts in {self.text.embed_dim}; "
                "they must share one space"
            )
        for part in ("integration", "prompt"):
            depth, num_heads = getattr(self, f"{part}_depth"), getattr(self, f"{part}_num_heads")
            if depth < 0:
                raise ConfigError(f"{part}_depth is {depth}; it must be 0 or more")
            if num_heads < 1 or self.embed_dim % num_heads:
                raise ConfigError(
                    f"embed_dim {self.embed_dim} does not divide into {part}_num_heads {num_heads}"
                )
        if self.strict_frames and not self.integration_depth:
            raise ConfigError(
                "strict_frames is on, but without integration no position in time is learned; leave it off"
            )
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; it must be at least 1")
        if not 0 <= self.time_scale <= 1:
            raise ConfigError(f"time_scale {self.time_scale} is not a deviation from 0 to 1")
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"drop_path {self.drop_path} is not a share from 0 up to 1")

    @property
    def embed_dim(self) -> int:
        """Of the space that videos share with texts."""
        return self.image.embed_dim

    @property
    def image_size(self) -> int:
        """Pixels along a side of a frame."""
        return self.image.image_size

    @property
    def tubelet(self) -> tuple[int, int, int]:
        """Frames, rows and columns of a patch."""
        return self.image.tubelet


@dataclass(frozen=True)
class VideoFeatures:
    """What is known of videos before any text is: `embedding` alone can be indexed and compared.

    Embeddings are as the model makes them, not of unit length. `places` has one vector per patch of a frame, the
    mean over the frames; prompts are made from it. None where the model makes no prompts.
    """

    embedding: Float[Tensor, "batch embed_dim"]
    places: Float[Tensor, "batch places embed_dim"] | None


class XCLIP(nn.Module):
    """Videos and texts in one space, and how well they match.

    `texts` are embeddings that `text_features` made; they do not depend on the video, so a set of classes needs
    them only once. Neither videos' nor texts' have unit length; `logits` sees to it.
    """

    def __init__(self, config: XCLIPConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.image = FrameTower(config.image, cross_frame=config.cross_frame, drop_path=config.drop_path)
        self.integration = integration(config) if config.integration_depth else None
        self.prompts = prompts(config) if config.prompt_depth else None
        self.text = TextTower(config.text)
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))  # its logarithm, as CLIP starts
        for parameter in (*self.text.parameters(), self.logit_scale):
            parameter.requires_grad = config.tune_text

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        texts: Float[Tensor, "classes embed_dim"],
    ) -> Float[Tensor, "batch classes"]:
        """How well each clip matches each text, with prompts where the model has them."""
        return self.logits(self.video_features(clip), texts)

    def video_features(self, clip: Float[Tensor, "batch channels frames rows columns"]) -> VideoFeatures:
        """All that `logits` wants to know of clips; for scores without prompts `features` does with less."""
        if self.prompts is None:
            return VideoFeatures(self.features(clip), None)
        tokens = self.image(clip)
        return VideoFeatures(self._integrated(tokens[:, :, :1]), self.prompts.places(tokens[:, :, 1:]))

    def text_features(self, tokens: Int64[Tensor, "classes length"]) -> Float[Tensor, "classes embed_dim"]:
        """Embeddings of texts, not of unit length, before any video has moved them."""
        return self.text(tokens)

    def logits(
        self,
        video: VideoFeatures,
        texts: Float[Tensor, "classes embed_dim"] | Float[Tensor, "batch classes embed_dim"],
        *,
        prompted: bool = True,
    ) -> Float[Tensor, "batch classes"]:
        """Scaled cosines of videos and texts, which are the same for all videos or each video's own.

        Without prompts they are separable: an index of `video.embedding` finds the same best videos.
        """
        if prompted and self.prompts is not None:
            if video.places is None:
                raise ConfigError("prompts need the places of a video; take what video_features gives")
            texts = texts.expand(len(video.places), -1, -1)
            texts = texts + self.prompts(texts, video.places)
        return scaled_cosines(self.logit_scale, video.embedding, texts)

    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with."""
        return self.logit_scale.exp()

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame in the space of texts, in (t h w) order."""
        return self.image.embedded(self.image(clip)[:, :, 1:]).flatten(1, 2)

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The embedding of each clip, not of unit length: what can be indexed."""
        return self._integrated(self.image(clip, cls_only=True))

    def _integrated(self, cls: Float[Tensor, "batch frames 1 width"]) -> Float[Tensor, "batch embed_dim"]:
        frames = self.image.embedded(cls)[:, :, 0]
        return frames.mean(dim=1) if self.integration is None else self.integration(frames)


def integration(config: XCLIPConfig) -> Integration:
    """The part of a model that integrates frames, with fresh weights."""
    return Integration(
        config.embed_dim,
        config.integration_depth,
        config.integration_num_heads,
        config.num_frames,
        mlp_ratio=config.integration_mlp_ratio,
        time_scale=config.time_scale,
        norm_eps=config.image.norm_eps,
        strict=config.strict_frames,
    )


def prompts(config: XCLIPConfig) -> Prompts:
    """The part of a model that moves texts, with fresh weights."""
    return Prompts(
        config.embed_dim,
        config.prompt_depth,
        config.prompt_num_heads,
        image_dim=config.image.dim,
        scale=config.prompt_scale,
        norm_eps=config.image.norm_eps,
        text_norm_eps=config.text.norm_eps,
    )


B32 = XCLIPConfig(image=BASE_32, text=BASE_TEXT, integration_num_heads=8, prompt_num_heads=8)
B16 = replace(B32, image=BASE_16)
# Heads have 64 channels, here 12 of them; the files on Hugging Face say 8 (see weights.xclip).
L14 = XCLIPConfig(image=LARGE_14, text=LARGE_TEXT, integration_num_heads=12, prompt_num_heads=12)
L14_336 = replace(L14, image=LARGE_14_336, num_frames=16)


def mean_pooled(config: XCLIPConfig) -> XCLIPConfig:
    """Nothing but CLIP on every frame and the mean of the embeddings."""
    return replace(config, cross_frame=False, integration_depth=0, prompt_depth=0)


# For frames of 32 pixels, trained from scratch in minutes. What makes that possible: few and large patches, whose
# first layer sees where in them things are, and positions in time that stand out from the start.
NANO = XCLIPConfig(
    image=ImageTowerConfig(dim=96, depth=2, num_heads=3, embed_dim=64, image_size=32, tubelet=(1, 16, 16)),
    text=TextTowerConfig(dim=64, depth=1, num_heads=2, embed_dim=64, context_length=32),
    integration_num_heads=2,
    time_scale=1.0,
    prompt_depth=1,
    prompt_num_heads=2,
    tune_text=True,
)

VARIANTS: dict[str, XCLIPConfig] = {
    "xclip_b32": B32,
    "xclip_b32_16_frames": replace(B32, num_frames=16),
    "xclip_b16": B16,
    "xclip_b16_16_frames": replace(B16, num_frames=16),
    "xclip_b16_32_frames": replace(B16, num_frames=32),
    "xclip_l14": L14,
    "xclip_l14_336": L14_336,
    "xclip_nano": NANO,
    "clip_b32_mean": mean_pooled(B32),
    "clip_b16_mean": mean_pooled(B16),
    "clip_l14_mean": mean_pooled(L14),
    "clip_l14_336_mean": mean_pooled(L14_336),
}
