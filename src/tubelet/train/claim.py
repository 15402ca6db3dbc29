"""One folder, one run: what decides the outcome is written down first, and checked when the run resumes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tubelet.config import first_difference, flat, read_toml, to_plain, write_toml
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits
from tubelet.errors import ConfigError
from tubelet.models import variant
from tubelet.recipes.base import Recipe
from tubelet.train.build import model_config, reads_texts
from tubelet.train.checkpoint import saved_states
from tubelet.train.teacher import Teacher
from tubelet.weights.fetch import file_sha256

CLAIM = "recipe.toml"


def claim_folder(
    out: Path,
    recipe: Recipe,
    splits: Splits,
    init: Path | None,
    micro_batch_size: int,
    teacher: Teacher | None = None,
    images: Sequence[Sample] = (),
) -> None:
    """Write what decides the outcome into the run's folder, or check that the run already there agrees.

    A folder without a saved state holds nothing worth keeping and is claimed anew, so that a run that failed in
    its first steps can be started again with other settings.
    """
    asked = decisive(recipe, splits, init, micro_batch_size, teacher, images)
    path = out / CLAIM
    if path.exists() and (saved_states(out / "checkpoints") or (out / "model").exists()):
        difference = first_difference(read_toml(path), asked)
        if difference is not None:
            raise ConfigError(
                f"{out} holds another run ({difference}); give another --out, or remove the folder"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_toml(path, asked)


def decisive(
    recipe: Recipe,
    splits: Splits,
    init: Path | None,
    micro_batch_size: int,
    teacher: Teacher | None = None,
    images: Sequence[Sample] = (),
) -> dict[str, Any]:
    """The recipe, and digests of the start, the teacher and the videos: folders may be moved, but not changed."""
    plain: dict[str, Any] = {"recipe": to_plain(recipe)}
    plain["videos"] = {name: digest(getattr(splits, name)) for name in ("train", "val", "test")}
    if images:
        plain["images"] = digest(images)
    if init is not None:
        plain["init_sha256"] = file_sha256(init / "model.safetensors")
    if (recipe.classifies and reads_texts(variant(recipe.model))) or recipe.task == "answering":
        names = "\n".join(splits.classes)
        plain["classes"] = f"{len(splits.classes)} names, {hashlib.sha256(names.encode()).hexdigest()[:16]}"
    if teacher is not None:
        plain["teacher"] = {"sha256": teacher.sha256, "model": to_plain(teacher.config)}
    if recipe.mix is not None or recipe.matches or by_forward_pass(model_config(recipe)):
        # Partners are found, what is dropped is drawn, batch norms take their statistics, and captions are
        # contrasted, within a forward pass: its size is part of all four.
        plain["micro_batch_size"] = micro_batch_size
    return plain


def by_forward_pass(config: Any) -> bool:
    """Whether a model draws what it leaves out while it trains, or norms clips by others of the same pass."""
    settings = flat(to_plain(config))
    names = ("drop_path", "dropout", "local_relations")  # relations have batch norms
    return any(name.endswith(names) and number > 0 for name, number in settings.items())


def digest(samples: Sequence[Sample]) -> str:
    """A short name for a list of videos and labels, or values."""
    lines = []
    for sample in samples:
        said = sample.label if sample.value is None else sample.value
        # How long a video is decides its windows, which have their times in their names.
        more = [sample.seconds, *sample.captions, sample.question]
        lines.append("\t".join([sample.id, str(said), *(str(item) for item in more if item is not None)]))
    name = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return f"{len(samples)} videos, {name}"
