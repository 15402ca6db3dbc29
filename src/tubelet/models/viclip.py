"""ViCLIP: videos and texts in one space, learned from masked videos (InternVid, Wang et al., ICLR 2024).

CLIP's image tower becomes one of videos. Patches of all frames, each with its place and its time, and a single
class token attend to each other throughout (joint space-time attention); texts have CLIP's tower with a shorter
context. In pre-training nine tenths of the patches are hidden at random and not computed, and a short tuning on
whole videos follows. A mask is an argument, never a mode: without one a model sees all of a clip.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.block import run_blocks
from tubelet.layers.drop import drop_path_rates
from tubelet.layers.embed import keep
from tubelet.models.clip import (
    BASE_16,
    BASE_TEXT,
    LARGE_14,
    LARGE_TEXT,
    FrameEmbed,
    ImageTowerConfig,
    TextTower,
    TextTowerConfig,
    clip_block,
    scaled_cosines,
)
from tubelet.models.xclip import NANO as XCLIP_NANO
from tubelet.models.xclip import VideoFeatures
from tubelet.ops.resample import resize_positions


@dataclass(frozen=True, kw_only=True)
class ViCLIPConfig:
    """CLIP's two towers, and what the one of videos has beside.

    `num_frames` is how many frames have a learned position in time (one per tubelet). Clips of another length get
    them interpolated, or are refused with `strict_frames`. `time_scale` is the deviation with which they start;
    as published it is 0, and a video a bag of frames. Texts are frozen as published; `tune_text` trains them.
    `min_temperature` bounds the learned temperature, by which cosines are divided.
    """

    image: ImageTowerConfig
    text: TextTowerConfig
    num_frames: int = 8
    strict_frames: bool = False
    time_scale: float = 0.0
    drop_path: float = 0.0
    tune_text: bool = False
    min_temperature: float = 0.01

    def __post_init__(self) -> None:
        if self.image.embed_dim != self.text.embed_dim:
            raise ConfigError(
                f"videos have embeddings of {self.image.embed_dim} numbers and texts of {self.text.embed_dim}; "
                "both must share one space"
            )
        if self.num_frames < self.image.tubelet[0]:
            raise ConfigError(f"num_frames {self.num_frames} is smaller than a tubelet {self.image.tubelet}")
        if not 0 <= self.time_scale <= 1:
            raise ConfigError(f"time_scale {self.time_scale} is not a deviation from 0 to 1")
        if not 0 <= self.drop_path < 1:
            raise ConfigError(f"drop_path {self.drop_path} is not a share from 0 up to 1")
        if self.min_temperature <= 0:
            raise ConfigError(f"min_temperature is {self.min_temperature}; it must be above 0")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along time, rows and columns, the class token aside."""
        return self.num_frames // self.image.tubelet[0], *self.image.grid[1:]

    @property
    def tubelet(self) -> tuple[int, int, int]:
        """Frames, rows and columns of what becomes a token."""
        return self.image.tubelet

    @property
    def image_size(self) -> int:
        """Pixels along a side of a frame."""
        return self.image.image_size

    @property
    def embed_dim(self) -> int:
        """Of the space that videos share with texts."""
        return self.image.embed_dim


def resize_times(
    table: Float[Tensor, "frames dim"],
    num_frames: int,
    how: Literal["interpolate", "published", "zeros"] = "interpolate",
) -> Float[Tensor, "num_frames dim"]:
    """Positions in time for another number of frames.

    "interpolate" spreads them linearly over the same video; a single frame stands for all of it and gets their
    mean, as the published model gives images. "published" is what its training code does with the weights it
    starts from: linear for more frames, the first ones for fewer. "zeros" appends zeros for more.

    >>> resize_times(torch.tensor([[0.0], [2.0], [4.0]]), 1)
    tensor([[2.]])
    """
    found = len(table)
    if num_frames == found:
        return table
    if how != "interpolate" and num_frames < found:
        return table[:num_frames]
    if how == "zeros":
        return torch.cat([table, table.new_zeros(num_frames - found, table.shape[1])])
    if num_frames == 1:
        return table.mean(dim=0, keepdim=True)
    return resize_positions(table, (found, 1, 1), (num_frames, 1, 1))


