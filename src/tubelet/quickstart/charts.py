"""Line charts as places on a canvas; the template draws them, so that they follow the page's colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve. `style` is its class on the page; `marks` puts a dot on every point."""

    label: str
    style: str
    points: Points
    marks: bool = False


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over the same axes; places are in units of the canvas, from its top left.

    `level` is a value to compare with (drawn as a line across) and what it is called.
    """

    title: str
    description: str  # in words, for those who do not see it
    axes: str  # what the two axes are
    lines: tuple[Line, ...]
    x_ticks: tuple[float, ...]
    y_ticks: tuple[float, ...]
    percent: bool = False
    level: tuple[float, str] | None = None
    width: int = 360
    height: int = 230
    left: int = 44
    right: int = 12
    top: int = 10
    bottom: int = 26

    def x(self, value: float) -> float:
        return round(self.left + self._share(value, self.x_ticks) * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        return round(self.height - self.bottom - self._share(value, self.y_ticks) * self.inner_height, 1)

    @property
    def inner_height(self) -> int:
        return self.height - self.top - self.bottom

    def path(self, line: Line) -> str:
        """The curve as an SVG path."""
        return "M" + " L".join(f"{self.x(x)} {self.y(y)}" for x, y in line.points)

    def y_text(self, value: float) -> str:
        return f"{value:.0%}" if self.percent else f"{value:g}"

    @staticmethod
    def _share(value: float, ticks: Sequence[float]) -> float:
        """Where a value lies between the first and the last tick; beyond them it stays at the border."""
        return min(max((value - ticks[0]) / (ticks[-1] - ticks[0]), 0.0), 1.0)


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    axes: str,
    percent: bool = False,
    level: tuple[float, str] | None = None,
) -> Chart:
    """A chart whose axes hold all points; percent runs from 0 to 1."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + ([level[0]] if level else [])
    ends = [f"{line.label}: {_said(line.points, percent)}" for line in lines if line.points]
    return Chart(
        title=title,
        description="; ".join(ends) or "no values",
        axes=axes,
        lines=tuple(line for line in lines if line.points),
        x_ticks=ticks(0.0, max(xs, default=1.0)),
        y_ticks=(0.0, 0.25, 0.5, 0.75, 1.0) if percent else ticks(min(ys, default=0.0), max(ys, default=1.0)),
        percent=percent,
        level=level,
    )


def ticks(low: float | int, high: float | int, at_most: int = 7) -> tuple[float, ...]:
    """Round values, evenly spread, from at or below `low` to at or above `high`.

    >>> ticks(0, 18)
    (0.0, 5.0, 10.0, 15.0, 20.0)
    """
    if high <= low:
        high = low + 1
    rough = (high - low) / (at_most - 1)
    unit = 10.0 ** floor(log10(rough))
    for factor in (1, 2, 5, 10, 20):
        step = factor * unit
        first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
        if last - first < at_most:
            break
    return tuple(round(i * step, 12) for i in range(first, last + 1))


def epoch_means(points: Points) -> Points:
    """Values of single steps, their places counted in epochs, averaged over each epoch (placed at its end)."""
    means: list[tuple[float, float]] = []
    epoch, values = 0, []
    for x, y in points:
        # The step that ends an epoch lies on its border and belongs to it.
        of = ceil(x - 1e-9)
        if of != epoch and values:
            means.append((float(epoch), sum(values) / len(values)))
            values = []
        epoch = of
        values.append(y)
    if values:
        means.append((float(epoch), sum(values) / len(values)))
    assert all(a[0] < b[0] for a, b in pairwise(means))
    return tuple(means)


def points(curve: list[list[float]] | None) -> Points:
    """A logged curve; none where nothing of that name was logged."""
    return tuple((x, y) for x, y in curve or ())


def _said(points: Points, percent: bool) -> str:
    first, last = (f"{y:.1%}" if percent else f"{y:.3g}" for y in (points[0][1], points[-1][1]))
    return f"from {first} to {last} at {points[-1][0]:g}"
