"""Training recipes: functions that return frozen values, one file per family."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace

from tubelet.config import override, unknown_key
from tubelet.errors import ConfigError
from tubelet.recipes import cross_model, internvideo, uniformerv2, viclip, videomae, videomamba, xclip
from tubelet.recipes.base import Recipe

__all__ = ["RECIPES", "Recipe", "find_recipe"]

# Every recipe by the name that commands use.
RECIPES: dict[str, Callable[..., Recipe]] = {
    f"{function.__module__.rpartition('.')[2]}.{function.__name__}": function
    for function in (
        videomae.pretrain_k400,
        videomae.pretrain_ssv2,
        videomae.pretrain_ucf101,
        videomae.finetune_k400,
        videomae.finetune_k400_800,
        videomae.finetune_ssv2,
        videomae.finetune_ssv2_800,
        videomae.finetune_ucf101,
        videomae.k710,
        videomae.finetune_after_k710,
        videomae.pretrain,
        videomae.finetune,
        videomae.pretrain_tiny,
        videomae.finetune_tiny,
        videomamba.image,
        videomamba.image_448,
        videomamba.image_576,
        videomamba.finetune_k400,
        videomamba.finetune_k400_384,
        videomamba.finetune_ssv2,
        videomamba.finetune_ssv2_288,
        videomamba.finetune_breakfast,
        videomamba.finetune_coin,
        videomamba.finetune_lvu,
        videomamba.pretrain_k400,
        videomamba.pretrain_ssv2,
        videomamba.finetune,
        videomamba.train,
        videomamba.teacher_nano,
        videomamba.train_nano,
        videomamba.distill_nano,
        videomamba.pretrain_nano,
        xclip.finetune_k400,
        xclip.finetune_k600,
        xclip.zero_shot,
        xclip.few_shot_hmdb51,
        xclip.few_shot_ucf101,
        xclip.mean_pooled_k400,
        xclip.finetune,
        xclip.few_shot,
        xclip.train_nano,
        uniformerv2.k710,
        uniformerv2.finetune_k400,
        uniformerv2.finetune_k600,
        uniformerv2.finetune_k700,
        uniformerv2.finetune_mit,
        uniformerv2.finetune_ssv1,
        uniformerv2.finetune_ssv2,
        uniformerv2.finetune_anet,
        uniformerv2.finetune_hacs,
        uniformerv2.finetune,
        uniformerv2.train_nano,
        cross_model.k400,
        cross_model.finetune,
        cross_model.train_nano,
        viclip.pretrain,
        viclip.unmask,
        viclip.pretrain_nano,
        viclip.unmask_nano,
        internvideo.pretrain,
        internvideo.answer,
        internvideo.pretrain_nano,
        internvideo.answer_nano,
    )
}


def find_recipe(name: str, assignments: Sequence[str] = ()) -> Recipe:
    """A recipe by name, with assignments such as `size=small` or `optim.lr=5e-4` applied.

    Assignments without a dot that name a parameter of the recipe's function go to it; the others override
    fields of the value it returns. What follows `model.` overrides the model's config.
    """
    if name not in RECIPES:
        raise unknown_key(name, list(RECIPES))
    function = RECIPES[name]
    parameters = inspect.signature(function).parameters
    arguments: dict[str, str] = {}
    fields: list[str] = []
    model: list[str] = []
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"{assignment!r} sets nothing: write it as key=value, for example optim.lr=5e-4"
            )
        if key in parameters:
            arguments[key] = value
        elif key.startswith("model."):
            model.append(f"{key.removeprefix('model.')}={value}")
        elif key == "size":
            raise ConfigError(f"{name} comes in one size only, but size={value} was asked for")
        else:
            fields.append(assignment)
    recipe = override(function(**arguments), fields)
    return override_model(recipe, model)


def override_model(recipe: Recipe, assignments: Sequence[str]) -> Recipe:
    """The recipe with more assignments to its model's config."""
    return replace(recipe, overrides=(*recipe.overrides, *assignments)) if assignments else recipe
