"""One answer for a video that was looked at through several views."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

Video = TypeVar("Video", bound=Hashable)  # whatever names a video


@dataclass(frozen=True)
class View(Generic[Video]):
    """Logits of one view: `clip` counts clips of the video, `crop` crops of a clip."""

    video: Video
    clip: int
    crop: int
    logits: Float[Tensor, "classes"]


def merge_views(views: Sequence[View[Video]]) -> dict[Video, Float[Tensor, "classes"]]:
    """Probabilities of every video: softmax of each view in float64, then their mean.

    A view that comes twice (a distributed sampler pads with repeats) counts once.
    """
    seen: dict[Video, dict[tuple[int, int], Tensor]] = {}
    for view in views:
        seen.setdefault(view.video, {}).setdefault((view.clip, view.crop), view.logits)
    return {
        video: torch.stack([logits.double().softmax(dim=-1) for logits in distinct.values()]).mean(dim=0)
        for video, distinct in seen.items()
    }
