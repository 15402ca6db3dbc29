"""The command line: each command hands its arguments to one room and prints what comes back."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from tubelet import __version__
from tubelet.config import override, to_plain
from tubelet.data.audit import audit_folder
from tubelet.data.manifest import read_annotations, read_class_names
from tubelet.data.synth import LEVELS
from tubelet.data.synth_files import write_dataset
from tubelet.data.video_files import videos_in
from tubelet.errors import ConfigError, DataError, TubeletError
from tubelet.inference.classify import check_whole_clips, classify, estimate
from tubelet.inference.load import input_spec, load
from tubelet.models import VARIANTS, architecture_of, variant
from tubelet.quickstart.plan import QuickstartPlan
from tubelet.quickstart.story import quickstart as run_quickstart
from tubelet.recipes import RECIPES, Recipe, find_recipe
from tubelet.train.build import RunOptions
from tubelet.train.device import pick_device, speed_up_cpu
from tubelet.train.evaluate import evaluate_model, evaluate_regressor
from tubelet.train.log import ProgressBar
from tubelet.train.run import RunResult, run
from tubelet.weights.convert import convert, export, with_labels
from tubelet.weights.files import read_checkpoint, save_checkpoint

app = App(
    name="tubelet",
    help="Video understanding: train, evaluate and use video models.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_epilogue="`--debug` shows the traceback of an error.",
)
MACHINE = Group("Machine")

out = Console()
err = Console(stderr=True)

Options = Annotated[RunOptions, Parameter(name="*", group=MACHINE)]


def main() -> None:
    """Run the command in `sys.argv`. A user's mistake is one line on standard error and exit code 1."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        speed_up_cpu()
        app(arguments)
    except TubeletError as error:
        if debug:
            raise
        fail(str(error))
    except OSError as error:
        if debug:
            raise
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except KeyboardInterrupt:
        err.print("interrupted; a run goes on from its last saved state with the same command")
        raise SystemExit(130) from None


def fail(message: str) -> None:
    """Print one line and leave."""
    err.print(f"[bold red]error:[/] {escape(' '.join(message.split()))}", highlight=False, soft_wrap=True)
    raise SystemExit(1)


