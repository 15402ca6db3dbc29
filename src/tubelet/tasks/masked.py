"""Masked video autoencoding: predict the pixels of hidden tubelets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import to_model
from tubelet.losses import masked_pixel_loss
from tubelet.models.videomae import PretrainerConfig, tubelet_targets
from tubelet.tasks.masking import tube_mask
from tubelet.tasks.mean_loss import mean_loss
from tubelet.tasks.task import Loss


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """One clip, what was hidden of it, and what the model made of that; all in the units of its targets."""

    masked: Bool[Tensor, "tokens"]
    predicted: Float[Tensor, "masked pixels"]
    target: Float[Tensor, "masked pixels"]


class MaskedPixels:
    """Mean squared error on masked tubelets. One mask per view, drawn from the view's own counter."""

    def __init__(
        self,
        model: nn.Module,
        config: PretrainerConfig,
        *,
        mask_ratio: float,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.config = config
        self.mask_ratio = mask_ratio
        self.mean, self.std = mean, std
        self.seed = seed
        self.allow_missing = allow_missing

    def masks(self, batch: ClipBatch) -> Bool[Tensor, "batch tokens"]:
        """The tube mask of every view, on the batch's device."""
        t, h, w = (
            size // step
            for size, step in zip(batch.pixels.shape[2:], self.config.encoder.tubelet, strict=True)
        )
        masks = [
            tube_mask(
                (t, h, w),
                self.mask_ratio,
                counter_generator(self.seed, "mask", view.epoch, view.sample, view.view),
            )
            for view in batch.ids
        ]
        return torch.stack(masks).to(batch.pixels.device)

    def targets(
        self, batch: ClipBatch, masked: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch masked pixels"]:
        """The pixels to predict, taken from the bytes themselves."""
        return tubelet_targets(
            batch.pixels.float() / 255,
            masked,
            self.config.encoder.tubelet,
            normalize=self.config.normalize_target,
        )

    def loss(self, batch: ClipBatch) -> Loss:
        masked = self.masks(batch)
        predicted = self.model(to_model(batch.pixels, self.mean, self.std), masked)
        return Loss(masked_pixel_loss(predicted.float(), self.targets(batch, masked)))

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """The mean loss per view, with the masks of epoch 0."""
        return mean_loss(self, loader, allow_missing=self.allow_missing)

    @torch.inference_mode()
    def reconstruct(self, batch: ClipBatch) -> list[Reconstruction]:
        """What the model makes of the hidden tubelets of each view of a batch."""
        self.model.eval()
        masked = self.masks(batch)
        predicted = self.model(to_model(batch.pixels, self.mean, self.std), masked).float()
        target = self.targets(batch, masked)
        return [
            Reconstruction(masked=m, predicted=p, target=t)
            for m, p, t in zip(masked, predicted, target, strict=True)
        ]