class VideoTower(nn.Module):
    """Clips to embeddings: a ViT over all patches of all frames with one class token.

    Its tensors have the names of CLIP's `ImageTower`; `time_position` comes on top.
    """

    def __init__(self, config: ViCLIPConfig):
        super().__init__()
        tower = config.image
        self.config = config
        self.recompute = False
        self.embed = FrameEmbed(tower)
        self.time_position = nn.Parameter(torch.randn(config.grid[0], tower.dim) * config.time_scale)
        self.pre_norm = nn.LayerNorm(tower.dim, eps=tower.norm_eps)
        self.blocks = nn.ModuleList(
            [
                clip_block(tower.dim, tower.num_heads, tower.mlp_ratio, tower.norm_eps, drop_path=rate)
                for rate in drop_path_rates(config.drop_path, tower.depth)
            ]
        )
        self.post_norm = nn.LayerNorm(tower.dim, eps=tower.norm_eps)
        self.proj = nn.Linear(tower.dim, tower.embed_dim, bias=False)
        nn.init.normal_(self.proj.weight, std=tower.dim**-0.5)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch kept dim"]:
        """The class token, then those of patches (only of the unmasked ones), after the last block."""
        tokens = self.pre_norm(self._embedded(clip, masked))
        return run_blocks(self.blocks, tokens, recompute=self.recompute)

    def projected(self, tokens: Float[Tensor, "batch *kept dim"]) -> Float[Tensor, "batch *kept embed_dim"]:
        """Tokens after the last block in the space that is shared with texts."""
        return self.proj(self.post_norm(tokens))

    def _embedded(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"] | None,
    ) -> Float[Tensor, "batch kept dim"]:
        frames = self.embed(clip).unflatten(0, (clip.shape[0], -1))  # len would fix an export's batch
        first = frames[:, 0, :1]  # each frame has the same class token with the same position
        num_times = frames.shape[1]
        if self.config.strict_frames and num_times != self.config.grid[0]:
            raise ConfigError(
                f"the clip has {clip.shape[2]} frames; the model knows positions in time for "
                f"{self.config.num_frames} (strict_frames=false interpolates them)"
            )
        times = resize_times(self.time_position, num_times)
        patches = (frames[:, :, 1:] + times[:, None]).flatten(1, 2)
        if masked is not None:
            check_mask(masked, len(patches), patches.shape[1])
            patches = keep(patches, ~masked)
        return torch.cat([first, patches], dim=1)


def check_mask(masked: Bool[Tensor, "masks tokens"], num_clips: int, num_tokens: int) -> None:
    """Raise a ConfigError unless masks hide the same number of a clip's tokens in every sample."""
    if masked.shape[1] != num_tokens:
        raise ConfigError(f"the mask is of {masked.shape[1]} tokens; the clip has {num_tokens}")
    if len(masked) != num_clips:
        raise ConfigError(f"there are {len(masked)} masks for {num_clips} clips; each needs its own")
    hidden = masked.sum(dim=1)
    if bool((hidden != hidden[0]).any()):
        raise ConfigError(f"masks hide {hidden.tolist()} tokens; they must hide as many in every sample")


class ViCLIP(nn.Module):
    """Videos and texts in one space, and how well they match.

    `texts` are embeddings that `text_features` made; they do not depend on the video, so a set of classes needs
    them only once.
    """

    # No video moves a text, unlike in X-CLIP.
    prompts = None

    def __init__(self, config: ViCLIPConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        self.image = VideoTower(config)
        self.text = TextTower(config.text)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.text.requires_grad_(config.tune_text)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        texts: Float[Tensor, "classes embed_dim"],
        masked: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch classes"]:
        """How well each clip, or what a mask leaves of it, matches each text."""
        return self.logits(self.video_features(clip, masked), texts)

    def video_features(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"] | None = None,
    ) -> VideoFeatures:
        """All that `logits` wants to know of clips: their embeddings."""
        return VideoFeatures(self.features(clip, masked), None)

    def text_features(self, tokens: Int64[Tensor, "classes length"]) -> Float[Tensor, "classes embed_dim"]:
        """Embeddings of texts, not of unit length."""
        return self.text(tokens)

    def logits(
        self,
        video: VideoFeatures,
        texts: Float[Tensor, "*videos classes embed_dim"],
        *,
        prompted: bool = True,
    ) -> Float[Tensor, "batch classes"]:
        """Scaled cosines of videos and texts. No video moves a text here, so `prompted` says nothing."""
        return scaled_cosines(self.scale().log(), video.embedding, texts)

    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with, at most 1 / `min_temperature`.

        A temperature at its minimum still learns. The published demo takes 100, where that of a trained model
        ends, whatever the weights say.
        """
        lacking = (self.config.min_temperature - self.temperature.detach()).clamp(min=0)
        return 1 / (self.temperature + lacking)

    @torch.no_grad()
    def bound_temperature(self) -> None:
        """Put a temperature that a step has moved below its minimum back there, so that it can return."""
        self.temperature.clamp_(min=self.config.min_temperature)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame in the space of texts, in (t h w) order."""
        return self.image.projected(self.image(clip)[:, 1:])

    def features(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        masked: Bool[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """The embedding of each clip, not of unit length: what can be indexed.

        `masked` is true where a token, in (t h w) order, is hidden.
        """
        return self.image.projected(self.image(clip, masked)[:, 0])


B16 = ViCLIPConfig(image=BASE_16, text=replace(BASE_TEXT, context_length=32))
L14 = ViCLIPConfig(image=LARGE_14, text=replace(LARGE_TEXT, context_length=32))
# For frames of 32 pixels, trained from scratch in minutes.
NANO = ViCLIPConfig(image=XCLIP_NANO.image, text=XCLIP_NANO.text, time_scale=1.0, tune_text=True)

VARIANTS: dict[str, ViCLIPConfig] = {"viclip_b16": B16, "viclip_l14": L14, "viclip_nano": NANO}
