"""Questions about videos, answered with InternVideo's multimodal branch (Wang et al. 2022)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.models.caption_decoder import CaptionConfig, CaptionDecoder
from tubelet.models.clip import TextTowerConfig
from tubelet.models.internvideo import (
    B16,
    L14,
    NANO,
    InternVideoConfig,
    TextReader,
    at_ends,
    seen_videos,
    with_captions,
)
from tubelet.models.uniformerv2 import Encoder, EncoderConfig


@dataclass(frozen=True, kw_only=True)
class AnswererConfig:
    """Both towers, the decoder between them, and how many answers there are to choose from.

    The `dropout` of the published head is not known.
    """

    video: EncoderConfig
    text: TextTowerConfig
    caption: CaptionConfig
    num_answers: int
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.num_answers < 2:
            raise ConfigError(f"num_answers is {self.num_answers}; there is nothing to choose from below 2")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout {self.dropout} is not a share from 0 up to 1")

    @property
    def encoder(self) -> EncoderConfig:
        """What sees the clips."""
        return self.video


class AnswerHead(nn.Module):
    """What is known of a question and its video becomes scores of answers."""

    def __init__(self, dim: int, num_answers: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(dim, 2 * dim)
        self.norm = nn.LayerNorm(2 * dim, eps=1e-5)
        self.fc2 = nn.Linear(2 * dim, num_answers)

    def forward(self, known: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch answers"]:
        hidden = F.gelu(self.norm(self.fc1(self.dropout(known))))
        return self.fc2(self.dropout(hidden))


class InternVideoAnswerer(nn.Module):
    """A question, its video, and the question after it has looked at the video are classified together."""

    def __init__(self, config: AnswererConfig):
        super().__init__()
        self.config = config
        self.dim = config.video.dim
        self.video = Encoder(config.video)
        self.video_norm = nn.LayerNorm(self.dim, eps=config.video.norm_eps)
        self.text = TextReader(config.text, embeds=False)
        self.caption = CaptionDecoder(config.caption, config.text.dim, self.dim)
        self.head = AnswerHead(self.dim + 2 * config.text.dim, config.num_answers, config.dropout)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        question: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch answers"]:
        """Scores of the answers; question i is about clip i."""
        return self.head(self.known(clip, question))

    def known(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        question: Int64[Tensor, "batch length"],
    ) -> Float[Tensor, "batch width"]:
        """End tokens that have seen the video, then videos, then end tokens that have not."""
        videos, texts = seen_videos(self.video, clip), self.text(question)
        asked = at_ends(self.caption(texts.tokens, videos.tokens), texts.ends)
        return torch.cat([asked, self.video_norm(videos.summary), texts.last], dim=1)

    def tokens(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """One vector per patch of every frame, in (t h w) order."""
        return self.video_norm(self.video.tokens(clip))

    def features(
        self, clip: Float[Tensor, "batch channels frames rows columns"]
    ) -> Float[Tensor, "batch dim"]:
        """One vector per clip, as the head is given it."""
        return self.video_norm(self.video.features(clip))


def answerer(config: InternVideoConfig, num_answers: int) -> AnswererConfig:
    """The model for questions of a published size."""
    caption = with_captions(config).caption if config.caption is None else config.caption
    assert caption is not None
    return AnswererConfig(video=config.video, text=config.text, caption=caption, num_answers=num_answers)


# As many answers as were published for MSRVTT; MSVD has 1001 and TGIF 1541.
VARIANTS: dict[str, AnswererConfig] = {
    "internvideo_qa_b16": answerer(B16, 1501),
    "internvideo_qa_l14": answerer(L14, 1501),
    "internvideo_qa_nano": answerer(NANO, 12),
}
