"""The command that looks for one's own words in videos: `classify`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from tubelet.cli.app import app, say
from tubelet.cli.classify_options import Decision, Windows, Words
from tubelet.cli.files import check_outputs, each_video, videos_of
from tubelet.cli.findings import Written, show, show_segments, show_thresholds
from tubelet.cli.opening import open_model
from tubelet.cli.progress import progress
from tubelet.data.class_folders import read_class_folders
from tubelet.data.video import Video
from tubelet.errors import ConfigError, DataError
from tubelet.inference.calibration import calibrate
from tubelet.inference.label_texts import NEUTRAL_TEXTS, LabelTexts, find_templates, label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.results import Timeline, WordClassification
from tubelet.inference.thresholds import Thresholds, load_thresholds
from tubelet.inference.timeline import timeline
from tubelet.inference.timeline_picture import draw_timeline
from tubelet.models.text_cache import TextCache
from tubelet.text.labels import parse_labels, read_labels


@app.command(name="classify")
def classify_command(
    *videos: Path,
    model: Path | None = None,
    labels: str | None = None,
    words: Annotated[Words, Parameter(name="*", group=Group("Words"))] = Words(),  # noqa: B008 - frozen
    decision: Annotated[Decision, Parameter(name="*", group=Group("Decision"))] = Decision(),  # noqa: B008
    windows: Annotated[Windows, Parameter(name="*", group=Group("Windows"))] = Windows(),  # noqa: B008
    top: int = 5,
    json_file: Annotated[Path | None, Parameter(name="--json", allow_leading_hyphen=True)] = None,
    csv_file: Annotated[Path | None, Parameter(name="--csv", allow_leading_hyphen=True)] = None,
    device: str = "auto",
) -> None:
    """Say which of your own words videos show, or that they show none of them.

    Parameters
    ----------
    videos
        Video files, folders of them, or folders of pictures that are the frames of one.
    model
        A model of videos and texts, such as X-CLIP: a checkpoint folder, the name of a published model (`tubelet
        models --published`), or hf:OWNER/NAME.
    labels
        Labels between commas (one with a comma of its own in double quotes), or a .txt or .csv file of them; the
        names of the classes that the model was trained with unless given.
    top
        How many labels to show.
    json_file
        Write one JSON object per video there, a line each; "-" is standard output.
    csv_file
        Write a table of scores, or with --window of segments, there; "-" is standard output.
    device
        auto, cpu, cuda, cuda:1, mps.
    """
    if model is None:
        raise ConfigError(
            "no model was given: --model FOLDER; `tubelet convert FILE FOLDER` makes one from a published X-CLIP "
            "or CLIP file"
        )
    found = asked_videos(videos, windows, top, needed=decision.calibrate is None)
    outputs = {"--json": json_file, "--csv": csv_file, "--timeline": windows.timeline}
    listed = [Path(word) for word in (labels or "", *words.templates) if in_file(word)]
    check_outputs({**outputs, "--thresholds": decision.thresholds}, [*found, *listed])
    loaded = open_model(model, device)
    texts = texts_of(loaded, labels, words, decision.calibrate)
    say_what_was_done(texts)
    thresholds = thresholds_of(loaded, texts, decision, windows.window)
    with Written(json_file, csv_file, segments=windows.window is not None, total=len(found)) as written:

        def answer(video: Path) -> None:
            result = look(loaded, video, texts, thresholds, windows, prompted=not decision.separable)
            written.add(video, result)
            if not written.on_stdout:
                show_segments(video, result) if isinstance(result, Timeline) else show(video, result, top)

        each_video(found, answer)


def asked_videos(videos: Sequence[Path], windows: Windows, top: int, *, needed: bool) -> list[Path]:
    """The videos of a command; what cannot be asked of them is a ConfigError before anything is loaded."""
    if needed and not videos:
        raise ConfigError(
            'no video was given: tubelet classify VIDEO [VIDEO …] --model FOLDER --labels "a, b"'
        )
    if top < 1:
        raise ConfigError(f"the top {top} labels were asked for; ask for at least 1")
    found = videos_of(videos)
    if windows.timeline is not None and len(found) > 1:
        raise ConfigError(f"--timeline draws one video; {len(found)} were given")
    pictures = next((path for path in found if path.is_dir()), None)
    if windows.window is not None and windows.fps is None and pictures is not None:
        raise ConfigError(
            f"{pictures} is a folder of pictures, which does not tell its time; say how many are a "
            "second with --fps"
        )
    return found


def in_file(word: str) -> bool:
    """Whether labels or templates are the name of a file that has them."""
    return word.lower().endswith((".txt", ".csv"))


def texts_of(loaded: LoadedModel, labels: str | None, words: Words, folder: Path | None) -> LabelTexts:
    """The labels of a command, embedded."""
    if labels is not None:
        with asked_by("--labels"):
            chosen = labels_of(labels)
    elif folder is not None:
        chosen = read_class_folders(folder).classes or []
    else:
        chosen = list(loaded.labels)
        if not chosen:
            raise ConfigError('no labels were given: --labels "three dogs pulling a sled, dunking in a pool"')
    with asked_by("--templates"):
        templates = [
            template
            for word in words.templates
            for template in (read_labels(word) if in_file(word) else find_templates(word))
        ]
    if words.neutral is not None and not words.neutral.strip():
        raise ConfigError("--neutral has no text; give one or more between commas, or leave it out")
    with asked_by("--neutral"):
        neutral = NEUTRAL_TEXTS if words.neutral is None else parse_labels(words.neutral)
    return label_texts(
        loaded,
        chosen,
        templates=templates or None,
        clean=False if words.raw_labels else None,
        neutral=neutral,
        truncate=words.truncate,
        cache=None if words.text_cache is None else TextCache(words.text_cache),
    )


def labels_of(labels: str) -> list[str]:
    """Labels in the file of that name, or those that the words themselves are."""
    if in_file(labels):
        return read_labels(labels)
    # A path too long for the system is no file of it.
    if len(labels) < 4096 and "\0" not in labels and Path(labels).is_file():
        raise ConfigError(
            f"{labels} is a file, and labels are read from .txt files (one per line) and .csv files (column "
            "`name`); give it such a name"
        )
    return parse_labels(labels)


@contextmanager
def asked_by(option: str) -> Iterator[None]:
    """Errors within say which option asked for what failed."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"{option}: {error}") from None


