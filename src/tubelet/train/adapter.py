"""Tip-Adapter's keys and their loudness from a few videos (Zhang et al., ECCV 2022).

The paper chooses alpha and beta on validation data. A folder of a few shots has none, so shots are left out in
turn, one or more per class at a time: the keys that come from them stay silent while they are judged.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.models.video_adapter import nearness, told
from tubelet.train.shots import Shots, gentlest

# Loudest last: a small beta lets far keys speak, too. An alpha of 0 leaves everything to the texts.
ALPHAS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
BETAS = (200.0, 100.0, 50.0, 20.0, 10.0, 5.5, 2.0, 1.0)
# Where a single video per class leaves nothing to choose by: the paper's starting values beside texts, and louder
# where the keys are all there is, since CLIP's embeddings lie close together.
ALPHA, ALPHA_ALONE, BETA = 1.0, 100.0, 5.5
TUNING_STEPS, TUNING_LR = 100, 1e-3


@dataclass(frozen=True, kw_only=True)
class CachedShots:
    """Keys of unit length, their classes, and how loudly they speak.

    `left_out` is the mean cross entropy of left-out shots with them, and `left_out_texts` with texts alone; None
    where no shot could be left out, or there are no texts.
    """

    keys: Float64[Tensor, "keys dim"]
    values: Int64[Tensor, "keys"]
    alpha: float
    beta: float
    left_out: float | None
    left_out_texts: float | None


def fit_adapter(
    shots: Shots,
    num_classes: int,
    *,
    texts: Float64[Tensor, "classes dim"] | None = None,
    scale: float = 0.0,
    tune_keys: bool = False,
) -> CachedShots:
    """One key per video, the mean direction of its views, with alpha and beta that suit left-out shots best.

    `texts` are embeddings of the classes of any length, and `scale` multiplies their cosines. Of values that do
    about equally well the quietest are taken, and the paper's with one shot per class. `tune_keys` then moves the
    keys, as Tip-Adapter-F does, by the loss of left-out shots; it needs two shots per class.
    """
    keys = F.normalize(shots.embeddings.mean(dim=1), dim=-1)
    folds = shots.folds()
    if folds is None:
        if tune_keys:
            raise ConfigError(
                "keys are tuned on shots that are left out, and one per class leaves none; give 2"
            )
        alpha = ALPHA_ALONE if texts is None else ALPHA
        return CachedShots(
            keys=keys, values=shots.labels, alpha=alpha, beta=BETA, left_out=None, left_out_texts=None
        )
    heard = folds[:, None] != folds
    said = None if texts is None else scale * F.normalize(texts, dim=-1)
    alphas = ALPHAS if texts is not None else ALPHAS[1:]
    judge = LeftOut(shots=shots, heard=heard, texts=said, num_classes=num_classes)
    losses = judge.losses(keys, alphas, BETAS)
    alpha, beta = gentlest(losses)
    if tune_keys:
        keys = tuned(keys, judge, alpha, beta)
    return CachedShots(
        keys=keys,
        values=shots.labels,
        alpha=alpha,
        beta=beta,
        left_out=float(judge.loss(keys, alpha, beta)),
        left_out_texts=None if texts is None else losses[0.0, BETAS[0]],
    )


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Shots as questions to the keys of others: `heard` says which keys (columns) each of them (rows) hears."""

    shots: Shots
    heard: Bool[Tensor, "videos keys"]
    texts: Float64[Tensor, "classes dim"] | None  # as long as they are loud
    num_classes: int

    def loss(
        self, keys: Float64[Tensor, "keys dim"], alpha: float, beta: float, *, all_views: bool = False
    ) -> Float64[Tensor, ""]:
        """The mean cross entropy of the shots' first view, or of all their views."""
        asked = self.shots.embeddings if all_views else self.shots.embeddings[:, :1]
        near = nearness(asked @ F.normalize(keys, dim=-1).T, beta) * self.heard[:, None]
        logits = alpha * told(near, self.shots.labels, self.num_classes)
        if self.texts is not None:
            logits = logits + asked @ self.texts.T
        labels = self.shots.labels.repeat_interleave(asked.shape[1])
        return F.cross_entropy(logits.flatten(0, 1), labels)

    def losses(
        self, keys: Float64[Tensor, "keys dim"], alphas: Sequence[float], betas: Sequence[float]
    ) -> dict[tuple[float, float], float]:
        """By (alpha, beta), the quieter first."""
        return {pair: float(self.loss(keys, *pair)) for pair in itertools.product(alphas, betas)}


def tuned(
    keys: Float64[Tensor, "keys dim"], judge: LeftOut, alpha: float, beta: float
) -> Float64[Tensor, "keys dim"]:
    """Keys after some steps down the loss of shots that do not hear themselves, of unit length.

    The paper's optimizer and learning rate, on all shots at once.
    """
    moved = keys.clone().requires_grad_()
    optimizer = torch.optim.AdamW([moved], lr=TUNING_LR, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, TUNING_STEPS)
    with torch.enable_grad():
        for _ in range(TUNING_STEPS):
            optimizer.zero_grad()
            judge.loss(moved, alpha, beta, all_views=True).backward()
            optimizer.step()
            schedule.step()
    return F.normalize(moved.detach(), dim=-1)
