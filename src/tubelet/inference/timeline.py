"""What a long video shows when: windows slid over it, scored like short videos, and joined to segments.

The video is decoded once from its start to its end. Only the frames of windows that are not complete yet are
kept, already shrunk to what the model sees, so memory does not grow with the video.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError
from tubelet.inference.label_texts import LabelTexts, label_texts
from tubelet.inference.load import LoadedModel
from tubelet.inference.open_vocabulary import checked_thresholds, cosines, has_prompts, judged, scale_of
from tubelet.inference.results import Timeline, WindowScores
from tubelet.inference.segments import Hysteresis, cells_of, find_segments
from tubelet.inference.thresholds import Thresholds

# Frames decoded together; those of a 4K video take 25 MB each.
FRAMES_AT_ONCE = 8
# About as many as half an hour of video has frames; with many labels more scores would fill memory.
MOST_WINDOWS = 50_000
# Times are sums of fractions; a microsecond keeps a frame at exactly 16 s from falling before it.
MOMENT = 1e-6


def timeline(
    loaded: LoadedModel,
    video: Video | str | Path,
    labels: Sequence[str] | LabelTexts,
    *,
    window: float,
    hop: float | None = None,
    thresholds: Thresholds | None = None,
    rule: Hysteresis = Hysteresis(),  # noqa: B008 - frozen
    prompted: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Timeline:
    """The scores of windows of `window` seconds that open every `hop` seconds, and the segments they make.

    Without `hop` windows overlap by half. What is left at the end is seen by one more window that closes the
    video; a video shorter than a window is one window. Of each window the model sees as many frames as it wants,
    evenly spread over its seconds, in one centre crop. Thresholds must have been calibrated for windows. A `hop`
    shorter than a frame, which would look at the same frames again, is a ConfigError. `on_progress` hears of
    (windows done, windows to do).
    """
    texts = labels if isinstance(labels, LabelTexts) else label_texts(loaded, labels)
    texts.check_belongs(loaded)
    prompted = has_prompts(loaded, prompted)
    thresholds = checked_thresholds(thresholds, loaded, texts, prompted=prompted, windows=True)
    scores: list[Tensor] = []
    with loaded.input.opened(video) as opened, torch.inference_mode():
        if len(opened) < 1:
            raise VideoError(f"{opened.source} has no frames")
        duration = opened.duration
        windows = sliding_windows(duration, window, window / 2 if hop is None else hop)
        check_hop(opened, window, window / 2 if hop is None else hop)
        for clip in window_clips(opened, loaded.input, windows):
            scores.append(cosines(loaded, clip, texts, prompted=prompted).mean(dim=0))
            if on_progress is not None:
                on_progress(len(scores), len(windows))
    return _joined(
        windows, torch.stack(scores), texts, thresholds, rule, scale_of(loaded), duration, prompted=prompted
    )


def sliding_windows(duration: float, window: float, hop: float) -> list[tuple[float, float]]:
    """(start, end) in seconds of windows that together see all of a video.

    More than `MOST_WINDOWS` are a ConfigError.

    >>> sliding_windows(9.0, window=4.0, hop=2.0)
    [(0.0, 4.0), (2.0, 6.0), (4.0, 8.0), (5.0, 9.0)]
    """
    check_seconds("window", window)
    check_seconds("hop", hop)
    if hop > window:
        raise ConfigError(
            f"windows of {window:g} s that open every {hop:g} s leave parts of the video unseen; "
            "hop must not be longer than window"
        )
    if duration <= window:
        return [(0.0, duration)]
    count = (duration - window + MOMENT) / hop + 1
    if count > MOST_WINDOWS:
        raise ConfigError(
            f"windows of {window:g} s that open every {hop:g} s are {count:.0f} in a video of {duration:g} s; "
            f"the most are {MOST_WINDOWS}: take longer windows or a longer hop"
        )
    count = int(count)
    windows = [(i * hop, i * hop + window) for i in range(count)]
    if windows[-1][1] < duration - MOMENT:
        windows.append((duration - window, duration))
    return windows


def check_seconds(name: str, seconds: float) -> None:
    """A ConfigError unless it is a number of seconds above 0."""
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name} is {seconds}; it must be a number of seconds above 0")


def check_hop(video: Video, window: float, hop: float) -> None:
    """A ConfigError where windows follow each other faster than any two frames of a longer video."""
    intervals = video.seconds.diff()
    if video.duration > window and len(intervals) and hop < 0.99 * float(intervals.min()):
        raise ConfigError(
            f"windows of {window:g} s that open every {hop:g} s look at the same frames again: those of "
            f"{video.source} are {float(intervals.min()):g} s apart or more; take a longer window or hop"
        )


def window_frames(
    seconds: Float64[Tensor, "frames"], window: tuple[float, float], num_frames: int
) -> Int64[Tensor, "num_frames"]:
    """The frames on show at the middles of `num_frames` equal parts of a window, the first frame being at 0 s.

    They go by time and not by number, so a variable frame rate does not matter; a short window repeats frames.
    """
    middles = (torch.arange(num_frames, dtype=torch.float64) + 0.5) / num_frames
    times = window[0] + middles * (window[1] - window[0])
    on_show = torch.searchsorted(seconds - seconds[0], times + MOMENT, right=True) - 1
    return on_show.clamp(0, len(seconds) - 1)


def window_clips(
    video: Video, spec: InputSpec, windows: Sequence[tuple[float, float]]
) -> Iterator[UInt8[Tensor, "views 3 frames rows columns"]]:
    """The clip of every window in order; each frame is decoded once, on one way from start to end."""
    transform = replace(spec, num_crops=1).test_transform()
    plans = [window_frames(video.seconds, window, spec.num_frames).tolist() for window in windows]
    wanted = sorted({number for plan in plans for number in plan})
    held: dict[int, Tensor] = {}  # frames as the model sees them, until the last window that wants them
    done = 0
    for start in range(0, len(wanted), FRAMES_AT_ONCE):
        numbers = wanted[start : start + FRAMES_AT_ONCE]
        views = transform(video.frames(numbers).pixels)
        held.update((number, views[:, :, place].clone()) for place, number in enumerate(numbers))
        while done < len(plans) and plans[done][-1] <= numbers[-1]:
            yield torch.stack([held[number] for number in plans[done]], dim=2)
            done += 1
            first = plans[done][0] if done < len(plans) else math.inf
            held = {number: frame for number, frame in held.items() if number >= first}


def _joined(
    windows: Sequence[tuple[float, float]],
    scores: Float64[Tensor, "windows texts"],
    texts: LabelTexts,
    thresholds: Thresholds,
    rule: Hysteresis,
    scale: float,
    duration: float,
    *,
    prompted: bool,
) -> Timeline:
    found, cells = judged(scores, texts, scale), cells_of(windows)
    levels = tuple(thresholds.of(read) for read in texts.read)
    segments = [
        segment
        for i, label in enumerate(texts.labels)
        for segment in find_segments(
            label, cells, found.margins[:, i].tolist(), threshold=levels[i], rule=rule, index=i
        )
    ]
    return Timeline(
        labels=texts.labels,
        thresholds=levels,
        duration=duration,
        prompted=prompted,
        windows=tuple(
            WindowScores(
                start=start,
                end=end,
                cell=cell,
                cosines=tuple(found.cosines[i].tolist()),
                margins=tuple(found.margins[i].tolist()),
                probabilities=tuple(found.probabilities[i].tolist()),
                none_probability=float(found.none[i]),
            )
            for i, ((start, end), cell) in enumerate(zip(windows, cells, strict=True))
        ),
        segments=tuple(segments),
        read=texts.read,
        templates=texts.templates,
        neutral=texts.neutral,
        repeated=texts.repeated,
        truncated=texts.truncated,
    )
