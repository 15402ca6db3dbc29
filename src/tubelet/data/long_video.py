"""Long videos in windows of seconds: each a sample in training, all of them together in a test."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.data.randomness import view_generator
from tubelet.data.reading.limits import Limits
from tubelet.data.sample import Sample, part_suffix
from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError


def time_windows(duration: float, window: float, hop: float) -> list[tuple[float, float]]:
    """(start, end) of windows that open every `hop` seconds of a video; all three count seconds.

    A window that runs over the end stops there, and is left out where less than half of it would remain. A
    video shorter than one window is one window. This is the rule of VideoMamba on LVU.

    >>> time_windows(95.0, window=60.0, hop=16.0)
    [(0.0, 60.0), (16.0, 76.0), (32.0, 92.0), (48.0, 95.0), (64.0, 95.0)]
    """
    if duration < window:
        return [(0.0, duration)]
    windows = []
    start = 0.0
    while duration - start >= window / 2:
        windows.append((start, min(start + window, duration)))
        start = hop * len(windows)
    return windows


def cut_windows(samples: Sequence[Sample], spec: InputSpec) -> list[Sample]:
    """The windows of every video that `spec` asks for, in order; the videos themselves where it asks for none.

    How long a video is says its list; else the file is asked. One that cannot be read stays whole, so that
    reading it fails where failures are counted.
    """
    if spec.window_seconds is None:
        return list(samples)
    hop = spec.window_seconds if spec.window_hop is None else spec.window_hop
    found = []
    for sample in samples:
        if sample.window is not None:
            raise ConfigError(
                f"input.window_seconds cuts whole videos, and the list names a part of one ({sample.id}); "
                "leave it out, or leave start and end out of the list"
            )
        duration = length_in_seconds(sample)
        if duration is None:
            found.append(sample)
            continue
        found.extend(
            replace(sample, id=sample.id + part_suffix(window), window=window)
            for window in time_windows(duration, spec.window_seconds, hop)
        )
    return found


def length_in_seconds(sample: Sample) -> float | None:
    """How long a video is; None where neither its list nor its file tells."""
    if sample.seconds is not None:
        return sample.seconds
    try:
        with Video(sample.path) as video:
            return video.duration
    except VideoError:
        return None


def frames_within(video: Video, window: tuple[float, float]) -> range:
    """The frames that appear from `window[0]` to `window[1]` seconds after the first, those two included.

    As published, a window that closes at 60 s still has the frame that appears then.
    """
    seconds = video.seconds - video.seconds[0]
    # Times are sums of fractions; a microsecond keeps a frame at exactly 16 s from falling before it.
    first = int(torch.searchsorted(seconds, window[0] - 1e-6))
    last = int(torch.searchsorted(seconds, window[1] + 1e-6))
    if first == last:
        raise VideoError(
            f"{video.source}: has no frames from {window[0]:g} to {window[1]:g} s; it lasts "
            f"{video.duration:g} s, so its list or the windows are wrong"
        )
    return range(first, last)


def steps(
    video: Video,
    fps: float | None,
    window: tuple[float, float] | None = None,
    num_frames: int | None = None,
) -> Int64[Tensor, "steps"]:
    """The frames that a plan counts, in order: those of a window, or the first `num_frames`, or all.

    With `fps` they are those on screen at so many equal steps of a second, from the window's start up to its end.
    A file with fewer frames than that then has some of them twice.
    """
    length = len(video) if num_frames is None else min(num_frames, len(video))
    inside = range(length) if window is None else frames_within(video, window)
    if fps is None:
        return torch.arange(inside.start, inside.stop)
    shown = video.seconds - video.seconds[0]
    start = 0.0 if window is None else window[0]
    end = float(shown[inside.stop]) if inside.stop < len(video) else video.duration
    # Sums of fractions: a thousandth of a step keeps 3 s at 10 frames per second from having 31 of them.
    count = max(1, math.ceil((end - start) * fps - 1e-3))
    if count > Limits().frames:
        raise VideoError(
            f"{video.source}: {end - start:g} s at {fps:g} frames per second are {count} frames, and at most "
            f"{Limits().frames} are counted; ask for fewer per second (fps)"
        )
    times = start + torch.arange(count, dtype=torch.float64) / fps
    return video.indices_at(times.clamp_(max=video.duration)).clamp_(inside.start, inside.stop - 1)


def test_frames(video: Video, spec: InputSpec) -> Int64[Tensor, "clips frames"]:
    """The frames of all clips of a test, window after window; those that a list of this video alone gives."""
    plan = spec.test_plan()
    draws = (view_generator(0, 0, i) if spec.draws_clips else None for i in itertools.count())
    if spec.window_seconds is None:
        counted = steps(video, spec.fps)
        return counted[plan(len(counted), next(draws))]
    hop = spec.window_seconds if spec.window_hop is None else spec.window_hop
    windows = time_windows(video.duration, spec.window_seconds, hop)
    inside = [steps(video, spec.fps, window) for window in windows]
    return torch.cat([counted[plan(len(counted), next(draws))] for counted in inside])
