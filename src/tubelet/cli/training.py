"""Commands that train: `pretrain` and `train`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from tubelet.cli.app import app, err, plain
from tubelet.cli.app import out as terminal
from tubelet.cli.figures import show_figures
from tubelet.errors import ConfigError
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.build import RunOptions
from tubelet.train.run import RunResult, run

MACHINE = Group("Machine")
Options = Annotated[RunOptions, Parameter(name="*", group=MACHINE)]


@app.command
def pretrain(
    *recipe: str,
    data: Path,
    out: Path,
    init: Path | None = None,
    teacher: Path | None = None,
    images: Path | None = None,
    options: Options = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Pre-train a model on videos without using their labels, or on videos and what captions say of them.

    Parameters
    ----------
    recipe
        A recipe's name (videomae.pretrain if none is given), then settings such as `size=base optim.lr=3e-4`.
    data
        A list of videos, or a folder of them. For contrast and captions a csv or jsonl list with the columns
        `path,caption`, or classes that have names.
    out
        Folder for the run. The same command goes on where an interrupted run stopped.
    init
        What to start from: a checkpoint folder, the name of a published model, or hf:OWNER/NAME.
    teacher
        For alignment: the CLIP image tower to learn from: a checkpoint folder, a published file, the name of a
        published model, or hf:OWNER/NAME.
    images
        For contrast and captions with `image_batch_size`: pictures with captions, listed as videos are.
    """
    chosen, name = chosen_recipe(recipe, default="videomae.pretrain")
    if not chosen.pretrains:
        raise ConfigError(f"{name} trains with labels; use `tubelet train {name}`")
    show_result(
        run(
            chosen,
            data,
            out,
            options,
            init=init,
            teacher=teacher,
            images=images,
            console=err,
            title="pre-training",
        )
    )


@app.command
def train(
    *recipe: str,
    data: Path,
    out: Path,
    init: Path | None = None,
    teacher: Path | None = None,
    options: Options = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Train a classifier of videos or pictures, a regression, or answers to questions, from scratch or from a
    pre-trained model.

    Parameters
    ----------
    recipe
        A recipe's name (videomae.finetune if none is given), then settings such as `size=base optim.lr=5e-4`.
    data
        A folder with one folder of videos per class, a folder with train.csv (and val.csv, test.csv), or a list.
        With task=regression a list says the number to predict after each path; with task=answering it has the
        columns `path,question,answer`.
    out
        Folder for the run. The same command goes on where an interrupted run stopped.
    init
        Whose encoder to start from: a checkpoint folder, the name of a published model, or hf:OWNER/NAME.
    teacher
        For distillation: the smaller model to learn from: a checkpoint folder, a published file, the name of a
        published model, or hf:OWNER/NAME.
    """
    chosen, name = chosen_recipe(recipe, default="videomae.finetune")
    if chosen.pretrains:
        raise ConfigError(f"{name} learns without labels; use `tubelet pretrain {name}`")
    show_result(run(chosen, data, out, options, init=init, teacher=teacher, console=err, title="training"))


def chosen_recipe(words: Sequence[str], default: str) -> tuple[Recipe, str]:
    """The recipe that the words of a command name and set, and its name."""
    names = [word for word in words if "=" not in word]
    if len(names) > 1:
        raise ConfigError(f"{names[1]!r} is neither a recipe nor a setting: settings are written key=value")
    name = names[0] if names else default
    return find_recipe(name, [word for word in words if "=" in word]), name


def show_result(result: RunResult) -> None:
    """Where the model lies and how good it is."""
    if result.metrics:
        show_figures(result.metrics)
    terminal.print(f"model: {plain(result.model)}  ({result.seconds:.0f} s)", highlight=False, soft_wrap=True)
