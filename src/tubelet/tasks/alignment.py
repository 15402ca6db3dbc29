"""Masked pre-training against a frozen image tower: what a video model sees little of, CLIP saw all of.

VideoMamba (Li et al., ECCV 2024, section 3.4), after Unmasked Teacher (Li et al., ICCV 2023).
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from tubelet.data.batch import ClipBatch
from tubelet.data.randomness import counter_generator
from tubelet.data.transforms import CLIP_MEAN, CLIP_STD, to_model
from tubelet.errors import ConfigError
from tubelet.losses import alignment_loss
from tubelet.models.clip import ImageTower, ImageTowerConfig
from tubelet.models.clip_teacher import TeacherConfig, TeacherTargets, aligned_layers, teacher_targets
from tubelet.models.videomamba_pretrain import PretrainerConfig
from tubelet.tasks.masking import MaskType, draw_mask
from tubelet.tasks.mean_loss import mean_loss
from tubelet.tasks.task import Loss


class Alignment:
    """Distance to the teacher's features at the class token and at the visible tubelets.

    The teacher, which is put into eval mode and gets no gradient, sees the whole clip; the student sees what a
    mask leaves of it, one mask per view, drawn from the view's own counter. `mean` and `std` are the student's.
    With `teacher_statistics` "clip" the teacher gets the pixels as CLIP was trained with them; "student" gives
    it the student's numbers, as published.
    """

    def __init__(
        self,
        model: nn.Module,
        config: PretrainerConfig,
        teacher: ImageTower,
        *,
        mask_ratio: float,
        mask_type: MaskType = "attention",
        mean: Sequence[float],
        std: Sequence[float],
        teacher_statistics: Literal["clip", "student"] = "clip",
        teacher_interval: float = 1.0,
        kind: Literal["l2", "mse", "smooth_l1"] = "l2",
        seed: int = 0,
        allow_missing: bool = False,
    ):
        check_alignment(config, teacher.config)
        aligned_layers(teacher.config.depth, config.num_aligned, teacher_interval)
        if kind == "l2" and not config.normalize:
            raise ConfigError(
                "the l2 loss is between unit vectors; set model.normalize=true, or another loss"
            )
        self.model = model
        self.config = config
        self.teacher = teacher.eval().requires_grad_(False)
        self.aim = TeacherConfig(
            num_layers=config.num_aligned, interval=teacher_interval, normalize=config.normalize
        )
        self.mask_type: MaskType = mask_type
        self.mask_ratio = mask_ratio
        self.mean, self.std = mean, std
        clip = teacher_statistics == "clip"
        self.teacher_mean, self.teacher_std = (CLIP_MEAN, CLIP_STD) if clip else (mean, std)
        self.kind: Literal["l2", "mse", "smooth_l1"] = kind
        self.seed = seed
        self.allow_missing = allow_missing

    def targets(self, batch: ClipBatch) -> TeacherTargets:
        """What the teacher makes of whole clips: features, and what it attends to."""
        clips = to_model(batch.pixels, self.teacher_mean, self.teacher_std)
        return teacher_targets(self.teacher, clips, self.aim)

    def masks(
        self, batch: ClipBatch, attention: Float[Tensor, "batch frames places"]
    ) -> Bool[Tensor, "batch tokens"]:
        """The mask of every view, on the batch's device."""
        # Once for all views, which draw on the CPU.
        looked_at = attention.float().cpu() if self.mask_type == "attention" else attention
        masks = [
            draw_mask(
                self.mask_type,
                self.config.encoder.grid,
                self.mask_ratio,
                counter_generator(self.seed, "mask", view.epoch, view.sample, view.view),
                shares,
            )
            for view, shares in zip(batch.ids, looked_at, strict=True)
        ]
        return torch.stack(masks).to(batch.pixels.device)

    def loss(self, batch: ClipBatch) -> Loss:
        targets = self.targets(batch)
        masked = self.masks(batch, targets.attention)
        predicted = self.model(to_model(batch.pixels, self.mean, self.std), masked)
        shown = torch.cat([masked.new_ones(len(masked), 1), ~masked], dim=1)
        # The same places of every layer: the class token, and what the student saw.
        target = targets.features[:, shown].view_as(predicted)
        return Loss(alignment_loss(predicted.float(), target.float(), self.kind))

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """The mean loss per view, with the masks of epoch 0."""
        return mean_loss(self, loader, allow_missing=self.allow_missing)


def check_alignment(student: PretrainerConfig, teacher: ImageTowerConfig) -> None:
    """Raise unless a student's tokens have their counterparts in the teacher's, of the width it predicts."""
    clip_size, ours = student.encoder.clip_size, student.encoder.grid
    theirs = tuple(size // step for size, step in zip(clip_size, teacher.tubelet, strict=True))
    if theirs != ours:
        raise ConfigError(
            f"the teacher makes {theirs} tokens of a clip of {clip_size} (frames, rows, columns), the student "
            f"{ours}; their tubelets are {teacher.tubelet} and {student.encoder.tubelet}: take another teacher, "
            "or set input.image_size and model.encoder.tubelet"
        )
    if student.target_dim != teacher.embed_dim:
        raise ConfigError(
            f"the teacher's features have {teacher.embed_dim} channels, the student predicts "
            f"{student.target_dim}; set model.target_dim={teacher.embed_dim}"
        )
