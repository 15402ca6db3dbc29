"""InternVideo's multimodal branch: videos, images and texts in one space, and videos in words (Wang et al. 2022).

UniFormerV2 without local relations sees videos; an image is a clip of one frame. CLIP's text tower reads texts
from left to right. Both are compared as in CLIP, and a decoder predicts the words of a text from those before
them and from the video, so that one model learns from contrast and from captions. Words may be masked.
"""

from dataclasses import dataclass, replace
from math import log

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.layers.block import run_blocks
from tubelet.models import uniformerv2
from tubelet.models.caption_decoder import CaptionConfig, CaptionDecoder, WordPredictor
from tubelet.models.clip import (
    BASE_TEXT,
    LARGE_TEXT,
    TextEmbed,
    TextTowerConfig,
    clip_block,
    scaled_cosines,
    trimmed_texts,
)
from tubelet.models.uniformerv2 import Encoder, EncoderConfig
from tubelet.models.xclip import NANO as XCLIP_NANO
from tubelet.models.xclip import VideoFeatures

# Of the factor on cosines, which stays from 1 to 100 as in CLIP.
MAX_LOG_SCALE = log(100)


@dataclass(frozen=True, kw_only=True)
class InternVideoConfig:
    """Both towers, and a caption decoder where there is one. Videos are embedded in the space of `text`."""

    video: EncoderConfig
    text: TextTowerConfig
    caption: CaptionConfig | None = None

    @property
    def encoder(self) -> EncoderConfig:
        """What sees the clips."""
        return self.video

    @property
    def embed_dim(self) -> int:
        """Of the space that videos share with texts."""
        return self.text.embed_dim


@dataclass(frozen=True)
class ReadTexts:
    """Texts that a tower has read: each token knows those before it. `ends` are places of end tokens.

    Nothing after the longest text is there.
    """

    tokens: Float[Tensor, "texts length dim"]
    ends: Int64[Tensor, " texts"]

    @property
    def last(self) -> Float[Tensor, "texts dim"]:
        """The end tokens, which have seen all of their texts."""
        return at_ends(self.tokens, self.ends)


def at_ends(
    tokens: Float[Tensor, "texts length dim"], ends: Int64[Tensor, " texts"]
) -> Float[Tensor, "texts dim"]:
    """One token of each text."""
    return tokens[torch.arange(len(ends), device=ends.device), ends]


def shared_space(dim: int, embed_dim: int) -> nn.Linear:
    """The map from a tower to the space that videos share with texts, as CLIP's starts."""
    linear = nn.Linear(dim, embed_dim, bias=False)
    nn.init.normal_(linear.weight, std=dim**-0.5)
    return linear


class TextReader(nn.Module):
    """CLIP's text tower, of which every token counts here, and some may be masked.

    Its last map, to embeddings, it has where texts are compared (`embeds`).
    """

    def __init__(self, config: TextTowerConfig, *, embeds: bool):
        super().__init__()
        self.config = config
        self.recompute = False
        self.embed = TextEmbed(config)
        self.mask_token = nn.Parameter(torch.randn(config.dim) * 0.02)
        self.blocks = nn.ModuleList(
            [
                clip_block(config.dim, config.num_heads, config.mlp_ratio, config.norm_eps, causal=True)
                for _ in range(config.depth)
            ]
        )
        self.norm = nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.proj = shared_space(config.dim, config.embed_dim) if embeds else None

    def forward(
        self, tokens: Int64[Tensor, "texts length"], masked: Bool[Tensor, "texts length"] | None = None
    ) -> ReadTexts:
        """Texts in which words that are `masked` are one and the same, at their places."""
        tokens, ends = trimmed_texts(tokens, self.config)
        embedded = self.embed(tokens)
        if masked is not None:
            hidden = self.mask_token + self.embed.position[: tokens.shape[1]]
            embedded = torch.where(masked[:, : tokens.shape[1], None], hidden, embedded)
        return ReadTexts(self.norm(run_blocks(self.blocks, embedded, recompute=self.recompute)), ends)


@dataclass(frozen=True)
class SeenVideos:
    """Videos, or images, that a tower has seen: one vector each, not yet normed, and all of their tokens."""

    summary: Float[Tensor, "batch dim"]
    tokens: Float[Tensor, "batch tokens dim"]


def seen_videos(video: Encoder, clip: Float[Tensor, "batch channels frames rows columns"]) -> SeenVideos:
    """What a UniFormerV2 makes of clips; the tokens are those after its last block, class tokens included."""
    features, (last,) = video.observed_backbone(clip, [video.config.depth - 1])
    return SeenVideos(video.summary(features), last.flatten(1, 2))


