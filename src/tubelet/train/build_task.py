"""A recipe's task: what the run optimises, around the model and, where there is one, its teacher."""

from typing import Any

from torch import nn

from tubelet.data.erase import RandomErasing
from tubelet.data.values import ValueScale
from tubelet.models.clip import ImageTower
from tubelet.models.text_classifier import TextClassifier
from tubelet.models.videomamba import VideoMambaClassifier
from tubelet.recipes.base import Recipe
from tubelet.tasks.alignment import Alignment
from tubelet.tasks.classification import Classification
from tubelet.tasks.distillation import SelfDistillation
from tubelet.tasks.masked import MaskedPixels
from tubelet.tasks.regression import Regression
from tubelet.train.teacher import Teacher

AnyTask = Classification | MaskedPixels | Regression | Alignment | SelfDistillation


def build_task(
    recipe: Recipe,
    model: nn.Module,
    config: Any,
    *,
    scale: ValueScale | None = None,
    teacher: Teacher | None = None,
    allow_missing: bool = False,
) -> AnyTask:
    """The recipe's task around a model of that config.

    A regression needs the `scale` of its training values, alignment and distillation their `teacher`.
    """
    shared: dict[str, Any] = {
        "mean": recipe.input.mean,
        "std": recipe.input.std,
        "seed": recipe.seed,
        "allow_missing": allow_missing,
    }
    if recipe.task == "masked":
        return MaskedPixels(model, config, mask_ratio=recipe.mask_ratio, **shared)
    if recipe.task == "alignment":
        assert recipe.alignment is not None
        assert teacher is not None
        assert isinstance(teacher.model, ImageTower)
        return Alignment(
            model,
            config,
            teacher.model,
            mask_ratio=recipe.mask_ratio,
            mask_type=recipe.alignment.mask_type,
            teacher_statistics=recipe.alignment.teacher_statistics,
            teacher_interval=recipe.alignment.teacher_interval,
            kind=recipe.alignment.loss,
            **shared,
        )
    erasing = RandomErasing(probability=recipe.augment.erasing) if recipe.augment.erasing else None
    if recipe.task == "regression":
        assert scale is not None
        return Regression(model, scale=scale, erasing=erasing, **shared)
    classification = Classification(
        model,
        num_classes=len(model.tokens) if isinstance(model, TextClassifier) else config.num_classes,
        smoothing=recipe.smoothing,
        mix=recipe.mix,
        erasing=erasing,
        **shared,
    )
    if recipe.task == "classification":
        return classification
    assert recipe.distillation is not None
    assert teacher is not None
    assert isinstance(teacher.model, VideoMambaClassifier)
    return SelfDistillation(
        classification, teacher.model, weight=recipe.distillation.weight, kind=recipe.distillation.loss
    )
