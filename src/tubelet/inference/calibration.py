"""Thresholds calibrated on a folder of labelled videos."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from tubelet.data.class_folders import read_class_folders
from tubelet.errors import VideoError
from tubelet.inference.label_texts import LabelTexts, label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import classify_words, cosines, has_prompts, judged, scale_of
from tubelet.inference.thresholds import Thresholds, fit_thresholds
from tubelet.inference.timeline import check_seconds, window_clips
from tubelet.text.labels import spoken


def calibrate(
    loaded: LoadedModel,
    folder: str | Path,
    labels: Sequence[str] | LabelTexts | None = None,
    *,
    prompted: bool = True,
    window: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Thresholds:
    """Thresholds for labels from a folder with one folder of videos per class.

    Folders are labels where their names read the same; videos in folders of other names show none of the labels,
    and are welcome. Without `labels` the folders are the labels. A video that cannot be read is a VideoError.
    With `window` thresholds are for windows of so many seconds (`timeline`), and each video is judged by the one
    in its middle; without, for whole videos (`classify_words`). `on_progress` hears of (videos done, videos to
    do).
    """
    if window is not None:
        check_seconds("window", window)
    found = read_class_folders(folder)
    names = found.classes or []
    chosen = names if labels is None else labels
    texts = chosen if isinstance(chosen, LabelTexts) else label_texts(loaded, chosen)
    prompted = has_prompts(loaded, prompted)
    margins = []
    for done, sample in enumerate(found.samples, start=1):
        if window is None:
            result = classify_words(loaded, sample.path, texts, prompted=prompted)
            margins.append(result.margins(texts.labels))
        else:
            margins.append(middle_margins(loaded, sample.path, texts, window, prompted=prompted))
        if on_progress is not None:
            on_progress(done, len(found.samples))
    shown = [
        [
            shows(names[sample.label or 0], label, read)
            for label, read in zip(texts.labels, texts.read, strict=True)
        ]
        for sample in found.samples
    ]
    return fit_thresholds(
        torch.tensor(margins, dtype=torch.float64),
        torch.tensor(shown),
        texts.read,
        texts.setting(loaded, prompted=prompted, windows=window is not None),
    )


@torch.inference_mode()
def middle_margins(
    loaded: LoadedModel, path: str, texts: LabelTexts, window: float, *, prompted: bool
) -> list[float]:
    """The margins of labels in the middle `window` seconds of a video, or all of a shorter one."""
    with loaded.input.opened(path) as video:
        if len(video) < 1:
            raise VideoError(f"{path} has no frames")
        start = max(video.duration - window, 0.0) / 2
        (clip,) = window_clips(video, loaded.input, [(start, min(start + window, video.duration))])
    scores = cosines(loaded, clip, texts, prompted=prompted)
    return judged(scores, texts, scale_of(loaded)).margins[0].tolist()


def shows(folder: str, label: str, read: str) -> bool:
    """Whether a folder's name is a label."""
    return folder == label or spoken(folder).lower() == spoken(read).lower()
