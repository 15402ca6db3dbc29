"""A linear probe: logistic regression on the embeddings of a few videos, fitted to the end in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from tubelet.train.shots import Shots, gentlest

# Weights of the penalty ‖W‖² / 2 against the mean cross entropy, strongest first.
# Embeddings of CLIP lie close together, so that maps have to be steep to tell them apart.
L2_GRID = (1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)
# Where a single video per class leaves nothing to choose by.
L2_DEFAULT = 1e-6
MOST_STEPS = 500


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """A fitted linear map and its penalty. `left_out` has the cross entropy of left-out shots by penalty."""

    weight: Float64[Tensor, "classes dim"]
    bias: Float64[Tensor, "classes"]
    l2: float
    left_out: dict[float, float]


def fit_probe(shots: Shots, num_classes: int, grid: Sequence[float] = L2_GRID) -> LinearHead:
    """The logistic regression of classes on all views of all shots, penalised as suits left-out shots best.

    Shots are left out in parts, one or more per class at a time with all their views, and judged by their first
    view. Of penalties that do about equally well the strongest is taken; with one shot per class, `L2_DEFAULT`.
    """
    folds = shots.folds()
    left_out = {} if folds is None else left_out_losses(shots, num_classes, folds, grid)
    l2 = gentlest(left_out) if left_out else L2_DEFAULT
    weight, bias = logistic_regression(*rows(shots), num_classes, l2)
    return LinearHead(weight=weight, bias=bias, l2=l2, left_out=left_out)


def left_out_losses(
    shots: Shots, num_classes: int, folds: Int64[Tensor, "videos"], grid: Sequence[float]
) -> dict[float, float]:
    """The mean cross entropy of shots under regressions that have not seen them, for every penalty."""
    totals = dict.fromkeys(grid, 0.0)
    for fold in range(int(folds.max()) + 1):
        out = folds == fold
        seen = rows(Shots(embeddings=shots.embeddings[~out], labels=shots.labels[~out]))
        start = None
        for l2 in grid:
            start = logistic_regression(*seen, num_classes, l2, start)
            logits = shots.embeddings[out, 0] @ start[0].T + start[1]
            totals[l2] += float(F.cross_entropy(logits, shots.labels[out], reduction="sum"))
    return {l2: total / len(shots.labels) for l2, total in totals.items()}


def rows(shots: Shots) -> tuple[Float64[Tensor, "rows dim"], Int64[Tensor, "rows"]]:
    """All views of all videos, one below the other, and their classes."""
    return shots.embeddings.flatten(0, 1), shots.labels.repeat_interleave(shots.embeddings.shape[1])


def logistic_regression(
    features: Float64[Tensor, "rows dim"],
    labels: Int64[Tensor, "rows"],
    num_classes: int,
    l2: float,
    start: tuple[Float64[Tensor, "classes dim"], Float64[Tensor, "classes"]] | None = None,
) -> tuple[Float64[Tensor, "classes dim"], Float64[Tensor, "classes"]]:
    """W and b at the minimum of mean cross entropy + l2 ‖W‖² / 2, by L-BFGS; nothing is random.

    `start` is where to begin; it changes how long it takes and, the minimum being one, not where it ends.
    """
    # Embeddings share most of their direction. Without it the steps are fewer; the bias gives it back.
    centre = features.mean(dim=0)
    centred = features - centre
    weight = features.new_zeros(num_classes, features.shape[1])
    bias = features.new_zeros(num_classes)
    if start is not None:
        weight, bias = start[0].clone(), start[1] + start[0] @ centre
    optimizer = torch.optim.LBFGS(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=MOST_STEPS,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Float[Tensor, ""]:
        optimizer.zero_grad()
        total = F.cross_entropy(centred @ weight.T + bias, labels) + l2 / 2 * weight.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    weight, bias = weight.detach(), bias.detach()
    return weight, bias - weight @ centre
