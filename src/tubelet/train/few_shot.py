"""Few-shot learning on an own folder: its shots, the videos left to judge by, and small heads as checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from tubelet.config import flat, to_plain
from tubelet.data.few_shot import draw_few_shot
from tubelet.data.input_spec import InputSpec
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits, read_split
from tubelet.errors import DataError
from tubelet.models.video_adapter import AdapterConfig
from tubelet.models.video_probe import ProbeConfig
from tubelet.models.video_towers import VideoTower
from tubelet.models.xclip import XCLIPConfig
from tubelet.recipes import Recipe, find_recipe
from tubelet.text.prompts import Wording
from tubelet.train.adapter import CachedShots
from tubelet.train.probe import LinearHead
from tubelet.weights.files import Checkpoint

RECIPE = "xclip.few_shot"
# Files that say what a data set is.
LISTS = ("train.csv", "val.csv", "test.csv", "classes.txt")


@dataclass(frozen=True, kw_only=True)
class FewShotData:
    """The shots as the training videos of a data set, how many classes it has, and which have too few videos."""

    splits: Splits
    num_classes: int
    lacking: dict[str, int]


def few_shot_data(path: Path, shots: int, *, seed: int = 0, allow_fewer: bool = False) -> FewShotData:
    """`shots` videos of every class of a folder or list, and the videos to judge by.

    Those are the test (or val) split where the data has one, and else all videos that were not drawn. A folder
    with a single class, or one that has nothing left to judge by, is a DataError.
    """
    found = read_annotations(path, "train")
    classes = tuple(found.classes or ())
    labels = {sample.label for sample in found.samples if sample.label is not None}
    num_classes = len(classes) or max(labels, default=0) + 1
    if num_classes < 2:
        raise DataError(
            f"{path} has one class only ({len(found.samples)} videos); there is nothing to tell apart"
        )
    drawn = draw_few_shot(found.samples, shots, classes=classes, seed=seed, allow_fewer=allow_fewer)
    held = ((name, split) for name in ("test", "val") if (split := read_split(path, name)) is not None)
    name, split = next(held, (None, None))
    if split is not None:
        test, note = split.samples, f"the {name} split of {path}"
    else:
        seen = {sample.path for sample in drawn.samples}
        test = [sample for sample in found.samples if sample.path not in seen]
        note = f"the videos of {path} that are no shots (seed {seed})"
    if not test:
        raise DataError(
            f"{path}: with {shots} videos of each class to learn from, none is left to judge by; ask for fewer "
            "shots, or add a test split"
        )
    splits = Splits(train=drawn.samples, val=test, test=test, classes=classes, note=note)
    return FewShotData(splits=splits, num_classes=num_classes, lacking=drawn.lacking)


def write_lists(folder: Path, splits: Splits) -> Path:
    """Write the shots as `train.csv`, what judges as `test.csv`, and the classes' names; returns the folder.

    A folder that has lists or names of its own, other than these, is a DataError.
    """
    texts = {
        "train.csv": "".join(_line(sample) for sample in splits.train),
        "test.csv": "".join(_line(sample) for sample in splits.test),
    }
    if splits.classes:
        texts["classes.txt"] = "\n".join(splits.classes) + "\n"
    for name in LISTS:
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != texts.get(name):
            raise DataError(f"{path} is there already and says something else; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _line(sample: Sample) -> str:
    path = str(Path(sample.path).absolute())
    if "\n" in path:
        raise DataError(f"{path!r} has a line break in its name, which no list can hold; rename it")
    if sample.window is not None:
        raise DataError(f"{sample.id} is a part of a video, which no list of `path,label` can hold")
    frames = "" if sample.num_frames is None else f",{sample.num_frames}"
    return f"{path}{frames},{sample.label}\n"


def probe_checkpoint(
    tower: VideoTower, spec: InputSpec, head: LinearHead, labels: tuple[str, ...]
) -> Checkpoint:
    """A linear probe as an ordinary checkpoint."""
    config = ProbeConfig(video=tower.config, num_classes=len(head.weight))
    state = {"head.weight": head.weight.float(), "head.bias": head.bias.float()}
    return Checkpoint(config, {**_video(tower), **state}, labels, _facts(spec, {"l2": head.l2}))


def adapter_checkpoint(
    tower: VideoTower,
    spec: InputSpec,
    cached: CachedShots,
    num_classes: int,
    labels: tuple[str, ...],
    *,
    texts: Float[Tensor, "classes dim"] | None = None,
    scale: float = 0.0,
) -> Checkpoint:
    """An adapter as an ordinary checkpoint. It holds the texts of its classes, so using it needs no tokenizer."""
    config = AdapterConfig(
        video=tower.config,
        num_classes=num_classes,
        num_keys=len(cached.keys),
        alpha=cached.alpha,
        beta=cached.beta,
        scale=0.0 if texts is None else scale,
    )
    state = {"head.keys": cached.keys.float(), "head.values": cached.values}
    if texts is not None:
        state["head.texts"] = texts.detach().cpu().float()
    return Checkpoint(config, {**_video(tower), **state}, labels, _facts(spec, {}))


def _video(tower: VideoTower) -> dict[str, Tensor]:
    return {f"video.{name}": tensor for name, tensor in tower.state_dict().items()}


def _facts(spec: InputSpec, fitted: Mapping[str, Any]) -> dict[str, Any]:
    return {"input": to_plain(spec), **({"fitted": dict(fitted)} if fitted else {})}


def finetuning_recipe(
    config: XCLIPConfig,
    spec: InputSpec,
    wording: Wording,
    num_shots: int,
    seed: int,
    settings: tuple[str, ...],
) -> Recipe:
    """The recipe of few-shot fine-tuning for a model of a config that is fed as `spec` says.

    Names are read in the model's wording, but as words, as in zero-shot use. A batch is all shots where those are
    fewer than the recipe's batch. `settings` come last.
    """
    sizes = {f"model.{key}": value for key, value in flat(to_plain(config)).items() if key not in NOT_SIZES}
    fed = {f"input.{field.name}": getattr(spec, field.name) for field in fields(spec)}
    batch_size = min(find_recipe(RECIPE).optim.batch_size, num_shots)
    others = {"optim.batch_size": batch_size, "wording.spoken": True, "seed": seed}
    known = [f"{key}={_written(value)}" for key, value in {**sizes, **fed, **others}.items()]
    templates = ", ".join(json.dumps(template) for template in wording.templates)
    return find_recipe(RECIPE, [*known, f"wording.templates=[{templates}]", *settings])


# What a recipe decides, or what its input says.
NOT_SIZES = frozenset({"num_frames", "image.image_size", "drop_path", "tune_text", "strict_frames"})


def _written(value: Any) -> str:
    """A value as it is written on the command line."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value)
