"""What `classify` can be told, in groups: how labels are read, when they count, and windows of long videos."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from tubelet.data.video import Video
from tubelet.errors import ConfigError, VideoError
from tubelet.inference.segments import Hysteresis

# Windows beyond one per frame see the same frames again, which a few may. Scores of all windows are kept.
FEW_WINDOWS, MOST_WINDOWS = 1000, 50_000


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

    def __post_init__(self) -> None:
        if self.threshold is None:
            return
        if not math.isfinite(self.threshold):
            raise ConfigError(f"--threshold is {self.threshold}; a margin is a number such as 0.02")
        if self.thresholds is not None or self.calibrate is not None:
            other = "--calibrate" if self.calibrate is not None else "--thresholds"
            raise ConfigError(f"--threshold and {other} both say what it takes; give one of them")


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Long videos in windows.

    Parameters
    ----------
    window
        Seconds of a window; it is slid over the video, and segments are found.
    hop
        Seconds between two windows' starts; half a window unless given.
    fps
        Pictures per second of a folder of pictures, which does not tell its time.
    slack
        How far below its threshold a label may fall within a segment; 0.01 unless given.
    merge_gap
        Segments of a label that are less than so many seconds apart are one; 1 unless given.
    shortest
        Segments shorter than so many seconds are dropped; 0 unless given.
    timeline
        Draw the segments there, as SVG.
    """

    window: float | None = None
    hop: float | None = None
    fps: float | None = None
    slack: float | None = None
    merge_gap: float | None = None
    shortest: float | None = None
    timeline: Path | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        if given and self.window is None:
            name = next(iter(given)).replace("_", "-")
            raise ConfigError(f"--{name} is for windows; give --window SECONDS, too")
        for name in ("window", "hop", "fps", "slack", "merge_gap", "shortest"):
            value, above = given.get(name, 1.0), name in ("window", "hop", "fps")
            if not (math.isfinite(value) and (value > 0 if above else value >= 0)):
                least = "a number above 0" if above else "a number, 0 or more"
                raise ConfigError(f"--{name.replace('_', '-')} is {value}; it must be {least}")

    @property
    def rule(self) -> Hysteresis:
        """How windows become segments, where it is told as the library has it where not."""
        given = {"low": None if self.slack is None else -self.slack}
        given.update(merge_gap=self.merge_gap, shortest=self.shortest)
        return Hysteresis(**{name: value for name, value in given.items() if value is not None})

    def check(self, video: Video) -> None:
        """A VideoError where a video would fall into more windows than make sense, before any is looked at."""
        if self.window is None or not len(video):
            return
        hop = self.window / 2 if self.hop is None else self.hop
        count, frames = max(video.duration - self.window, 0.0) / hop + 1, len(video)
        most = min(max(frames, FEW_WINDOWS), MOST_WINDOWS)
        if count > most:
            raise VideoError(
                f"{video.source}: {count:,.0f} windows that open every {hop:g} s, of {frames:,} frames in "
                f"{video.duration:.6g} s; at most {most:,} are looked at: give a longer --hop"
            )