@app.command
def quickstart(
    *,
    out: Path = Path("tubelet-quickstart"),
    seed: int = 0,
    model: Literal["videomae", "videomamba"] = "videomae",
    no_browser: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Render a motion set, train a tiny model on it with help and without, and judge both: minutes on two cores.

    Parameters
    ----------
    out
        Folder for videos, models, report.html and results.json.
    seed
        Of everything random.
    model
        The family to show: VideoMAE is pre-trained without labels, VideoMamba learns from a smaller teacher.
    no_browser
        Do not open the report when it is done.
    """
    run_quickstart(
        out,
        seed=seed,
        plan=QuickstartPlan(model=model),
        console=err,
        open_browser=not no_browser and sys.stdout.isatty(),
    )


@app.command
def synth(
    folder: Path,
    *assignments: str,
    level: Literal["L0", "L1", "L2", "L3"] = "L1",
    train: int = 800,
    val: int = 80,
    test: int = 200,
    workers: int = 1,
    audit: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Render a labelled motion data set to mp4 files, with annotations.

    Parameters
    ----------
    folder
        Where it goes. The same command continues an interrupted one.
    assignments
        Settings such as `size=112 texture=0.4 motions='["move_left", "move_right"]' seed=1`.
    level
        Difficulty to start from: L0 is plain, L3 has texture, shake, distractors and an occluder.
    train, val, test
        Clips per split.
    workers
        Threads that render.
    audit
        Afterwards, show that one frame, a bag of frames and shuffled frames do not reveal the label.
    """
    config = override(LEVELS[level], assignments)
    sizes = {"train": train, "val": val, "test": test}
    with ProgressBar("rendering", sum(sizes.values()), err) as bar:
        summary = write_dataset(config, folder, sizes, lambda done, _: bar.update(done), workers)
    err.print(
        f"{summary.num_written} clips written, {summary.num_kept} already there, "
        f"{summary.bytes / 1e6:.1f} MB in {folder} ({summary.seconds:.0f} s)",
        highlight=False,
    )
    if audit:
        with ProgressBar("auditing", 1, err) as bar:

            def on_progress(stage: str, done: int, total: int) -> None:
                bar.stage(stage, total)
                bar.update(done)

            report = audit_folder(folder, on_progress=on_progress)
        out.print(report.table(), highlight=False, soft_wrap=True)


@app.command
def pretrain(
    *recipe: str,
    data: Path,
    out: Path,
    init: Path | None = None,
    teacher: Path | None = None,
    options: Options = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Pre-train a model on videos without using their labels.

    Parameters
    ----------
    recipe
        A recipe's name (videomae.pretrain if none is given), then settings such as `size=base optim.lr=3e-4`.
    data
        A list of videos, or a folder of them.
    out
        Folder for the run. The same command goes on where an interrupted run stopped.
    init
        A checkpoint folder to start from.
    teacher
        For alignment: a checkpoint folder, or a published file, of the CLIP image tower to learn from.
    """
    chosen, name = chosen_recipe(recipe, default="videomae.pretrain")
    if not chosen.pretrains:
        raise ConfigError(f"{name} trains with labels; use `tubelet train {name}`")
    show_result(
        run(chosen, data, out, options, init=init, teacher=teacher, console=err, title="pre-training")
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
    """Train a classifier of videos or pictures, or a regression, from scratch or from a pre-trained model.

    Parameters
    ----------
    recipe
        A recipe's name (videomae.finetune if none is given), then settings such as `size=base optim.lr=5e-4`.
    data
        A folder with one folder of videos per class, a folder with train.csv (and val.csv, test.csv), or a list.
        With task=regression a list says the number to predict after each path.
    out
        Folder for the run. The same command goes on where an interrupted run stopped.
    init
        A checkpoint folder whose encoder to start from.
    teacher
        For distillation: a checkpoint folder, or a published file, of the smaller model to learn from.
    """
    chosen, name = chosen_recipe(recipe, default="videomae.finetune")
    if chosen.pretrains:
        raise ConfigError(f"{name} learns without labels; use `tubelet pretrain {name}`")
    show_result(run(chosen, data, out, options, init=init, teacher=teacher, console=err, title="training"))


@app.command
def evaluate(
    model: Path,
    *,
    data: Path,
    split: str = "test",
    clips: int | None = None,
    crops: int | None = None,
    allow_missing: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    num_workers: int = 0,
    json_file: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Judge a classifier or a regression on labelled videos, with all clips and crops it is tested with.

    Parameters
    ----------
    model
        A checkpoint folder.
    data
        A data set folder or a list.
    split
        Which split of a folder.
    clips, crops
        Other numbers of views per video than the model's own.
    allow_missing
        Report a score although some videos could not be read (they are counted).
    device
        auto, cpu, cuda, cuda:1, mps.
    num_workers
        Processes that read videos.
    json_file
        Also write the figures there.
    """
    loaded = load(model, device=str(pick_device(device)))
    check_whole_clips(loaded)
    if not loaded.labels and loaded.values is None:
        raise ConfigError(
            f"{model} has no classes: it is an encoder; fine-tune it with `tubelet train --init`"
        )
    views = {"num_clips": clips, "num_crops": crops}
    spec = replace(loaded.input, **{name: n for name, n in views.items() if n is not None})
    names = loaded.labels if loaded.has_names else None
    if loaded.values is not None:
        samples = read_annotations(data, split, values=True).samples
        judge = partial(evaluate_regressor, scale=loaded.values)
    else:
        samples = read_annotations(data, split, num_classes=len(loaded.labels), classes=names).samples
        judge = partial(evaluate_model, num_classes=len(loaded.labels))
    with ProgressBar("evaluating", len(samples), err) as bar:
        figures, scores = judge(
            loaded.model,
            spec,
            samples,
            allow_missing=allow_missing,
            num_workers=num_workers,
            on_progress=bar.update,
        )
    for failure in scores.failures:
        err.print(f"[yellow]not read:[/] {escape(failure.reason)}", highlight=False)
    show_figures(figures)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


@app.command
def predict(
    model: Path,
    *videos: Path,
    top: int = 5,
    device: str = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Say what videos show.

    Parameters
    ----------
    model
        A checkpoint folder.
    videos
        Video files, folders of them, or folders of pictures that are the frames of one.
    top
        How many labels to show.
    device
        auto, cpu, cuda, cuda:1, mps.
    as_json
        One JSON object per video instead of a table.
    """
    if not videos:
        raise ConfigError("no video was given: tubelet predict MODEL VIDEO [VIDEO …]")
    loaded = load(model, device=str(pick_device(device)))
    found = [file for path in videos for file in (path.is_dir() and videos_in(path)) or [path]]
    failed: list[str] = []
    for video in found:
        try:
            number = None if loaded.values is None else estimate(loaded, video)
            result = classify(loaded, video).top(top) if number is None else None
        except TubeletError as error:
            if len(found) == 1:
                raise
            failed.append(str(error))
            continue
        if as_json:
            said = {"value": number} if result is None else result.to_dict()
            print(json.dumps({"video": str(video), **said}))
        elif result is None:
            out.print(f"{escape(str(video))}  {number:.6g}", highlight=False)
        else:
            out.print(escape(str(video)), style="bold", highlight=False)
            for label, score in zip(result.labels, result.scores, strict=True):
                out.print(f"  {score:6.1%}  {escape(label)}", highlight=False)
    if failed:
        raise DataError(f"{len(failed)} of {len(found)} videos could not be classified: {'; '.join(failed)}")


@app.command
def models() -> None:
    """List the sizes of all families and the recipes that train them."""
    name_column = Column("name", no_wrap=True)  # to be copied whole
    table = Table(name_column, "kind", "dim", "depth", "heads", "clip", title="models")
    for name, config in VARIANTS.items():
        # Of two towers that of images is told; a tower on its own is its own encoder.
        encoder = getattr(config, "image", getattr(config, "encoder", config))
        heads = str(getattr(encoder, "num_heads", "none"))
        seen = config if hasattr(config, "num_frames") else encoder
        table.add_row(name, kind_of(config), str(encoder.dim), str(encoder.depth), heads, clip_of(seen))
    out.print(table)
    recipes = Table("name", "what", title="recipes")
    for name, function in RECIPES.items():
        recipes.add_row(name, (function.__doc__ or "").splitlines()[0])
    out.print(recipes)


def kind_of(config: Any) -> str:
    """What a model is for, in a word or two."""
    if hasattr(config, "text"):
        return "image + text" if architecture_of(config) == "clip" else "video + text"
    kind = architecture_of(config).partition("_")[2].replace("_", " ").replace("pretrainer", "pre-training")
    images = kind == "classifier" and getattr(config.encoder, "time_position", None) is False
    return "images" if images else kind


def clip_of(encoder: Any) -> str:
    """Frames and pixels that an encoder is made for."""
    size = encoder.image_size
    pixels = f"{size}²" if isinstance(size, int) else " × ".join(map(str, size))
    return f"{getattr(encoder, 'num_frames', encoder.tubelet[0])} × {pixels}"


@app.command(name="convert")
def convert_command(
    source: Path,
    folder: Path,
    *assignments: str,
    model: str | None = None,
    to: Literal["official", "hf", "hf_v5"] | None = None,
    labels: Path | None = None,
) -> None:
    """Turn a published checkpoint into a tubelet folder, or a tubelet folder into a published layout.

    Known are VideoMAE, VideoMamba and VideoMambaPro, X-CLIP and CLIP.

    Parameters
    ----------
    source
        An official .pth, a safetensors file, a Hugging Face folder, or (with --to) a tubelet folder.
    folder
        Where the result goes.
    assignments
        Settings of the model that its tensors do not tell, such as `encoder.num_heads=6`; need --model. And what
        it was trained with, such as `input.sampling=segments input.stride=2 input.num_clips=2`.
    model
        The size that the file holds (see `tubelet models`), where it cannot be read off the tensors; a
        VideoMambaPro has to be named, because its tensors are a VideoMamba's.
    to
        Export instead: "official" (.pth), "hf" (names of the hub's files), "hf_v5" (names of transformers 5).
    labels
        A file with one class name per line.
    """
    if to is not None:
        if assignments or model is not None or labels is not None:
            raise ConfigError(
                "--to exports a tubelet folder as it is; it takes no settings, --model or --labels"
            )
        export(read_checkpoint(source), folder, to)
        out.print(f"{folder}: {to} layout of {source}", highlight=False)
        return
    fed = [assignment for assignment in assignments if assignment.startswith("input.")]
    sizes = [assignment for assignment in assignments if assignment not in fed]
    if sizes and model is None:
        raise ConfigError("settings of the model need --model NAME to start from")
    config = override(variant(model), sizes) if model is not None else None
    checkpoint = convert(source, config)
    spec = input_spec(checkpoint.config, checkpoint.facts.get("input", {}), fed)
    checkpoint = replace(checkpoint, facts={**checkpoint.facts, "input": to_plain(spec)})
    if labels is not None:
        checkpoint = with_labels(checkpoint, tuple(read_class_names(labels)))
    save_checkpoint(folder, checkpoint)
    size = sum(tensor.numel() for tensor in checkpoint.state.values())
    architecture = architecture_of(checkpoint.config)
    out.print(f"{folder}: {architecture} with {size:,} numbers", highlight=False, soft_wrap=True)
    for remark in checkpoint.facts["source"].get("remarks", []):
        out.print(f"[yellow]note:[/] {escape(remark)}", highlight=False, soft_wrap=True)


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
    out.print(f"model: {result.model}  ({result.seconds:.0f} s)", highlight=False)


def show_figures(figures: dict[str, float]) -> None:
    """A table of figures; shares in percent."""
    table = Table("figure", "value")
    for name, value in figures.items():
        shown = (
            f"{value:.0f}"
            if name.startswith("num_")
            else f"{value:.4f}"
            if "loss" in name
            else f"{value:.4g}"
            if name in ("mse", "mae")
            else f"{value:.1%}"
        )
        table.add_row(name.replace("_", " "), shown)
    out.print(table)
