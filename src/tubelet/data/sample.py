"""One entry of a data set's list, and all of them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One video of a data set, or a window of it."""

    path: str
    label: int | None
    id: str  # as the list names it, folder included: distinct also for equal file names
    num_frames: int | None = None  # of a folder of frames, as its list says
    value: float | None = None  # what a regression is to predict
    seconds: float | None = None  # how long the video is, as its list says
    window: tuple[float, float] | None = None  # from, to in seconds; all of the video where None
    captions: tuple[str, ...] = ()  # each says what it shows
    question: str | None = None  # something to ask about it
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The videos of a data set, and the names of its classes by number where they are known."""

    samples: list[Sample]
    classes: list[str] | None = None


def part_suffix(window: tuple[float, float]) -> str:
    """What the id of a part of a video has behind the video's own.

    >>> part_suffix((0.0, 2.5))
    '@0-2.5s'
    """
    return f"@{window[0]:g}-{window[1]:g}s"