class InternVideo(nn.Module):
    """Videos, images and texts in one space, how well they match, and which words describe a video.

    `texts` are embeddings that `text_features` made; they do not depend on the video, so a set of classes needs
    them only once. An image is a clip of one frame.
    """

    # No video moves a text, unlike in X-CLIP.
    prompts = None

    def __init__(self, config: InternVideoConfig):
        super().__init__()
        self.config = config
        self.dim = config.embed_dim
        dim, text = config.video.dim, config.text
        self.video = Encoder(config.video)
        self.video_norm = nn.LayerNorm(dim, eps=config.video.norm_eps)
        self.video_proj = shared_space(dim, config.embed_dim)
        self.text = TextReader(text, embeds=True)
        self.logit_scale = nn.Parameter(torch.tensor(log(1 / 0.07)))  # its logarithm
        self.caption = None if config.caption is None else CaptionDecoder(config.caption, text.dim, dim)
        self.predictor = None if config.caption is None else WordPredictor(text.dim, text.vocab_size)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        texts: Float[Tensor, "classes embed_dim"],
    ) -> Float[Tensor, "batch classes"]:
        """How well each clip matches each text."""
        return self.logits(self.video_features(clip), texts)

    def seen(self, clip: Float[Tensor, "batch channels frames rows columns"]) -> SeenVideos:
        """Clips as both `embedded` and `words` want them, in one pass."""
        return seen_videos(self.video, clip)

    def read(
        self, tokens: Int64[Tensor, "texts length"], masked: Bool[Tensor, "texts length"] | None = None
    ) -> ReadTexts:
        """Texts as both `embedded` and `words` want them, in one pass; words that are `masked` are hidden."""
        return self.text(tokens, masked)

    def embedded(self, found: SeenVideos | ReadTexts) -> Float[Tensor, "batch embed_dim"]:
        """Embeddings of videos or texts, not of unit length."""
        if isinstance(found, ReadTexts):
            assert self.text.proj is not None
            return self.text.proj(found.last)
        return self.video_proj(self.video_norm(found.summary))

    def words(self, texts: ReadTexts, videos: SeenVideos) -> Float[Tensor, "batch tokens words"]:
        """Scores of the word that follows each token of a text, given its video.

        Beyond the end of a text they mean nothing (`losses.caption_loss` knows where that is).
        """
        if self.caption is None or self.predictor is None:
            raise ConfigError("the model has no caption decoder; it compares videos and texts only")
        return self.predictor(self.caption(texts.tokens, videos.tokens))

    def video_features(self, clip: Float[Tensor, "batch channels frames rows columns"]) -> VideoFeatures:
        """All that `logits` wants to know of clips: their embeddings."""
        return VideoFeatures(self.features(clip), None)

    def text_features(
        self, tokens: Int64[Tensor, "classes length"], masked: Bool[Tensor, "classes length"] | None = None
    ) -> Float[Tensor, "classes embed_dim"]:
        """Embeddings of texts, not of unit length; words that are `masked` are hidden."""
        return self.embedded(self.text(tokens, masked))

    def logits(
        self,
        video: VideoFeatures,
        texts: Float[Tensor, "*videos classes embed_dim"],
        *,
        prompted: bool = True,
    ) -> Float[Tensor, "batch classes"]:
        """Cosines of videos and texts times `scale`; `prompted` changes nothing, as there are no prompts."""
        return scaled_cosines(self._log_scale(), video.embedding, texts)

    def scale(self) -> Float[Tensor, ""]:
        """What cosines are multiplied with: from 1 to 100."""
        return self._log_scale().exp()

    def _log_scale(self) -> Float[Tensor, ""]:
        # Beyond a bound, and at it, the gradient of `clamp` is 0: the scale would stay there for good.
        beyond = self.logit_scale.clamp(0.0, MAX_LOG_SCALE) - self.logit_scale
        return self.logit_scale + beyond.detach()

    @torch.no_grad()
    def bound_scale(self) -> None:
        """Put a scale that a step has moved out of its bounds back, as published training does each time."""
        self.logit_scale.clamp_(0.0, MAX_LOG_SCALE)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame in the space of texts, in (t h w) order."""
        return self.video_proj(self.video_norm(self.video.tokens(clip)))

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """The embedding of each clip, not of unit length: what can be indexed."""
        return self.video_proj(self.video_norm(self.video.features(clip)))


B16 = InternVideoConfig(video=uniformerv2.B16, text=BASE_TEXT)
L14 = InternVideoConfig(video=uniformerv2.L14, text=LARGE_TEXT)


def with_captions(config: InternVideoConfig) -> InternVideoConfig:
    """A published size with a caption decoder, which has as many heads as the text tower."""
    return replace(config, caption=CaptionConfig(num_heads=config.text.num_heads))


# For frames of 32 pixels, trained from scratch in minutes. The decoder sees tokens that in the published sizes
# know their own frame alone; here, local relations tell them of others.
NANO = InternVideoConfig(
    video=replace(uniformerv2.NANO, depth=2, patch_size=16, global_layers=(0, 1)),
    text=XCLIP_NANO.text,
    caption=CaptionConfig(num_heads=2, head_dim=32, depth=2, num_queries=8, mlp_ratio=2.0),
)

VARIANTS: dict[str, InternVideoConfig] = {
    "internvideo_mm_b16": B16,
    "internvideo_mm_l14": L14,
    "internvideo_mm_b16_caption": with_captions(B16),
    "internvideo_mm_l14_caption": with_captions(L14),
    "internvideo_mm_nano": NANO,
}
