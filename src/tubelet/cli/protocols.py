"""Commands for published protocols: `zero-shot` judges by them, `lists` writes their training and test lists."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.table import Table

from tubelet.cli.app import app, err, plain, say
from tubelet.cli.app import out as terminal
from tubelet.cli.files import check_outputs
from tubelet.cli.judging import How, Judging, asked_input, views_of
from tubelet.cli.opening import open_model
from tubelet.config import to_plain
from tubelet.data.few_shot import draw_few_shot
from tubelet.data.protocols import hmdb51_split, ucf101_split, zero_shot_parts
from tubelet.inference.named_classes import named_classifier
from tubelet.text.prompts import TEMPLATES, Wording
from tubelet.train.evaluate import evaluate_model
from tubelet.train.few_shot import write_lists
from tubelet.train.log import ProgressBar

Flag = Annotated[bool, Parameter(negative="")]


@app.command(name="zero-shot")
def zero_shot(
    model: Path,
    protocol: Literal["ucf101", "hmdb51", "k600"],
    *settings: str,
    videos: Path,
    lists: Path | None = None,
    templates: Literal["raw", "kinetics", "ucf"] | None = None,
    spoken: bool | None = None,
    how: How = Judging(),  # noqa: B008 - frozen
) -> None:
    """Judge a model of videos and texts on classes it was not trained on, by a published protocol.

    Parameters
    ----------
    model
        An X-CLIP, ViCLIP, InternVideo or mean-pooled CLIP: a checkpoint folder, the name of a published model
        (`tubelet models --published`), or hf:OWNER/NAME.
    protocol
        UCF101 and HMDB51: the test videos of all three official splits. Kinetics-600: three choices of 160 among
        the 220 classes that Kinetics-400 does not have.
    settings
        What the model is fed if not its own input, such as `input.num_clips=4 input.num_crops=3
        input.short_side=224`, which is a published test of X-CLIP.
    videos
        The folder of the videos: `Class/video.avi`. Of Kinetics-600 a data set folder or list with class names.
    lists
        The folder of the official lists of UCF101 or HMDB51, where they are not beside the videos.
    templates
        Sentences for the names, if others than the model was trained with; published X-CLIP read names alone.
    spoken
        Part "ApplyLipstick" into words first. Published X-CLIP does not.
    """
    check_outputs({"--json": how.json_file}, [])
    loaded = open_model(model, how.device)
    spec = asked_input(loaded, settings)
    wording = loaded.wording or Wording()
    if templates is not None:
        wording = replace(wording, templates=TEMPLATES[templates])
    if spoken is not None:
        wording = replace(wording, spoken=spoken)
    figures: dict[str, dict[str, float]] = {}
    for part in zero_shot_parts(protocol, videos, lists):
        samples, classes = part.annotations.samples, part.annotations.classes or []
        with ProgressBar(part.name, len(samples), err) as bar:
            figures[part.name], scores = evaluate_model(
                named_classifier(loaded, classes, wording),
                spec,
                samples,
                num_classes=len(classes),
                allow_missing=how.allow_missing,
                num_workers=how.num_workers,
                on_progress=bar.update,
            )
        for failure in scores.failures:
            say("not read", failure.reason)
    summary = {
        name: {"mean": mean(values), "deviation": stdev(values)}
        for name in ("top1", "top5")
        for values in [[found[name] for found in figures.values()]]
    }
    show(figures, summary)
    terminal.print(views_of(spec), highlight=False)
    if how.json_file is not None:
        said = {
            "protocol": protocol,
            "wording": to_plain(wording),
            "input": to_plain(spec),
            "parts": figures,
            **summary,
        }
        how.json_file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def show(figures: dict[str, dict[str, float]], summary: dict[str, dict[str, float]]) -> None:
    """A row per part, then the mean and the deviation of a part from it (n - 1)."""
    table = Table("", "top-1", "top-5", "videos")
    for name, found in figures.items():
        table.add_row(name, f"{found['top1']:.1%}", f"{found['top5']:.1%}", f"{found['num_videos']:.0f}")
    told = (f"{100 * found['mean']:.1f} ± {100 * found['deviation']:.1f} %" for found in summary.values())
    table.add_row("mean ± deviation", *told, "")
    terminal.print(table)


@app.command(name="lists")
def lists_command(
    protocol: Literal["ucf101", "hmdb51"],
    *,
    videos: Path,
    out: Path,
    lists: Path | None = None,
    split: int = 1,
    shots: int | None = None,
    seed: int = 0,
) -> None:
    """Write the official split of a data set as lists that `tubelet train` reads, whole or K videos per class.

    Parameters
    ----------
    protocol
        UCF101 or HMDB51.
    videos
        The folder of the videos: `Class/video.avi`.
    out
        The folder for train.csv, test.csv and classes.txt.
    lists
        The folder of the official lists, where they are not beside the videos.
    split
        1, 2 or 3.
    shots
        So many training videos per class, as in few-shot learning (published: 2, 4, 8 and 16 of split 1).
    seed
        Of the choice of shots.
    """
    split_of = {"ucf101": ucf101_split, "hmdb51": hmdb51_split}[protocol]
    found = split_of(lists or videos, split, videos=videos)
    if shots is not None:
        drawn = draw_few_shot(found.train, shots, classes=found.classes, seed=seed)
        found = replace(found, train=drawn.samples)
    write_lists(out, found)
    parts = {"classes": found.classes, "videos to learn from": found.train, "to test with": found.test}
    counts = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
    terminal.print(f"{plain(out)}: {counts}", highlight=False, soft_wrap=True)
