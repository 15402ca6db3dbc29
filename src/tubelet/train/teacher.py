"""The frozen model that a run learns from: opened, checked against the recipe, and named for its claim."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError
from tubelet.models import architecture_of
from tubelet.models.clip import ImageTowerConfig
from tubelet.models.videomamba import ClassifierConfig
from tubelet.recipes.base import Recipe
from tubelet.weights.clip import image_tower
from tubelet.weights.convert import HF_FILES, convert
from tubelet.weights.fetch import file_sha256
from tubelet.weights.files import Checkpoint, read_checkpoint
from tubelet.weights.inflate import inflate_kernel

TEACHERS = {"alignment": ImageTowerConfig, "distillation": ClassifierConfig}


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A frozen model in eval mode, and the digest of the file that it came from."""

    model: nn.Module
    config: Any
    sha256: str


def open_teacher(recipe: Recipe, student: Any, path: Path | None) -> Teacher | None:
    """The teacher that a recipe needs, or None where it needs none; `student` is the config of its model.

    `path` is a checkpoint folder, or a published file or Hugging Face folder that can be converted. A missing or
    a superfluous one, a model of another kind, and one that was fed other pixels are ConfigErrors. A tower for
    single frames is inflated to the frames of the student's tubelets.
    """
    wanted = recipe.learns_from
    if wanted is None:
        if path is not None:
            raise ConfigError(f"task={recipe.task} learns from no teacher, but {path} was given as --teacher")
        return None
    if path is None:
        raise ConfigError(
            f"task={recipe.task} learns from {wanted}: give its checkpoint folder, or a published file, as "
            "--teacher"
        )
    published = path.is_file() or (path / "config.json").is_file()
    # Of a full CLIP, its image tower teaches.
    checkpoint = image_tower(convert(path) if published else read_checkpoint(path))
    if not isinstance(checkpoint.config, TEACHERS[recipe.task]):
        raise ConfigError(
            f"{path} holds a {architecture_of(checkpoint.config)}; task={recipe.task} learns from {wanted}"
        )
    if recipe.task == "distillation":
        check_statistics(checkpoint, recipe.input, path)
    else:
        checkpoint = for_tubelets(checkpoint, student.encoder.tubelet[0])
    model = checkpoint.build().requires_grad_(False)
    return Teacher(model=model, config=checkpoint.config, sha256=file_sha256(model_file(path)))


def taught(recipe: Recipe, student: Any, teacher: Teacher | None) -> Any:
    """The student's config with the width of its teacher's features."""
    if teacher is None:
        return student
    if recipe.task == "alignment":
        return replace(student, target_dim=teacher.config.embed_dim)
    return replace(student, teacher_dim=teacher.config.encoder.dim)


def check_statistics(checkpoint: Checkpoint, spec: InputSpec, path: Path) -> None:
    """Raise where a teacher was trained on pixels with another mean or deviation than it would be shown."""
    fed = checkpoint.facts.get("input", {})
    for name in ("mean", "std"):
        theirs, ours = tuple(fed.get(name, getattr(spec, name))), tuple(getattr(spec, name))
        if theirs != ours:
            raise ConfigError(
                f"{path} was trained with input.{name} {list(theirs)}, the recipe feeds {list(ours)}; both see "
                f"the same clips, so set input.{name}={list(theirs)}"
            )


def for_tubelets(checkpoint: Checkpoint, frames: int) -> Checkpoint:
    """A tower for single frames as one that looks at the middle of so many; others as they are."""
    config = checkpoint.config
    if config.tubelet[0] == frames or config.tubelet[0] != 1:
        return checkpoint
    kernel = inflate_kernel(checkpoint.state["embed.proj.weight"], frames)
    return replace(
        checkpoint,
        config=replace(config, tubelet=(frames, *config.tubelet[1:])),
        state={**checkpoint.state, "embed.proj.weight": kernel},
    )


def model_file(path: Path) -> Path:
    """The file of weights that a path stands for."""
    inside = [path / name for name in HF_FILES if (path / name).is_file()]
    return inside[0] if inside else path
