"""From scores of windows to stretches of time: where a label begins, goes on and ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tubelet.errors import ConfigError
from tubelet.inference.results import Segment


@dataclass(frozen=True, kw_only=True)
class Hysteresis:
    """A segment begins where a margin exceeds the label's threshold by `high` and goes on while it does by `low`,
    which may be below 0, so that one weak window does not cut it. Then gaps shorter than `merge_gap` seconds are
    closed, and segments shorter than `shortest` seconds dropped.
    """

    high: float = 0.0
    low: float = -0.01
    merge_gap: float = 1.0
    shortest: float = 0.0

    def __post_init__(self) -> None:
        for name in ("high", "low", "merge_gap", "shortest"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be a number")
        if self.low > self.high:
            raise ConfigError(
                f"low {self.low:g} is above high {self.high:g}; a segment could not go on where it begins"
            )
        for name in ("merge_gap", "shortest"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)} seconds; it must be 0 or more")


def cells_of(windows: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The stretch of time that each of several overlapping windows speaks for; they follow without gaps.

    A border lies in the middle between the middles of two windows.

    >>> cells_of([(0.0, 4.0), (2.0, 6.0), (4.0, 8.0)])
    [(0.0, 3.0), (3.0, 5.0), (5.0, 8.0)]
    """
    middles = [(start + end) / 2 for start, end in windows]
    borders = [(a + b) / 2 for a, b in pairwise(middles)]
    return list(pairwise([windows[0][0], *borders, windows[-1][1]]))


def find_segments(
    label: str,
    cells: Sequence[tuple[float, float]],
    margins: Sequence[float],
    *,
    threshold: float = 0.0,
    rule: Hysteresis = Hysteresis(),
    index: int = 0,
) -> list[Segment]:
    """Where a label, the `index`-th of several, is shown, by its margin in each cell."""
    runs: list[list[int]] = []  # first and last cell
    for run in _runs(margins, threshold + rule.high, threshold + rule.low):
        if runs and cells[run[0]][0] - cells[runs[-1][1]][1] < rule.merge_gap:
            runs[-1][1] = run[1]
        else:
            runs.append(run)
    return [
        Segment(
            label=label,
            start=cells[first][0],
            end=cells[last][1],
            peak=max(margins[first : last + 1]),
            index=index,
            mean=sum(margins[first : last + 1]) / (last + 1 - first),
        )
        for first, last in runs
        if cells[last][1] - cells[first][0] >= rule.shortest
    ]


def _runs(values: Sequence[float], high: float, low: float) -> list[list[int]]:
    """First and last place of runs that begin with a value of at least `high` and go on down to `low`."""
    runs: list[list[int]] = []
    running = False
    for place, value in enumerate(values):
        if running and value >= low:
            runs[-1][1] = place
        else:
            running = value >= high
            if running:
                runs.append([place, place])
    return runs
