"""The command that judges models: `evaluate`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet import __version__
from tubelet.cli.app import app, err, out, say
from tubelet.cli.figures import show_figures
from tubelet.cli.files import check_outputs
from tubelet.cli.opening import open_model
from tubelet.config import to_plain
from tubelet.data.input_spec import InputSpec, departures, views_of
from tubelet.data.manifest import read_annotations
from tubelet.data.sample import Sample
from tubelet.errors import ConfigError, DataError
from tubelet.inference.classify import check_whole_clips
from tubelet.inference.load import LoadedModel, input_spec
from tubelet.inference.named_classes import named_classifier
from tubelet.models.internvideo_qa import AnswererConfig
from tubelet.publishing.evaluations import Evaluation, record_evaluation, weights_sha256
from tubelet.train.evaluate import evaluate_model, evaluate_regressor
from tubelet.train.evaluate_texts import evaluate_texts
from tubelet.train.log import ProgressBar


@dataclass(frozen=True, kw_only=True)
class Judging:
    """How a model is judged.

    Parameters
    ----------
    allow_missing
        Report a score although some videos could not be read (they are counted).
    device
        auto, cpu, cuda, cuda:1, mps.
    num_workers
        Processes that read videos.
    json_file
        Also write the figures there.
    record
        Keep the figures in the model's folder, for `tubelet card`.
    """

    allow_missing: Annotated[bool, Parameter(negative="")] = False
    device: str = "auto"
    num_workers: int = 0
    json_file: Annotated[Path | None, Parameter(name="--json")] = None
    record: Annotated[bool, Parameter(negative="")] = False


How = Annotated[Judging, Parameter(name="*")]


@app.command
def evaluate(
    model: Path,
    *settings: str,
    data: Path,
    split: str = "test",
    clips: int | None = None,
    crops: int | None = None,
    how: How = Judging(),
) -> None:
    """Judge a classifier or a regression on labelled videos, with all clips and crops it is tested with.

    A model of videos and texts is judged on the data's classes by their names, whether it was trained on them or
    not; a ViCLIP or an InternVideo on videos with captions, by how well both find each other; a model for
    questions by their answers. The last two see each video once.

    Parameters
    ----------
    model
        A checkpoint folder, the name of a published model, or hf:OWNER/NAME.
    settings
        What the model is fed if not its own input, such as `input.short_side=224`.
    data
        A data set folder or a list.
    split
        Which split of a folder.
    clips, crops
        Other numbers of views per video than the model's own.
    """
    check_outputs({"--json": how.json_file}, [data])
    keep = record_of(model, data, split) if how.record else None
    loaded = open_model(model, how.device)
    in_words = samples_in_words(loaded, data, split)
    if in_words is None:
        check_whole_clips(loaded)
    if not loaded.labels and loaded.values is None and not loaded.reads_texts:
        raise ConfigError(
            f"{model} has no classes: it is an encoder; fine-tune it with `tubelet train --init`"
        )
    views = {"num_clips": clips, "num_crops": crops}
    counts = [f"input.{name}={n}" for name, n in views.items() if n is not None]
    spec = asked_input(loaded, [*settings, *counts])
    if in_words is not None:
        with ProgressBar("evaluating", len(in_words), err) as bar:
            figures = evaluate_texts(
                loaded.model,
                spec,
                in_words,
                answers=loaded.labels,
                allow_missing=how.allow_missing,
                num_workers=how.num_workers,
                on_progress=bar.update,
            )
        report(figures, replace(spec, num_clips=1, num_crops=1), how, keep)
        return
    names = loaded.labels if loaded.has_names else None
    judged = loaded.model
    if loaded.reads_texts:
        annotations = read_annotations(data, split)
        classes = annotations.classes or names
        if classes and not annotations.classes:
            annotations = read_annotations(data, split, num_classes=len(classes))
        samples = annotations.samples
        if not classes:
            raise DataError(
                f"{data} has classes without names, which are all that {model} could tell them by"
            )
        judged = named_classifier(loaded, classes)
        judge = partial(evaluate_model, num_classes=len(classes))
    elif loaded.values is not None:
        samples = read_annotations(data, split, values=True).samples
        judge = partial(evaluate_regressor, scale=loaded.values)
    else:
        annotations = read_annotations(data, split, num_classes=len(loaded.labels), classes=names)
        if annotations.classes and names is None:
            say("note", "the model's classes have no names, and are taken to be the data's in this order")
        samples = annotations.samples
        judge = partial(evaluate_model, num_classes=len(loaded.labels))
    with ProgressBar("evaluating", len(samples), err) as bar:
        figures, scores = judge(
            judged,
            spec,
            samples,
            allow_missing=how.allow_missing,
            num_workers=how.num_workers,
            on_progress=bar.update,
        )
    for failure in scores.failures:
        say("not read", failure.reason)
    report(figures, spec, how, keep)


def samples_in_words(loaded: LoadedModel, data: Path, split: str) -> list[Sample] | None:
    """Videos with questions for a model that answers them, or with captions and no class; else None."""
    asked = isinstance(loaded.config, AnswererConfig)
    if not asked and not loaded.reads_texts:
        return None
    samples = read_annotations(data, split).samples
    told = all(sample.captions and sample.label is None for sample in samples)
    return samples if asked or told else None


@dataclass(frozen=True)
class Record:
    """Where figures are kept: beside the weights that they are of."""

    model: Path
    data: Path
    split: str
    weights: str  # their SHA-256 before they were judged: a run may leave others meanwhile

    def keep(self, figures: dict[str, float], spec: InputSpec) -> None:
        """Write the figures down."""
        record_evaluation(
            self.model,
            Evaluation(
                data=self.data.resolve().name,
                split=self.split if self.data.is_dir() else "all of the list",
                views=views_of(spec),
                metrics=figures,
                weights_sha256=self.weights,
                date=date.today().isoformat(),
                tubelet=__version__,
            ),
        )


def record_of(model: Path, data: Path, split: str) -> Record:
    """Where the figures of a model will be kept; one without a folder is a ConfigError."""
    if not (model / "config.toml").is_file():
        raise ConfigError(
            f"--record keeps figures in the model's folder, and {model} is none; `tubelet convert "
            f"{model} FOLDER` makes one"
        )
    return Record(model, data, split, weights_sha256(model))


def report(figures: dict[str, float], spec: InputSpec, how: Judging, keep: Record | None) -> None:
    """Figures on the terminal, and in the files where they are asked for."""
    show_figures(figures)
    out.print(views_of(spec), highlight=False)
    if how.json_file is not None:
        how.json_file.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if keep is not None:
        keep.keep(figures, spec)


def asked_input(loaded: LoadedModel, settings: Sequence[str]) -> InputSpec:
    """A model's own input with settings of the user's, who is told where it was trained with something else."""
    spec = input_spec(loaded.config, to_plain(loaded.input), settings)
    told = departures(spec, loaded.input)
    if told is not None:
        say("note", f"fed otherwise than the model's own input says: {told}")
    return spec
