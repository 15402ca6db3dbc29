"""Self-distillation: a classifier that also learns to see what a smaller, trained one of its family sees.

VideoMamba (Li et al., ECCV 2024, section 3.3): large models of pure scans overfit, and stop doing so when their
tokens have to agree with a small model's.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from tubelet.data.batch import ClipBatch
from tubelet.errors import ConfigError
from tubelet.losses import alignment_loss
from tubelet.models.videomamba import ClassifierConfig, VideoMambaClassifier
from tubelet.tasks.classification import Classification, cross_entropy
from tubelet.tasks.task import Loss


class SelfDistillation:
    """A classification's loss, plus `weight` times the distance of all tokens to the teacher's.

    `classification` holds the student, a VideoMamba with a map to its teacher's features, and says how it learns
    classes and how it is judged. The teacher, which is put into eval mode and gets no gradient, sees the very
    clips that the student sees, erased and mixed.
    """

    def __init__(
        self,
        classification: Classification,
        teacher: VideoMambaClassifier,
        *,
        weight: float = 1.0,
        kind: Literal["l2", "mse", "smooth_l1"] = "l2",
    ):
        student = classification.model
        if not isinstance(student, VideoMambaClassifier):
            raise ConfigError(f"only a VideoMamba learns from another, not a {type(student).__name__}")
        check_distillation(student.config, teacher.config)
        self.student = student
        self.model: nn.Module = student
        self.classification = classification
        self.teacher = teacher.eval().requires_grad_(False)
        self.weight = weight
        self.kind: Literal["l2", "mse", "smooth_l1"] = kind

    @torch.no_grad()
    def targets(
        self, clips: Float[Tensor, "batch 3 frames rows columns"]
    ) -> Float[Tensor, "batch length teacher_dim"]:
        """The teacher's normed tokens as unit vectors, the class token first."""
        return F.normalize(self.teacher.encoder(clips), dim=-1)

    def loss(self, batch: ClipBatch) -> Loss:
        clips, target = self.classification.learned(batch)
        logits, features = self.student.distilled(clips)
        classified = cross_entropy(logits.float(), target)
        distance = alignment_loss(features.float(), self.targets(clips).float(), self.kind)
        parts = {"classification": classified.total.detach(), "distillation": distance.detach()}
        return Loss(classified.total + self.weight * distance, {**classified.parts, **parts})

    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """The classification's figures; the teacher is not asked."""
        return self.classification.evaluate(loader)


def check_distillation(student: ClassifierConfig, teacher: ClassifierConfig) -> None:
    """Raise unless a student's tokens have their counterparts in the teacher's, of the width it predicts."""
    size, ours = student.encoder.clip_size, student.encoder.tubelet
    if teacher.encoder.tubelet != ours:
        raise ConfigError(
            f"the teacher cuts clips into tubelets {teacher.encoder.tubelet}, the student into {ours}; both need "
            "the same"
        )
    if not teacher.encoder.time_position and teacher.encoder.grid[0] != student.encoder.grid[0]:
        raise ConfigError(
            f"the teacher knows no time and takes {teacher.encoder.num_frames} frames; the student gets {size[0]}"
        )
    if student.teacher_dim != teacher.encoder.dim:
        raise ConfigError(
            f"the teacher's features have {teacher.encoder.dim} channels, the student predicts "
            f"{student.teacher_dim}; set model.teacher_dim={teacher.encoder.dim}"
        )
