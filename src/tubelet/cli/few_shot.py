"""The command that learns from a few videos per class: `few-shot`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table
from torch import nn

from tubelet.cli.app import app, err, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.opening import open_model
from tubelet.config import read_toml, write_toml
from tubelet.data.input_spec import views_of
from tubelet.data.video_files import PICTURE_EXTENSIONS, VIDEO_EXTENSIONS
from tubelet.errors import BackendError, ConfigError, DataError
from tubelet.inference.load import LoadedModel
from tubelet.models.text_classifier import TextClassifier, class_tokens
from tubelet.models.video_text import VideoTextModel
from tubelet.models.video_towers import video_tower
from tubelet.models.xclip import XCLIP
from tubelet.text.prompts import Wording
from tubelet.train.adapter import fit_adapter
from tubelet.train.build import RunOptions
from tubelet.train.evaluate import evaluate_model
from tubelet.train.few_shot import (
    FewShotData,
    adapter_checkpoint,
    few_shot_data,
    finetuning_recipe,
    probe_checkpoint,
    write_lists,
)
from tubelet.train.log import ProgressBar
from tubelet.train.probe import fit_probe
from tubelet.train.run import run
from tubelet.train.shots import Shots, embed_shots
from tubelet.train.start import start_of
from tubelet.weights.fetch import file_sha256
from tubelet.weights.files import Checkpoint, save_checkpoint
from tubelet.weights.locate import checkpoint_folder

Flag = Annotated[bool, Parameter(negative="")]


@app.command(name="few-shot")
def few_shot(
    folder: Path,
    *settings: str,
    model: Path,
    out: Path,
    shots: int = 4,
    method: Literal["probe", "adapter", "finetune"] = "probe",
    seed: int = 0,
    views: int = 0,
    tune_keys: Flag = False,
    texts: bool = True,
    allow_fewer: Flag = False,
    allow_missing: Flag = False,
    device: str = "auto",
    num_workers: int = 0,
) -> None:
    """Learn to tell classes apart from a few videos of each, and judge by the others.

    Parameters
    ----------
    folder
        A folder with one folder of videos per class, a folder with train.csv (and test.csv), or a list.
    settings
        Of the recipe `xclip.few_shot`, such as `optim.epochs=10`; for --method finetune.
    model
        An X-CLIP, ViCLIP, InternVideo or mean-pooled CLIP: a checkpoint folder, the name of a published model
        (`tubelet models --published`), or hf:OWNER/NAME.
    out
        Folder for the run: out/model, out/test.toml, and in out/few_shot the lists of videos.
    shots
        Videos of each class to learn from.
    method
        A linear probe or a cached-feature adapter on the frozen model (seconds), or fine-tuning of an X-CLIP.
    seed
        Of the choice of videos and of all else that is random.
    views
        For probe and adapter: so many random views of each shot besides the one in the middle.
    tune_keys
        For the adapter: also move its keys (Tip-Adapter-F).
    texts
        Whether the names of the classes say what they show: the adapter listens to them, and zero-shot accuracy
        is shown for comparison.
    allow_fewer
        Take what a class has that has fewer videos than --shots.
    allow_missing
        Report scores although some videos could not be read (they are counted).
    device
        auto, cpu, cuda, cuda:1, mps.
    num_workers
        Processes that read videos.
    """
    check_words(folder, settings, method, shots, tune_keys, views)
    loaded = open_model(model, device)
    whole = text_model(loaded, model, method)
    data = few_shot_data(folder, shots, seed=seed, allow_fewer=allow_fewer)
    check_words(folder, settings, method, min([shots, *data.lacking.values()]), tune_keys, views)
    if method != "finetune" and (out / "model").exists():
        raise ConfigError(f"{out} holds another run; give another --out, or remove the folder")
    for name, found in data.lacking.items():
        say("note", f"class {name} has only {found} videos")
    named = read_names(loaded, whole, data, method) if texts else None
    lists = write_lists(out / "few_shot", data.splits)
    # A look at the held-out videos during training would cost more than the training, and tempt to choose by it.
    options = RunOptions(
        device=device, num_workers=num_workers, allow_missing=allow_missing, validate_every=0
    )
    if method == "finetune":
        recipe = finetuning_recipe(
            loaded.config, loaded.input, loaded.wording or Wording(), len(data.splits.train), seed, settings
        )
        figures = run(recipe, lists, out, options, init=model, console=err, title="fine-tuning").metrics
        said = read_toml(out / "test.toml")
    else:
        seen = see_shots(loaded, whole, data, views=views, seed=seed, num_workers=num_workers)
        fitted = fit(loaded, whole, data, seen, method, named, tune_keys=tune_keys)
        figures = judge(fitted.build(), loaded, data, options, method)
        init = {"init": start_of(str(model), checkpoint_folder(model))}
        save_checkpoint(out / "model", replace(fitted, facts={**fitted.facts, "source": init}))
        weights = file_sha256(out / "model" / "model.safetensors")
        tested = {"views": views_of(loaded.input), "weights_sha256": weights}
        said = {"videos": data.splits.note, **tested, "metrics": figures}
        said["num_unread_shots"] = len(seen.failures)
    zero_shot = None if named is None else judge(named, loaded, data, options, "zero-shot")
    write_toml(out / "test.toml", {**said, **({"zero_shot": zero_shot} if zero_shot else {})})
    show(figures, zero_shot, method, data, out)


def check_words(
    folder: Path, settings: tuple[str, ...], method: str, shots: int, tune_keys: bool, views: int
) -> None:
    """Raise where an option belongs to another method, and what else cannot be had, before anything is read."""
    if folder.suffix.lower() in VIDEO_EXTENSIONS | PICTURE_EXTENSIONS and not folder.is_dir():
        raise ConfigError(
            f"{folder} is a single video; give a folder with one folder of videos per class, or a list of videos"
        )
    if settings and method != "finetune":
        raise ConfigError(
            f"{settings[0]!r} is a setting of fine-tuning; give --method finetune, or leave it out"
        )
    if tune_keys and method != "adapter":
        raise ConfigError("--tune-keys is for --method adapter")
    if tune_keys and shots == 1:
        raise ConfigError(
            "--tune-keys tunes on shots that are left out, and one per class leaves none; give 2 of each or more"
        )
    if views < 0 or (views and method == "finetune"):
        raise ConfigError(f"--views {views}: 0 or more random views of a shot, for --method probe or adapter")


def text_model(loaded: LoadedModel, folder: Path, method: str) -> VideoTextModel:
    """The model, if it embeds videos and texts in one space; else a ConfigError."""
    kind = type(loaded.model).__name__
    if not isinstance(loaded.model, VideoTextModel):
        raise ConfigError(
            f"{folder} holds a {kind}; few-shot learning needs an X-CLIP, ViCLIP or InternVideo, or a CLIP "
            "converted with `tubelet convert FILE FOLDER --model clip_b32_mean`; other models can be fine-tuned "
            "with `tubelet train --init`"
        )
    if method == "finetune" and not isinstance(loaded.model, XCLIP):
        raise ConfigError(
            f"{folder} holds a {kind}; --method finetune is for X-CLIP and mean-pooled CLIP, so take probe or "
            "adapter"
        )
    return loaded.model


def read_names(
    loaded: LoadedModel, model: VideoTextModel, data: FewShotData, method: str
) -> TextClassifier | None:
    """The zero-shot classifier of the classes' names; None, and a note, where it cannot be had.

    A name that no text can be made of, such as a long one, is a DataError where the method learns with names.
    """
    if not data.splits.classes:
        say("note", "classes have no names; put a classes.txt with one per line beside the lists")
        return None
    assert loaded.wording is not None
    wording = replace(loaded.wording, spoken=True)
    try:
        tokens = class_tokens(data.splits.classes, wording, loaded.config.text)
    except BackendError as error:
        say("note", f"the names of classes are not used: {error}")
        return None
    except DataError as error:
        if method == "finetune":  # whose training reads names in any case
            raise
        if method == "adapter":
            raise DataError(f"{error}; --no-texts learns without names") from None
        say("note", f"there is no zero-shot accuracy by the names of classes: {error}")
        return None
    return TextClassifier(model, tokens.to(loaded.device)).eval()


def see_shots(
    loaded: LoadedModel, model: VideoTextModel, data: FewShotData, *, views: int, seed: int, num_workers: int
) -> Shots:
    """What the model sees in the shots; says which could not be read."""
    with ProgressBar("reading shots", 1 + views, err) as bar:
        seen = embed_shots(
            video_tower(model),
            loaded.input,
            data.splits.train,
            data.num_classes,
            num_augmented=views,
            seed=seed,
            num_workers=num_workers,
            on_progress=bar.update,
        )
    for failure in seen.failures:
        say("not read", failure.reason)
    if seen.failures:
        of = f"{len(seen.failures)} of {len(data.splits.train)}"
        say("note", f"{of} shots could not be read and were not learned from")
    return seen


def fit(
    loaded: LoadedModel,
    model: VideoTextModel,
    data: FewShotData,
    seen: Shots,
    method: str,
    named: TextClassifier | None,
    *,
    tune_keys: bool,
) -> Checkpoint:
    """The checkpoint of a probe or an adapter."""
    tower, classes = video_tower(model), data.splits.classes
    if method == "probe":
        return probe_checkpoint(tower, loaded.input, fit_probe(seen, data.num_classes), classes)
    vectors = None if named is None else named.texts().detach().cpu()
    scale = float(model.scale().detach())
    cached = fit_adapter(
        seen,
        data.num_classes,
        texts=None if vectors is None else vectors.double(),
        scale=scale,
        tune_keys=tune_keys,
    )
    return adapter_checkpoint(
        tower, loaded.input, cached, data.num_classes, classes, texts=vectors, scale=scale
    )


def judge(
    model: nn.Module, loaded: LoadedModel, data: FewShotData, options: RunOptions, title: str
) -> dict[str, float]:
    """Figures on the videos that were not learned from."""
    test = data.splits.test
    with ProgressBar(f"judging {title}", len(test), err) as bar:
        figures, scores = evaluate_model(
            model.to(loaded.device),
            loaded.input,
            test,
            num_classes=data.num_classes,
            allow_missing=options.allow_missing,
            num_workers=options.num_workers,
            on_progress=bar.update,
        )
    for failure in scores.failures:
        say("not read", failure.reason)
    return figures


def show(
    figures: dict[str, float], zero_shot: dict[str, float] | None, method: str, data: FewShotData, out: Path
) -> None:
    """How good the model is, what it is compared with, and where it lies."""
    shots = len(data.splits.train)
    rows = {f"{method} of {shots} videos": figures, "zero-shot by the names of classes": zero_shot}
    table = Table("", "top-1", "mean class", "held-out videos")
    for name, found in rows.items():
        if found is not None:
            shares = (f"{found[share]:.1%}" for share in ("top1", "mean_class"))
            table.add_row(name, *shares, f"{found['num_videos']:.0f}")
    terminal.print(table)
    terminal.print(f"judged by {plain(data.splits.note)}", highlight=False, soft_wrap=True)
    terminal.print(f"model: {plain(out / 'model')}", highlight=False, soft_wrap=True)