def say_what_was_done(texts: LabelTexts) -> None:
    """Labels that repeat and texts that were cut, on standard error."""
    for label, count in texts.repeated.items():
        say("note", f"{count} labels say the same: {label!r}")
    for text in texts.truncated:
        say("note", f"cut to the model's context: {text!r}")


def thresholds_of(
    loaded: LoadedModel, texts: LabelTexts, decision: Decision, window: float | None
) -> Thresholds:
    """The thresholds that a command asks for, learned from whole videos or from windows of so many seconds."""
    if decision.calibrate is not None:
        with progress("calibrating") as on_progress:
            found = calibrate(
                loaded,
                decision.calibrate,
                texts,
                prompted=not decision.separable,
                window=window,
                on_progress=on_progress,
            )
        show_thresholds(found)
        if decision.thresholds is not None:
            found.save(decision.thresholds)
        return found
    if decision.thresholds is not None:
        return load_thresholds(decision.thresholds)
    return Thresholds(default=decision.threshold or 0.0)


def look(
    loaded: LoadedModel,
    video: Path,
    texts: LabelTexts,
    thresholds: Thresholds,
    windows: Windows,
    *,
    prompted: bool,
) -> WordClassification | Timeline:
    """What a video shows, as a whole or in windows; with --timeline a picture of it, too."""
    if windows.window is None:
        return classify_words(loaded, video, texts, thresholds=thresholds, prompted=prompted)
    short_side = loaded.input.decode_short_side
    opened = Video(video, fps=windows.fps or 30.0, short_side=short_side)
    with opened, progress(video.name) as on_progress:
        windows.check(opened)
        found = timeline(
            loaded,
            opened,
            texts,
            window=windows.window,
            hop=windows.hop,
            thresholds=thresholds,
            rule=windows.rule,
            prompted=prompted,
            on_progress=on_progress,
        )
        if windows.timeline is not None:
            drawn = draw_timeline(found, opened)
            windows.timeline.parent.mkdir(parents=True, exist_ok=True)
            windows.timeline.write_text(drawn, encoding="utf-8", errors="replace")
    return found
