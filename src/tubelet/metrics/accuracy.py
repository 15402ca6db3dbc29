"""Accuracy of classification, as shares from 0 to 1."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def top_k_accuracy(scores: Float[Tensor, "videos classes"], labels: Int[Tensor, "videos"], k: int) -> float:
    """Share of videos whose label is among the `k` highest scores; all classes where there are fewer."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return float((best == labels[:, None]).any(dim=1).double().mean())


def mean_class_accuracy(scores: Float[Tensor, "videos classes"], labels: Int[Tensor, "videos"]) -> float:
    """Top-1 accuracy averaged over the classes that occur, so that rare ones count as much."""
    hits = (scores.argmax(dim=1) == labels).double()
    return float(torch.stack([hits[labels == c].mean() for c in labels.unique()]).mean())


def confusion_matrix(
    scores: Float[Tensor, "videos classes"], labels: Int[Tensor, "videos"]
) -> Int[Tensor, "classes classes"]:
    """How many videos of each class (rows) were taken for which (columns)."""
    num_classes = scores.shape[1]
    flat = labels * num_classes + scores.argmax(dim=1)
    return flat.bincount(minlength=num_classes**2).reshape(num_classes, num_classes)
