"""Losses as functions of predictions and targets."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def soft_target_cross_entropy(
    logits: Float[Tensor, "batch classes"], target: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """Cross entropy against rows of probabilities, the mean over the batch."""
    return torch.sum(-target * logits.log_softmax(dim=-1), dim=-1).mean()


def smoothed_targets(
    labels: Int[Tensor, "batch"], num_classes: int, smoothing: float = 0.0
) -> Float[Tensor, "batch classes"]:
    """One-hot rows with `smoothing` spread evenly over all classes (Szegedy et al. 2016, section 7)."""
    return F.one_hot(labels.long(), num_classes) * (1 - smoothing) + smoothing / num_classes


def masked_pixel_loss(
    predicted: Float[Tensor, "batch masked pixels"], target: Float[Tensor, "batch masked pixels"]
) -> Float[Tensor, ""]:
    """Mean squared error over everything that was masked (VideoMAE, equation 1)."""
    return F.mse_loss(predicted, target)


def box_loss(
    logits: Float[Tensor, "boxes classes"], labels: Float[Tensor, "boxes classes"]
) -> Float[Tensor, ""]:
    """Binary cross entropy averaged over all entries, times the number of boxes, as VideoMAE trains on AVA."""
    return F.binary_cross_entropy_with_logits(logits, labels) * len(logits)


def alignment_loss(
    student: Float[Tensor, "*places dim"],
    target: Float[Tensor, "*places dim"],
    kind: Literal["l2", "mse", "smooth_l1"] = "l2",
) -> Float[Tensor, ""]:
    """How far a student's features are from its teacher's, the mean over all places.

    "l2" is 2 - 2 cos, the squared distance of vectors that the caller has brought to unit length: VideoMamba's
    loss in masked pre-training and in self-distillation. The others are averages over single channels.
    """
    if kind == "l2":
        return (2 - 2 * (student * target).sum(dim=-1)).mean()
    return F.mse_loss(student, target) if kind == "mse" else F.smooth_l1_loss(student, target)


def contrastive_loss(
    videos: Float[Tensor, "batch dim"],
    texts: Float[Tensor, "batch dim"],
    scale: Float[Tensor, ""] | float,
    ids: Int[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Each video is to find its text among all of the batch, and each text its video (Radford et al. 2021, 2.3).

    Embeddings of any length; their cosines times `scale` are the logits, and the cross entropies of both
    directions are averaged. On several devices the batch is that of all of them: gather both sides with their
    gradients before. Pairs with the same id say the same and share the target evenly, so that a batch may hold
    several captions of one video; without ids every pair is its own. Computed in float32.
    """
    with torch.autocast(videos.device.type, enabled=False):
        videos, texts = F.normalize(videos.float(), dim=-1), F.normalize(texts.float(), dim=-1)
        logits = scale * videos @ texts.T
    if ids is None:
        ids = torch.arange(len(logits), device=logits.device)
    same = (ids[:, None] == ids).float()
    target = same / same.sum(dim=1, keepdim=True)
    both = soft_target_cross_entropy(logits, target), soft_target_cross_entropy(logits.T, target)
    return torch.stack(both).mean()


def caption_loss(
    logits: Float[Tensor, "texts read words"], tokens: Int[Tensor, "texts length"]
) -> Float[Tensor, ""]:
    """Every token of a text is to predict the next one, to its end token; the mean over all that are predicted.

    `logits` may stop where the longest text does. A text ends at the first of its tokens with the largest id, as
    in CLIP; what pads it does not count (CoCa, Yu et al. 2022, equation 2). Computed in float32.
    """
    expected = tokens[:, 1 : logits.shape[1] + 1].long()
    places = torch.arange(expected.shape[1], device=tokens.device)
    counted = places < tokens.argmax(dim=1, keepdim=True)
    return F.cross_entropy(logits[:, : expected.shape[1]].float()[counted], expected[counted])
