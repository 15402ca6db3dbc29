"""Action detection on top of a video encoder: RoI features of given boxes, as VideoMAE does for AVA.

Tokens are normed and averaged over time, each box is cut out with RoIAlign on a 7×7 grid, its maximum is
classified (Tong et al. 2022, appendix; the recipe comes from SlowFast, Feichtenhofer et al. 2019, section 5).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tubelet.errors import ConfigError
from tubelet.models.videomae import BASE, HUGE, LARGE, SMALL, Encoder, EncoderConfig, init_classifier_part
from tubelet.ops.roi_align import roi_align

REGION = 7  # cells per side


@dataclass(frozen=True, kw_only=True)
class DetectorConfig:
    """A VideoMAE encoder and a linear head over boxes; the 80 classes of AVA unless told otherwise."""

    encoder: EncoderConfig
    num_classes: int = 80


class VideoMAEDetector(nn.Module):
    """Scores of actions for boxes of people in the middle of a clip."""

    def __init__(self, config: DetectorConfig):
        super().__init__()
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = Encoder(config.encoder, last_norm=True)
        self.head = nn.Linear(self.dim, config.num_classes)
        self.apply(init_classifier_part)

    def regions(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        boxes: Float[Tensor, "boxes 4"],
        clip_index: Int[Tensor, "boxes"],
    ) -> Float[Tensor, "boxes dim 7 7"]:
        """Features of each box: (x1, y1, x2, y2) in pixels of the clip, which `clip_index` says."""
        rows, columns = clip.shape[3:]
        patch = self.config.encoder.tubelet[1:]
        if rows % patch[0] or columns % patch[1]:
            raise ConfigError(
                f"frames of {rows}×{columns} pixels do not divide into patches of {patch}; pad them"
            )
        grid = self.encoder.embed.grid(clip)
        maps = self.encoder(clip).unflatten(1, grid).mean(dim=1).permute(0, 3, 1, 2)
        scale = boxes.new_tensor([patch[1], patch[0], patch[1], patch[0]])
        return roi_align(maps, boxes / scale, clip_index, REGION)

    def forward(
        self,
        clip: Float[Tensor, "batch channels frames rows columns"],
        boxes: Float[Tensor, "boxes 4"],
        clip_index: Int[Tensor, "boxes"],
    ) -> Float[Tensor, "boxes classes"]:
        """Logits of every action for every box."""
        return self.head(torch.amax(self.regions(clip, boxes, clip_index), dim=(2, 3)))


VARIANTS: dict[str, DetectorConfig] = {
    "videomae_small_detector": DetectorConfig(encoder=SMALL),
    "videomae_base_detector": DetectorConfig(encoder=BASE),
    "videomae_large_detector": DetectorConfig(encoder=LARGE),
    "videomae_huge_detector": DetectorConfig(encoder=HUGE),
}
