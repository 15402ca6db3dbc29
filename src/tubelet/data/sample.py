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


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """The videos of a data set, and the names of its classes by number where they are known."""

    samples: list[Sample]
    classes: list[str] | None = None
