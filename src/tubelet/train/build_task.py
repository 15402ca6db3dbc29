"""A recipe's task: what the run optimises, around the model and, where there is one, its teacher."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import nn

from tubelet.data.erase import RandomErasing
from tubelet.data.values import ValueScale
from tubelet.models.clip import ImageTower, TextTowerConfig
from tubelet.models.internvideo import InternVideo
from tubelet.models.internvideo_qa import InternVideoAnswerer
from tubelet.models.text_classifier import TextClassifier, tokenizer_for
from tubelet.models.viclip import ViCLIP
from tubelet.models.videomamba import VideoMambaClassifier
from tubelet.recipes.base import Recipe
from tubelet.tasks.alignment import Alignment
from tubelet.tasks.answering import Answering
from tubelet.tasks.captioning import Captioning
from tubelet.tasks.classification import Classification
from tubelet.tasks.contrastive import Contrastive
from tubelet.tasks.distillation import SelfDistillation
from tubelet.tasks.masked import MaskedPixels
from tubelet.tasks.matching import Tokenize
from tubelet.tasks.regression import Regression
from tubelet.train.teacher import Teacher

AnyTask = (
    Classification
    | MaskedPixels
    | Regression
    | Alignment
    | SelfDistillation
    | Contrastive
    | Captioning
    | Answering
)


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
    if recipe.matches or recipe.task == "answering":
        return text_task(recipe, model, config, shared)
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


def tokenizing(config: TextTowerConfig) -> Tokenize:
    """Texts to a tower's tokens; what is too long for it is cut."""
    return partial(tokenizer_for(config), context_length=config.context_length, truncate=True)


def text_task(
    recipe: Recipe, model: nn.Module, config: Any, shared: Mapping[str, Any]
) -> Contrastive | Captioning | Answering:
    """The task of a recipe whose videos come with captions or questions; those too long for a model are cut."""
    tokenize = tokenizing(config.text)
    if recipe.task == "contrast":
        assert isinstance(model, ViCLIP)
        return Contrastive(model, tokenize, mask_ratio=recipe.mask_ratio, **shared)
    if recipe.task == "answering":
        assert isinstance(model, InternVideoAnswerer)
        return Answering(model, tokenize, smoothing=recipe.smoothing, **shared)
    assert isinstance(model, InternVideo)
    assert recipe.captioning is not None
    return Captioning(model, tokenize, **vars(recipe.captioning), **shared)
