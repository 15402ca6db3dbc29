"""The command that looks for one's own words in videos: `classify`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter
from rich.markup import escape

from tubelet.cli.app import app, err
from tubelet.cli.findings import Written, show, show_segments, show_thresholds
from tubelet.data.class_folders import read_class_folders
from tubelet.data.video_files import videos_in
from tubelet.errors import ConfigError, DataError, TubeletError
from tubelet.inference.calibration import calibrate
from tubelet.inference.label_texts import NEUTRAL_TEXTS, LabelTexts, find_templates, label_texts
from tubelet.inference.load import LoadedModel, load
from tubelet.inference.open_vocabulary import classify_words
from tubelet.inference.results import Timeline, WordClassification
from tubelet.inference.segments import Hysteresis
from tubelet.inference.thresholds import Thresholds, load_thresholds
from tubelet.inference.timeline import timeline
from tubelet.inference.timeline_picture import draw_timeline
from tubelet.models.text_cache import TextCache
from tubelet.text.labels import parse_labels, read_labels
from tubelet.train.device import pick_device
from tubelet.train.log import ProgressBar


@dataclass(frozen=True, kw_only=True)
class Words:
    """How labels become texts.

    Parameters
    ----------
    templates
        Sentences with {} for the label: raw (the label alone), kinetics or ucf (CLIP's sets), one of your own, or
        a .txt file with one per line. Give it again for more; they are averaged. What the model was trained with
        unless given.
    raw_labels
        Read labels as they are, without making words of underscores and CamelCase.
    neutral
        Texts for "none of these", between commas.
    truncate
        Cut texts that are longer than the model's context.
    text_cache
        A folder that keeps embedded texts for the next time.
    """

    templates: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    raw_labels: Annotated[bool, Parameter(negative="")] = False
    neutral: str | None = None
    truncate: Annotated[bool, Parameter(negative="")] = False
    text_cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """When a label counts as shown.

    Parameters
    ----------
    threshold
        The margin over the closest neutral text that every label needs; 0 unless given.
    thresholds
        A file of calibrated thresholds, read, or written with --calibrate.
    calibrate
        A folder with one folder of videos per label, from which thresholds are learned. Folders of other names
        hold videos that show none of the labels.
    separable
        Compare videos with texts that they do not move (prompts off), as a search index does.
    """

    threshold: float | None = None
    thresholds: Path | None = None
    calibrate: Path | None = None
    separable: Annotated[bool, Parameter(negative="")] = False


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Long videos in windows.

    Parameters
    ----------
    window
        Seconds of a window; it is slid over the video, and segments are found.
    hop
        Seconds between two windows' starts; half a window unless given.
    slack
        How far below its threshold a label may fall within a segment.
    merge_gap
        Segments of a label that are less than so many seconds apart are one.
    shortest
        Segments shorter than so many seconds are dropped.
    timeline
        Draw the segments there, as SVG.
    """

    window: float | None = None
    hop: float | None = None
    slack: float = 0.01
    merge_gap: float = 1.0
    shortest: float = 0.0
    timeline: Path | None = None

    def __post_init__(self) -> None:
        if self.window is None and not (self.hop is None and self.timeline is None):
            raise ConfigError("--hop and --timeline are for windows; give --window SECONDS, too")

    @property
    def rule(self) -> Hysteresis:
        return Hysteresis(low=-self.slack, merge_gap=self.merge_gap, shortest=self.shortest)


@app.command(name="classify")
def classify_command(
    *videos: Path,
    model: Path | None = None,
    labels: str | None = None,
    words: Annotated[Words, Parameter(name="*", group=Group("Words"))] = Words(),
    decision: Annotated[Decision, Parameter(name="*", group=Group("Decision"))] = Decision(),
    windows: Annotated[Windows, Parameter(name="*", group=Group("Windows"))] = Windows(),
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
        A checkpoint folder of a model of videos and texts, such as X-CLIP.
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
    loaded = load(model, device=str(pick_device(device)))
    texts = texts_of(loaded, labels, words, decision.calibrate)
    say_what_was_done(texts)
    thresholds = thresholds_of(loaded, texts, decision)
    failed: list[str] = []
    with Written(json_file, csv_file, segments=windows.window is not None) as written:
        for video in found:
            try:
                result = look(loaded, video, texts, thresholds, windows, prompted=not decision.separable)
            except TubeletError as error:
                if len(found) == 1:
                    raise
                failed.append(str(error))
                continue
            written.add(video, result)
            if not written.on_stdout:
                show_segments(video, result) if isinstance(result, Timeline) else show(video, result, top)
    if failed:
        raise DataError(f"{len(failed)} of {len(found)} videos could not be classified: {'; '.join(failed)}")


def asked_videos(videos: Sequence[Path], windows: Windows, top: int, *, needed: bool) -> list[Path]:
    """The videos of a command; what cannot be asked of them is a ConfigError before anything is loaded."""
    if needed and not videos:
        raise ConfigError(
            'no video was given: tubelet classify VIDEO [VIDEO …] --model FOLDER --labels "a, b"'
        )
    if top < 1:
        raise ConfigError(f"the top {top} labels were asked for; ask for at least 1")
    found = [file for path in videos for file in (path.is_dir() and videos_in(path)) or [path]]
    if windows.timeline is not None and len(found) > 1:
        raise ConfigError(f"--timeline draws one video; {len(found)} were given")
    return found


def texts_of(loaded: LoadedModel, labels: str | None, words: Words, folder: Path | None) -> LabelTexts:
    """The labels of a command, embedded."""
    if labels is not None:
        chosen = read_labels(labels) if labels.lower().endswith((".txt", ".csv")) else parse_labels(labels)
    elif folder is not None:
        chosen = read_class_folders(folder).classes or []
    else:
        chosen = list(loaded.labels)
        if not chosen:
            raise ConfigError('no labels were given: --labels "three dogs pulling a sled, dunking in a pool"')
    templates = [
        template
        for word in words.templates
        for template in (read_labels(word) if word.lower().endswith(".txt") else find_templates(word))
    ]
    return label_texts(
        loaded,
        chosen,
        templates=templates or None,
        clean=not words.raw_labels,
        neutral=NEUTRAL_TEXTS if words.neutral is None else parse_labels(words.neutral),
        truncate=words.truncate,
        cache=None if words.text_cache is None else TextCache(words.text_cache),
    )


def say_what_was_done(texts: LabelTexts) -> None:
    """Labels that repeat and texts that were cut, on standard error."""
    for label, count in texts.repeated.items():
        note(f"{count} labels say the same: {label!r}")
    for text in texts.truncated:
        note(f"cut to the model's context: {text!r}")


def thresholds_of(loaded: LoadedModel, texts: LabelTexts, decision: Decision) -> Thresholds:
    """The thresholds that a command asks for."""
    if decision.calibrate is not None:
        if decision.threshold is not None:
            raise ConfigError("--threshold and --calibrate both say what it takes; give one of them")
        with progress("calibrating") as on_progress:
            found = calibrate(
                loaded, decision.calibrate, texts, prompted=not decision.separable, on_progress=on_progress
            )
        show_thresholds(found)
        if decision.thresholds is not None:
            found.save(decision.thresholds)
        return found
    if decision.thresholds is not None:
        found = load_thresholds(decision.thresholds)
        return found if decision.threshold is None else replace(found, default=decision.threshold)
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
    with progress(video.name) as on_progress:
        found = timeline(
            loaded,
            video,
            texts,
            window=windows.window,
            hop=windows.hop,
            thresholds=thresholds,
            rule=windows.rule,
            prompted=prompted,
            on_progress=on_progress,
        )
    if windows.timeline is not None:
        windows.timeline.parent.mkdir(parents=True, exist_ok=True)
        windows.timeline.write_text(draw_timeline(found, video), encoding="utf-8")
    return found


def note(text: str) -> None:
    err.print(f"[yellow]note:[/] {escape(text)}", highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that learns of its length when the first part is done."""
    with ProgressBar("", 1, err) as bar:

        def tell(done: int, total: int) -> None:
            bar.stage(title, total)
            bar.update(done)

        yield tell
